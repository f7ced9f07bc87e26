"""The whole acquisition over YouTube's own answers: from a Japanese query to rows and the formats that were fetched."""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yt_dlp

from datasets.outcomes import MEDIA_REASONS, Policy, TransientError
from datasets.queries import load_queries
from extract.media import ffmpeg_path
from extract.selection import SelectionSettings
from extract.site import fetch as fetching
from extract.site.answers import answer as answer_here
from extract.site.fetch import fetch_video, search_videos
from extract.sources import SourceSettings
from tests.extract import youtube_replay as site
from tests.extract.data_channel import QUICK, make_video
from tests.extract.youtube_replay import Replay

YOUTUBE = SourceSettings()
ANY = SelectionSettings(language=None, min_views=0, min_duration_ms=0, max_duration_ms=10**9)
DUBS = (site.sound(140, "ja.3", name="Japanese"), site.sound(140, "en.4", True, "English original"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture without sound and a sound without picture."""
    folder = tmp_path_factory.mktemp("formats")
    whole, picture, sound = make_video(folder / "whole.mp4", 2), folder / "picture.mp4", folder / "sound.m4a"
    for path, other in ((picture, "-an"), (sound, "-vn")):
        command = [ffmpeg_path(), "-v", "error", "-i", str(whole), other, "-c", "copy", "-movflags", "+faststart"]
        subprocess.run([*command, str(path)], check=True, timeout=60)
    return picture, sound


def play(monkeypatch: pytest.MonkeyPatch, replay: Replay) -> Replay:
    monkeypatch.setattr(fetching, "ask", answer_here)  # in this process
    monkeypatch.setattr(yt_dlp.YoutubeDL, "urlopen", lambda _, request: replay.urlopen(request))
    return replay


def fetch(video_id: str, media_root: Path, rules: SelectionSettings = ANY) -> tuple[dict[str, Any], dict | None]:
    return fetch_video(video_id, media_root, YOUTUBE, rules, QUICK)


def test_a_query_becomes_rows_and_a_file_of_480_lines_with_its_own_sound(files, tmp_path, monkeypatch) -> None:
    query = load_queries("japanese_cooking")[0].query
    replay = Replay({"aaaaaaaaaa1": site.player("aaaaaaaaaa1")}, {query: [site.results("aaaaaaaaaa1")]}, files)
    play(monkeypatch, replay)
    (found,) = search_videos(query, 5, YOUTUBE)
    assert (found["video_id"], found["title"], found["duration_ms"]) == ("aaaaaaaaaa1", "肉じゃがの作り方", 12_000)
    video, media = fetch(found["video_id"], tmp_path, SelectionSettings())
    assert (video["status"], media["status"], media["format_id"]) == ("ok", "ok", "135+140")
    assert replay.fetched == [("135", ""), ("140", "")]
    assert (tmp_path / media["media_path"]).is_file()


def test_a_japanese_dub_is_no_japanese_video_and_is_never_fetched(files, tmp_path, monkeypatch) -> None:
    dubbed = site.player("aaaaaaaaaa2", [*site.ORDINARY[:4], *DUBS])
    replay = play(monkeypatch, Replay({"aaaaaaaaaa2": dubbed}, {}, files))
    video, media = fetch("aaaaaaaaaa2", tmp_path, SelectionSettings())
    assert (video["reason"], media, replay.fetched) == ("wrong_language", None, [])
    _, media = fetch("aaaaaaaaaa2", tmp_path)
    assert (media["audio_language"], replay.fetched) == ("en", [("135", ""), ("140", "en.4")])


def test_what_one_player_refuses_today_is_fetched_when_another_plays_it(files, tmp_path, monkeypatch) -> None:
    refusal = site.refused("aaaaaaaaaa3", "UNPLAYABLE", "This video is not available")
    replay = play(monkeypatch, Replay({"aaaaaaaaaa3": refusal}, {}, files))
    video, _ = fetch("aaaaaaaaaa3", tmp_path)
    assert MEDIA_REASONS[video["reason"]] == Policy.LATER
    replay.players = {"aaaaaaaaaa3": site.player("aaaaaaaaaa3")}
    video, media = fetch("aaaaaaaaaa3", tmp_path)
    assert (video["status"], media["status"]) == ("ok", "ok")


ADMINISTRATOR = (
    "This video is restricted. Please check the Google Workspace administrator and/or the network administrator "
    "restrictions."
)
COUNTRY = "The uploader has not made this video available in your country"
REFUSALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "one player's word": ("unavailable", ("UNPLAYABLE", "This video is not available")),
    "no word": ("unavailable", ("ERROR", "Video unavailable")),
    "app": ("unavailable", ("UNPLAYABLE", "The following content is not available on this app.")),
    "administrator": ("restricted_network", ("ERROR", "Video unavailable", ADMINISTRATOR)),
    "removed": ("removed", ("ERROR", "Video unavailable", "This video has been removed by the uploader")),
    "private": ("private", ("LOGIN_REQUIRED", "Private video", "Sign in if you've been granted access to this video")),
    "members": ("members_only", ("UNPLAYABLE", "Join this channel to get access to members-only content")),
    "country": ("geo_blocked", ("UNPLAYABLE", "Video unavailable", COUNTRY)),
    "age": ("age_restricted", ("LOGIN_REQUIRED", "Sign in to confirm your age", "This video may be inappropriate")),
    "age, content": ("age_restricted", ("AGE_VERIFICATION_REQUIRED", "This video is age-restricted")),
    "premiere": ("not_yet_live", ("LIVE_STREAM_OFFLINE", "Premieres in 2 hours")),
    "upcoming": ("not_yet_live", ("LIVE_STREAM_OFFLINE", "This live event will begin in 3 hours.")),
    "bot": (
        "bot_check",
        ("LOGIN_REQUIRED", "Sign in to confirm you’re not a bot", "This helps protect our community."),
    ),
    "limit": ("rate_limited", ("ERROR", "Video unavailable", "This content isn’t available, try again later.")),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_in_the_sites_own_structure_has_its_reason(name: str, files, tmp_path, monkeypatch) -> None:
    reason, words = REFUSALS[name]
    play(monkeypatch, Replay({"aaaaaaaaaa4": site.refused("aaaaaaaaaa4", *words)}, {}, files))
    if reason in ("bot_check", "rate_limited"):
        with pytest.raises(TransientError) as error:
            fetch("aaaaaaaaaa4", tmp_path)
        assert error.value.reason == reason
    else:
        video, media = fetch("aaaaaaaaaa4", tmp_path)
        assert (video["reason"], media) == (reason, None), video["detail"]


WITHOUT_ADDRESS = [{name: value for name, value in item.items() if name != "url"} for item in site.ORDINARY]
SIGNED = [{**item, "signatureCipher": "s=abcdef&sp=sig&url=https%3A//x.googlevideo.com/a"} for item in WITHOUT_ADDRESS]


@pytest.mark.parametrize(
    ("formats", "is_sabr"), [(SIGNED, False), (WITHOUT_ADDRESS, True)], ids=["signed", "SABR only"]
)
def test_formats_without_an_address_wait_for_a_person(formats, is_sabr, files, tmp_path, monkeypatch) -> None:
    answer = site.player("aaaaaaaaaa5", formats)
    answer["streamingData"]["sabr"] = is_sabr
    play(monkeypatch, Replay({"aaaaaaaaaa5": answer}, {}, files))
    video, media = fetch("aaaaaaaaaa5", tmp_path)
    outcome = media or video
    assert MEDIA_REASONS[outcome["reason"]] == Policy.PERSON, outcome["detail"]
    assert outcome["reason"] in ("po_token_required", "no_js_runtime")


# ---- the recorded answers


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    folder = Path(__file__).parents[3] / "shared" / "cases" / "youtube"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases/youtube: recorded answers of the site that stay outside of the repository")
    return {path.name.split(".")[0]: json.loads(gzip.decompress(path.read_bytes())) for path in folder.glob("*.gz")}


@pytest.mark.media
@pytest.mark.parametrize("name", ["videos", "shortformcontent", "paging", "all"])
def test_two_recorded_pages_of_results_are_forty_videos(name: str, recorded, files, monkeypatch) -> None:
    play(monkeypatch, Replay({}, {"肉じゃが": recorded["searches"][name]}, files))
    rows = search_videos("肉じゃが", 40, YOUTUBE)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert len({row["video_id"] for row in rows}) == len(rows) >= 20


@pytest.mark.media
def test_every_recorded_video_that_plays_is_h264_of_480_lines_with_its_own_sound(
    recorded, files, tmp_path, monkeypatch
) -> None:
    answers = {name: next(iter(told.values())) for name, told in recorded["players"].items()}
    players = {answer["videoDetails"]["videoId"]: answer for answer in answers.values()}
    replay = play(monkeypatch, Replay(players, {}, files))
    outcomes = {}
    for name, answer in answers.items():
        replay.fetched.clear()
        video, media = fetch(answer["videoDetails"]["videoId"], tmp_path)
        outcomes[name] = (media or video)["reason"]
        if outcomes[name] is None:
            check_formats(answer["streamingData"]["adaptiveFormats"], replay.fetched)
    refusals = {name: reason for name, reason in outcomes.items() if reason}
    assert refusals == {"ratingsdisabled": "unavailable", "livestream": "not_yet_live"}


def check_formats(formats: list[dict[str, Any]], fetched: list[tuple[str, str]]) -> None:
    (picture, _), (sound, track) = fetched
    h264 = {str(item["itag"]): min(item["height"], item["width"]) for item in formats if "avc1" in item["mimeType"]}
    assert h264[picture] == max(lines for lines in h264.values() if lines <= 480)
    tracks = [item["audioTrack"] for item in formats if str(item["itag"]) == sound and "audioTrack" in item]
    assert not tracks or {item["id"]: item["audioIsDefault"] for item in tracks}[track]
