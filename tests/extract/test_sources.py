"""Which addresses and hosts a source may use, and what an ids file may hold."""

import pytest
from pydantic import ValidationError

from extract.sources import (
    SOURCES,
    SourceSettings,
    allowed_hosts,
    is_allowed_url,
    read_ids_file,
    video_id_of,
    watch_url,
)


@pytest.mark.parametrize(
    ("text", "video_id"),
    [
        ("dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("-abcdefghi_", "-abcdefghi_"),
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PL1", "dQw4w9WgXcQ"),
        ("https://youtu.be/dQw4w9WgXcQ?t=3", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/shorts/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("http://www.youtube.com/v/dQw4w9WgXcQ?version=3", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/embed/videoseries?list=PLabc", None),
        ("https://www.youtube.com/embed/live_stream?channel=UCabc", None),
        ("https://www.youtube.com/@kitchen/videos", None),
        ("https://www.youtube.com/playlist?list=PL1", None),
        ("https://www.youtube.com/watch?v=../../etc", None),
        ("UCabcdefghijklmnopqrstuv", None),
    ],
)
def test_video_id_of_a_line(text: str, video_id: str | None) -> None:
    assert video_id_of(text) == video_id


def test_ids_file_skips_comments_and_repetitions(tmp_path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("# list\n\ndQw4w9WgXcQ\n https://www.youtube.com/@kitchen/videos \ndQw4w9WgXcQ\n")
    assert read_ids_file(path) == ["dQw4w9WgXcQ", "https://www.youtube.com/@kitchen/videos"]


def test_an_address_of_an_ids_file_is_kept_without_what_opens_a_door(tmp_path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("https://me:planted@www.youtube.com/playlist?list=PLx&key=planted&index=2")
    assert read_ids_file(path) == ["https://www.youtube.com/playlist?list=PLx&index=2"]


@pytest.mark.parametrize("line", ["not an id", "file:///etc/passwd", "ytsearch5:カレー"])
def test_ids_file_with_something_else_is_refused(line: str, tmp_path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(line)
    with pytest.raises(ValueError, match=r"source.ids_file"):
        read_ids_file(path)


def test_missing_ids_file_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.txt"):
        read_ids_file(tmp_path / "nothing.txt")


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://rr3---sn-abc.googlevideo.com/videoplayback", True),
        ("https://www.youtube.com/watch?v=a", True),
        ("https://notyoutube.com/", False),
        ("https://youtube.com.evil.example/", False),
        ("https://evil.example/?youtube.com", False),
        ("https://youtube.com@evil.example/", False),
        ("file:///etc/passwd", False),
        ("ftp://youtube.com/", False),
        ("http://169.254.169.254/latest/meta-data", False),
    ],
)
def test_hosts_of_youtube(url: str, is_allowed: bool) -> None:
    assert is_allowed_url(url, allowed_hosts(SourceSettings())) == is_allowed


def test_site_may_ask_only_its_own_host() -> None:
    source = SourceSettings(name="site", watch_url="http://127.0.0.1:80/watch?v={video_id}")
    assert allowed_hosts(source) == ("127.0.0.1",)


def test_watch_url_takes_only_video_ids() -> None:
    assert watch_url("-abcdefghi_", SourceSettings()) == "https://www.youtube.com/watch?v=-abcdefghi_"
    with pytest.raises(ValueError, match="video_id"):
        watch_url("../x", SourceSettings())


@pytest.mark.parametrize(
    "fields",
    [
        {"watch_url": "file:///{video_id}"},
        {"watch_url": "https://example.com/"},
        {"extractors": ("os:system; rm",)},
        {"search_prefix": "http://x"},
        {"name": "vimeo"},
    ],
)
def test_settings_out_of_range_are_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        SourceSettings(**fields)


def test_sources_of_the_table() -> None:
    assert SOURCES["youtube"].find("カレー", 200, SourceSettings()) == "ytsearch200:カレー"
    assert SOURCES["ids"].find("dQw4w9WgXcQ", 1, SourceSettings()) == [{"id": "dQw4w9WgXcQ"}]
    playlist = "https://www.youtube.com/playlist?list=PL1"
    assert SOURCES["ids"].find(playlist, 9, SourceSettings()) == playlist


@pytest.mark.parametrize("channel", ["https://www.youtube.com/@kitchen", "https://www.youtube.com/channel/UC1/"])
def test_channel_means_its_videos(channel: str) -> None:
    assert SOURCES["ids"].find(channel, 9, SourceSettings(name="ids")) == channel.rstrip("/") + "/videos"
