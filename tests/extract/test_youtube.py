"""Search, metadata and download through the real YoutubeDL, from a real server on this machine."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.outcomes import TransientError
from datasets.tables import make_table, table_digest, write_part
from demo.site import Site, SiteHandler
from extract.media_store import media_path, partial_path, record_path
from extract.selection import SelectionSettings
from extract.site import fetch as fetching
from extract.site.answers import answer
from extract.site.fetch import fetch_video, search_videos
from extract.site.pacer import Pacer, PacerSettings
from extract.sources import SourceSettings
from tests.extract.data_channel import (
    QUICK,
    CountingHandler,
    make_item,
    make_video,
    media_requests,
    open_channel,
    source_of,
)

RULES = SelectionSettings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channel")
    make_video(folder / "good.mp4")
    return folder


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    items = [
        make_item("-abcdefgh_1", view_count=9000),
        make_item("-ABCDEFGH_1"),
        make_item("fewviews001", view_count=3),
        make_item("private0001", availability="private"),
        make_item("removed0001", availability="removed"),
        make_item("nosound0001", kind="no audio"),
        make_item(
            "hostile0001",
            title="../../etc/passwd\x00 <script>肉じゃがのレシピ</script> %(id)s $(reboot)",
            channel_id="../..",
        ),
    ]
    with open_channel(folder, items) as site:
        yield site


def test_search_gives_discoveries_in_order(site: Site) -> None:
    rows = search_videos("肉じゃが", 3, source_of(site))
    assert [(row["video_id"], row["rank"]) for row in rows] == [
        ("-abcdefgh_1", 1),
        ("-ABCDEFGH_1", 2),
        ("hostile0001", 3),
    ]
    assert rows[0] == {
        "query": "肉じゃが",
        "video_id": "-abcdefgh_1",
        "rank": 1,
        "title": "肉じゃがの作り方",
        "duration_ms": 12000,
        "view_count": 9000,
        "status": "ok",
        "reason": None,
        "detail": None,
    }
    write_rows("discoveries", rows)


def write_rows(name: str, rows: list, root: Path | str = "memory://rows") -> None:
    write_part(root, name, make_table(name, rows, recipe="r", run_id="run"))


def test_search_without_results_is_an_empty_list(site: Site) -> None:
    assert search_videos("ロブスター", 5, source_of(site)) == []


def test_search_asks_for_no_video(site: Site) -> None:
    search_videos("肉じゃが", 5, source_of(site))
    assert not [path for path in site.RequestHandlerClass.asked if path.startswith("/watch")]


def test_unreachable_site_is_network_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_SITE", "http://127.0.0.1:9")
    source = SourceSettings(
        name="site",
        search_prefix="demosearch",
        watch_url="http://127.0.0.1:9/watch?v={video_id}",
        extractors=("demo.extractor:DemoVideoIE", "demo.extractor:DemoSearchIE"),
    )
    for ask in (
        lambda: search_videos("カレー", 3, source),
        lambda: fetch_video("abcdefghij1", tmp_path, source, RULES, QUICK),
    ):
        with pytest.raises(TransientError) as caught:
            ask()
        assert caught.value.reason == "network"


def test_ids_need_no_request() -> None:
    rows = search_videos("dQw4w9WgXcQ", 1, SourceSettings(name="ids"))
    assert [(row["query"], row["video_id"], row["rank"]) for row in rows] == [("dQw4w9WgXcQ", "dQw4w9WgXcQ", 1)]


def test_good_video_is_fetched_byte_for_byte(site: Site, folder: Path, tmp_path: Path) -> None:
    video, media = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    good = (folder / "good.mp4").read_bytes()
    assert (tmp_path / media["media_path"]).read_bytes() == good
    assert media["media_path"] == f"{hashlib.sha1(b'-abcdefgh_1').hexdigest()[:2]}/-abcdefgh_1.mp4"
    assert (media["sha256"], media["num_bytes"]) == (hashlib.sha256(good).hexdigest(), len(good))
    assert (media["format_id"], media["video_codec"], media["audio_codec"]) == ("18", "avc1.42C01E", "mp4a.40.2")
    assert (media["width"], media["height"], media["duration_ms"]) == (320, 240, 12000)
    assert (media["audio_language"], media["is_original_audio"]) == ("ja", True)
    assert (video["status"], video["audio_language"], video["has_original_caption"]) == ("ok", "ja", True)
    write_rows("videos", [video])
    write_rows("media", [media])


def test_nothing_else_is_left_on_the_disk(site: Site, tmp_path: Path) -> None:
    fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "-abcdefgh_1.json",
        "-abcdefgh_1.mp4",
    ]


def test_ids_that_differ_by_case_have_their_own_files(site: Site, tmp_path: Path) -> None:
    paths = {
        fetch_video(video_id, tmp_path, source_of(site), RULES, QUICK)[1]["media_path"]
        for video_id in ("-abcdefgh_1", "-ABCDEFGH_1")
    }
    assert len(paths) == 2


def test_title_reaches_neither_path_nor_command(site: Site, tmp_path: Path) -> None:
    video, media = fetch_video("hostile0001", tmp_path / "media", source_of(site), RULES, QUICK)
    assert media["status"] == "ok"
    assert video["title"].startswith("../../etc/passwd")
    assert [path.name for path in tmp_path.iterdir()] == ["media"]
    write_rows("videos", [video])


def test_dropped_video_is_never_downloaded(site: Site, tmp_path: Path) -> None:
    video, media = fetch_video("fewviews001", tmp_path, source_of(site), RULES, QUICK)
    assert (video["status"], video["reason"], media) == ("dropped", "too_few_views", None)
    assert media_requests(site) == []


@pytest.mark.parametrize(("video_id", "reason"), [("private0001", "private"), ("removed0001", "removed")])
def test_refused_video_has_its_reason(video_id: str, reason: str, site: Site, tmp_path: Path) -> None:
    video, media = fetch_video(video_id, tmp_path, source_of(site), RULES, QUICK)
    assert (video["status"], video["reason"], media) == ("failed", reason, None)
    write_rows("videos", [video])


def test_video_without_sound_is_not_fetched(site: Site, tmp_path: Path) -> None:
    video, media = fetch_video("nosound0001", tmp_path, source_of(site), RULES, QUICK)
    assert (video["status"], media["status"], media["reason"]) == ("ok", "failed", "no_audio")
    assert media_requests(site) == []
    write_rows("media", [media])


def test_invalid_id_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="video_id"):
        fetch_video("../../x", tmp_path, source_of(site), RULES, QUICK)


def test_killed_run_fetches_nothing_twice(site: Site, tmp_path: Path) -> None:
    source = source_of(site)
    first = fetch_video("-abcdefgh_1", tmp_path, source, RULES, QUICK)
    asked = len(site.RequestHandlerClass.asked)
    second = fetch_video("-abcdefgh_1", tmp_path, source, RULES, QUICK)
    assert len(site.RequestHandlerClass.asked) == asked
    for name, before, after in zip(("videos", "media"), first, second, strict=True):
        write_rows(name, [before], tmp_path / "one")
        write_rows(name, [after], tmp_path / "two")
        assert table_digest(tmp_path / "one", name) == table_digest(tmp_path / "two", name)


def test_killed_before_the_final_name_the_complete_download_is_taken(site: Site, folder: Path, tmp_path: Path) -> None:
    partial = partial_path(tmp_path, "-abcdefgh_1", "18:")
    partial.parent.mkdir(parents=True)
    partial.write_bytes((folder / "good.mp4").read_bytes())
    _, media = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    assert media["status"] == "ok"
    assert media_requests(site) == []


def test_hash_of_a_continued_file_is_that_of_the_whole(site: Site, folder: Path, tmp_path: Path) -> None:
    """Its second half came alone, so the hash cannot be that of what was received."""
    good = (folder / "good.mp4").read_bytes()
    partial = partial_path(tmp_path, "-abcdefgh_1", "18:")
    partial.parent.mkdir(parents=True)
    partial.with_name(partial.name + ".part").write_bytes(good[: len(good) // 2])
    _, media = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    assert media["sha256"] == hashlib.sha256(good).hexdigest()


def test_part_that_was_left_is_continued(site: Site, folder: Path, tmp_path: Path) -> None:
    good = (folder / "good.mp4").read_bytes()
    partial = partial_path(tmp_path, "-abcdefgh_1", "18:")
    partial.parent.mkdir(parents=True)
    partial.with_name(partial.name + ".part").write_bytes(good[:5000])
    _, media = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    assert (tmp_path / media["media_path"]).read_bytes() == good


def test_damaged_file_is_fetched_again(site: Site, folder: Path, tmp_path: Path) -> None:
    source = source_of(site)
    fetch_video("-abcdefgh_1", tmp_path, source, RULES, QUICK)
    path = media_path(tmp_path, "-abcdefgh_1")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    _, media = fetch_video("-abcdefgh_1", tmp_path, source, RULES, QUICK)
    assert path.read_bytes() == (folder / "good.mp4").read_bytes()
    assert media["status"] == "ok"


def test_changed_selection_asks_for_metadata_and_keeps_the_media(site: Site, tmp_path: Path) -> None:
    source = source_of(site)
    _, before = fetch_video("-abcdefgh_1", tmp_path, source, RULES, QUICK)
    num_media = len(media_requests(site))
    video, after = fetch_video("-abcdefgh_1", tmp_path, source, SelectionSettings(min_views=1000), QUICK)
    assert (video["status"], after) == ("ok", before)
    video, after = fetch_video("-abcdefgh_1", tmp_path, source, SelectionSettings(min_views=99_999), QUICK)
    assert (video["reason"], after) == ("too_few_views", None)
    assert len(media_requests(site)) == num_media


def test_record_beside_the_media_holds_no_address_of_ours(site: Site, tmp_path: Path) -> None:
    fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    record = json.loads(record_path(tmp_path, "-abcdefgh_1").read_text())
    assert str(tmp_path) not in json.dumps(record)


def test_too_large_a_file_is_refused_while_it_comes(site: Site, tmp_path: Path) -> None:
    small = QUICK.model_copy(update={"max_bytes": 10_000})
    _, media = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, small)
    assert (media["status"], media["reason"]) == ("failed", "file_too_large")


def test_video_that_would_pass_the_ceiling_of_all_media_is_not_kept(site: Site, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"max_total_bytes": 10_000})
    rows = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, settings)
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", "disk_full")] * 2
    assert not media_path(tmp_path, "-abcdefgh_1").exists()


def test_on_a_full_disk_not_even_a_page_is_asked_for(site: Site, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"min_free_bytes": 1 << 60})
    pacer = Pacer(tmp_path / "root", "site", PacerSettings())
    video, media = fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, settings, pacer)
    assert (video["status"], video["reason"], media) == ("failed", "disk_full", None)
    assert site.RequestHandlerClass.asked == [] and pacer.num_requests_today == 0


@pytest.mark.parametrize(("is_enabled", "pauses"), [(True, {0.5}), (False, set())])
def test_pages_of_one_search_are_asked_for_with_pauses(
    is_enabled: bool, pauses: set[float], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: set[float] = set()
    pacer = Pacer(tmp_path, "site", PacerSettings(enabled=is_enabled, request_pause_s=0.5))
    monkeypatch.setattr(fetching, "ask", answer)  # in this process
    monkeypatch.setattr("yt_dlp.extractor.common.time.sleep", slept.add)
    for query in ("肉じゃが", "カレー"):
        search_videos(query, 3, source_of(site), pacer)
    assert slept == pauses


class LimitingHandler(CountingHandler):
    """Says what YouTube says when a guest asks too much."""

    def answer_watch(self, item) -> None:
        SiteHandler.answer_watch(self, item and {**item, "availability": "limited"})


def test_rate_limit_opens_the_breaker_and_the_next_video_is_not_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = ("UNPLAYABLE", "Video unavailable", "This content isn't available, try again later.")
    monkeypatch.setitem(__import__("demo.site", fromlist=["REFUSALS"]).REFUSALS, "limited", refusal)
    with open_channel(folder, [make_item("abcdefghij1"), make_item("abcdefghij2")], LimitingHandler) as site:
        pacer = Pacer(tmp_path / "root", "site", PacerSettings())
        for video_id in ("abcdefghij1", "abcdefghij2"):
            with pytest.raises(TransientError) as caught:
                fetch_video(video_id, tmp_path / "media", source_of(site), RULES, QUICK, pacer)
            assert caught.value.reason == "rate_limited"
        assert len(site.RequestHandlerClass.asked) == 1
    assert pacer.open_until is not None


def test_cookies_are_not_logged(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tSID\tsecret-value\n")
    content = cookies.read_text()
    with caplog.at_level(logging.DEBUG):
        settings = QUICK.model_copy(update={"cookies_file": cookies})
        fetch_video("-abcdefgh_1", tmp_path / "media", source_of(site), RULES, settings)
    assert "secret-value" not in caplog.text
    assert cookies.read_text() == content


def test_missing_cookies_file_is_named(site: Site, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"cookies_file": tmp_path / "none.txt"})
    with pytest.raises(ValueError, match=r"download\.cookies_file: no such file"):
        fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, settings)


def test_nothing_is_printed(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch_video("-abcdefgh_1", tmp_path, source_of(site), RULES, QUICK)
    fetch_video("private0001", tmp_path, source_of(site), RULES, QUICK)
    assert capfd.readouterr() == ("", "")
