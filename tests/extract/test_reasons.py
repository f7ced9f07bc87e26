"""Real wordings of YouTube and yt-dlp to our reasons."""

import errno

import pytest
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, SSLError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UserNotLive

from datasets.schemas import MAX_DETAIL_CHARS, MEDIA_REASONS
from extract.reasons import TRANSIENT, classify, classify_message

LOGIN_HINT = (
    " Use --cookies-from-browser or --cookies for the authentication. See  "
    "https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies. "
    "Also see  https://github.com/yt-dlp/yt-dlp/wiki/Extractors#exporting-youtube-cookies  for tips on effectively "
    "exporting YouTube cookies"
)
REPORT = "; please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the appropriate issue"

WORDINGS = [
    ("Sign in to confirm you’re not a bot." + LOGIN_HINT, "bot_check"),
    ("Sign in to confirm you're not a bot. This helps protect our community." + LOGIN_HINT, "bot_check"),
    ("Video unavailable. YouTube is requiring a captcha challenge before playback", "bot_check"),
    ("All player responses are invalid. Your IP is likely being blocked by Youtube", "bot_check"),
    ("Our systems have detected unusual traffic from your computer network.", "bot_check"),
    ("Please sign in." + LOGIN_HINT, "bot_check"),
    ("The page needs to be reloaded.", "bot_check"),
    (
        "Video unavailable. This content isn’t available, try again later. The current session has been rate-limited by "
        "YouTube for up to an hour. It is recommended to use `-t sleep` to add a delay between video requests to avoid "
        "exceeding the rate limit.",
        "rate_limited",
    ),
    ("This content isn't available, try again later.", "rate_limited"),
    ("Video unavailable. This content isn’t available.", "rate_limited"),
    ("Unable to download webpage: HTTP Error 429: Too Many Requests", "rate_limited"),
    ("Unable to download API page: HTTP Error 429: Too Many Requests (caused by <HTTPError 429>)", "rate_limited"),
    ("Private video. Sign in if you've been granted access to this video." + LOGIN_HINT, "private"),
    ("Private video. Sign in if you’ve been granted access to this video", "private"),
    ("This video is private.", "private"),
    ("This video is private. If the owner of this video has granted you access, please sign in.", "private"),
    ("Video unavailable", "removed"),
    ("Video unavailable. This video has been removed by the uploader", "removed"),
    ("This video has been removed by the uploader", "removed"),
    ("This video has been removed for violating YouTube's Community Guidelines", "removed"),
    ("This video has been removed for violating YouTube's Terms of Service", "removed"),
    ("This video has been removed for violating YouTube's policy on nudity or sexual content", "removed"),
    (
        "Video unavailable. This video is no longer available because the YouTube account associated with this video has "
        "been terminated.",
        "removed",
    ),
    (
        "This video is no longer available because the YouTube account associated with this video has been closed.",
        "removed",
    ),
    ("This video is no longer available due to a copyright claim by 株式会社テレビ", "removed"),
    ("This video is no longer available because the uploader has closed their YouTube account.", "removed"),
    ("Video unavailable. This video contains content from SME, who has blocked it on copyright grounds", "removed"),
    ("This video isn't available anymore", "removed"),
    ("This video does not exist.", "removed"),
    ("Video unavailable. This video is not available", "removed"),
    ("This live stream recording is not available.", "removed"),
    ("unable to download video data: HTTP Error 404: Not Found", "removed"),
    ("Unable to download webpage: HTTP Error 410: Gone", "removed"),
    ("Video unavailable. The uploader has not made this video available in your country", "geo_blocked"),
    (
        "Video unavailable. This video contains content from UMG, who has blocked it in your country on copyright grounds",
        "geo_blocked",
    ),
    ("Video unavailable. This video is not available in your country", "geo_blocked"),
    ("This video is not available from your location due to geo restriction", "geo_blocked"),
    ("Sign in to confirm your age. This video may be inappropriate for some users." + LOGIN_HINT, "age_restricted"),
    ("Sign in to confirm your age" + LOGIN_HINT, "age_restricted"),
    ("This video is age-restricted and only available on YouTube. Learn more", "age_restricted"),
    ("The following content may contain suicide or self-harm topics. This video is age restricted", "age_restricted"),
    (
        "Join this channel to get access to members-only content like this video, and other exclusive perks.",
        "members_only",
    ),
    (
        "This video is available to this channel's members on level: 応援する! (or any higher level). Join this channel "
        "to get access to members-only content and other exclusive perks.",
        "members_only",
    ),
    ("This video is only available to Music Premium members", "members_only"),
    ("This video requires payment to watch.", "members_only"),
    ("Video unavailable. This video requires payment to watch", "members_only"),
    ("This live event will begin in 3 hours.", "not_yet_live"),
    ("This live event will begin in a few moments.", "not_yet_live"),
    ("Premieres in 2 days", "not_yet_live"),
    ("Premiere will begin shortly", "not_yet_live"),
    ("The channel is not currently live", "not_yet_live"),
    ("We're processing this video. Check back later.", "not_yet_live"),
    ("This video is DRM protected", "drm_protected"),
    ("The requested site is known to use DRM protection. It will NOT be supported.", "drm_protected"),
    (
        "No supported JavaScript runtime could be found. Only deno is enabled by default; to use another runtime add "
        "--js-runtimes RUNTIME[:PATH] to your command/config.",
        "no_js_runtime",
    ),
    ("n challenge solving failed: Some formats may be missing. Ensure you have a supported JavaScript runtime", "no_js_runtime"),
    ("Signature solving failed: Some formats may be missing.", "no_js_runtime"),
    (
        "abcdefghijk: ios client https formats require a GVS PO Token which was not provided. They will be skipped as "
        "they may yield HTTP Error 403.",
        "po_token_required",
    ),
    ("unable to write data: [Errno 28] No space left on device", "disk_full"),
    ("unable to write data: [Errno 122] Disk quota exceeded", "disk_full"),
    ("unable to download video data: HTTP Error 403: Forbidden", "network"),
    ("Unable to download webpage: HTTP Error 503: Service Unavailable", "network"),
    ("The read operation timed out", "network"),
    ("HTTPSConnectionPool(host='www.youtube.com', port=443): Read timed out. (read timeout=20.0)", "network"),
    ("[Errno 104] Connection reset by peer. Giving up after 3 retries", "network"),
    ("('Connection broken: IncompleteRead(1000 bytes read, 2000 more expected)',)", "network"),
    ("1000 bytes read, 2000 more expected. Giving up after 3 retries", "network"),
    ("Failed to resolve 'www.youtube.com' ([Errno -2] Name or service not known)", "network"),
    ("[Errno -3] Temporary failure in name resolution", "network"),
    ("Remote end closed connection without response", "network"),
    ("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol", "network"),
    ("Did not get any data blocks", "network"),
]  # fmt: skip


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
