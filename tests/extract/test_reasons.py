"""Real wordings of YouTube and yt-dlp to our reasons."""

import errno
from pathlib import Path

import pytest
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, SSLError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UserNotLive

from datasets.outcomes import MAX_DETAIL_CHARS, MEDIA_REASONS
from extract.site.reasons import TRANSIENT, classify, classify_message

LOGIN_HINT = (
    " Use --cookies-from-browser or --cookies for the authentication. See  "
    "https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies. "
    "Also see  https://github.com/yt-dlp/yt-dlp/wiki/Extractors#exporting-youtube-cookies  for tips on effectively "
    "exporting YouTube cookies"
)
REPORT = "; please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the appropriate issue"

DATA = Path(__file__).with_name("data_reasons.tsv")
WORDINGS = [
    (message.replace("{login}", LOGIN_HINT), reason)
    for reason, message in (line.split("\t") for line in DATA.read_text(encoding="utf-8").splitlines()[2:])
]


@pytest.mark.parametrize(("message", "reason"), WORDINGS)
def test_wording_is_known(message: str, reason: str) -> None:
    assert classify_message(message) == reason


@pytest.mark.parametrize(("message", "reason"), WORDINGS)
def test_wording_is_known_inside_yt_dlps_exceptions(message: str, reason: str) -> None:
    inner = ExtractorError(message, expected=True, video_id="private-drm", ie="youtube")
    error = DownloadError(f"ERROR: {inner}", (ExtractorError, inner, None))
    assert classify(error)[0] == reason


def test_reasons_are_of_the_vocabulary() -> None:
    assert {reason for _, reason in WORDINGS} <= set(MEDIA_REASONS)
    assert set(MEDIA_REASONS) >= TRANSIENT


def test_unknown_wording_is_unexpected() -> None:
    assert classify(DownloadError("ERROR: [youtube] abcdefghijk: Unable to extract yt initial data" + REPORT)) == (
        "unexpected",
        "Unable to extract yt initial data",
    )


def test_words_in_a_video_id_decide_nothing() -> None:
    assert classify(DownloadError("ERROR: [demo] private-video: Something new"))[0] == "unexpected"
    inner = ExtractorError("Something new", expected=True, video_id="age-restricted", ie="demo")
    assert classify(DownloadError(f"ERROR: {inner}", (ExtractorError, inner, None)))[0] == "unexpected"


def test_georestriction_is_known_by_its_type() -> None:
    inner = GeoRestrictedError("Not for you", countries=["JP"])
    assert classify(DownloadError("ERROR: Not for you", (GeoRestrictedError, inner, None)))[0] == "geo_blocked"


def test_channel_without_a_stream_is_not_yet_live() -> None:
    inner = UserNotLive(video_id="abcdefghijk")
    assert classify(DownloadError(f"ERROR: {inner}", (UserNotLive, inner, None)))[0] == "not_yet_live"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "removed"), (410, "removed"), (403, "network"), (429, "rate_limited"), (500, "network")],
)
def test_status_of_a_media_request(status: int, reason: str, tmp_path) -> None:
    with (tmp_path / "body").open("wb+") as body:
        inner = HTTPError(Response(body, "https://video.example/a.mp4", {}, status))
        error = DownloadError(f"ERROR: unable to download video data: {inner}", (HTTPError, inner, None))
        assert classify(error)[0] == reason


@pytest.mark.parametrize(
    "inner",
    [IncompleteRead(partial=10, expected=5), SSLError("bad record mac"), TransportError("Connection aborted.")],
)  # fmt: skip
def test_broken_transfers_are_network(inner: TransportError) -> None:
    assert classify(DownloadError(f"ERROR: {inner}", (type(inner), inner, None)))[0] == "network"


def test_full_disk_is_known_by_its_number() -> None:
    assert classify(OSError(errno.ENOSPC, "Kein Platz"))[0] == "disk_full"


@pytest.mark.parametrize(
    ("warning", "reason"),
    [
        ("No supported JavaScript runtime could be found.", "no_js_runtime"),
        ("web client https formats require a GVS PO Token which was not provided.", "po_token_required"),
        ("Falling back on generic information extractor", "unexpected"),
    ],
)
def test_missing_formats_are_explained_by_the_warnings_before(warning: str, reason: str) -> None:
    error = ExtractorError("Requested format is not available. Use --list-formats for a list", expected=True)
    assert classify(error, [warning])[0] == reason


def test_detail_is_one_short_line_without_colours_and_advice() -> None:
    detail = classify(DownloadError("\x1b[0;31mERROR:\x1b[0m [youtube] abcdefghijk: Private video.\n" + LOGIN_HINT))[1]
    assert detail == "Private video."
    assert len(classify(DownloadError("x" * 9000))[1]) == MAX_DETAIL_CHARS
