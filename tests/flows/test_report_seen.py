"""What is seen on the report: pictures of videos and clips, and what a browser of any width makes of the page."""

import base64
import io
import subprocess

import pytest
from PIL import Image

from datasets.outcomes import OK
from datasets.tables import make_table, record_run, write_part
from extract.media import ffmpeg_path
from flows.report.pictures import MOST_BYTES
from tests.flows.real_server import wait_for
from tests.flows.report_roots import Page, build, make_report_root


@pytest.fixture
def root(tmp_path):
    return make_report_root(tmp_path / "root")


@pytest.fixture
def shown(root):
    """The root with a video that can be seen."""
    encode_video(root / "media_files" / "0f" / "-a.mp4")
    return root


def encode_video(path, colour="0x0077aa"):
    source = f"color={colour}:size=64x48:rate=5:duration=24"
    command = [ffmpeg_path(), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-c:v", "mpeg4", str(path)]
    subprocess.run(command, check=True)


def test_videos_and_clips_that_are_here_are_seen(shown):
    page = Page(build(shown))
    pictures = page.all("img")
    assert len(pictures) == 3  # the video, and its two clips in the listening sheet
    assert all(a["src"].startswith("data:image/jpeg;base64,") and a["alt"] for a in pictures)
    content = base64.b64decode(pictures[0]["src"].partition(",")[2])
    assert Image.open(io.BytesIO(content)).size[0] == 160 and len(content) <= MOST_BYTES


def test_pictures_are_made_once_and_anew_for_another_file(shown, monkeypatch):
    first = build(shown)
    made = []
    called = "features.frames.thumbnails.encode_thumbnail"
    monkeypatch.setattr(called, lambda path, at_ms, width: made.append(at_ms) or b"new")
    assert build(shown) == first and made == []
    media = {"video_id": "-a", "media_path": "0f/-a.mp4", "sha256": "another", "duration_ms": 24000, **OK}
    write_part(shown, "media", make_table("media", [media], recipe="r", run_id="x", attempt=1))
    build(shown)
    assert sorted(made) == [8000, 19500]  # the strip shows its first clip's


def test_pictures_that_were_made_in_another_way_are_made_anew(shown, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("flows.report.pictures.MADE_BY", "ffmpeg")
        build(shown)
    made = []
    called = "features.frames.thumbnails.encode_thumbnail"
    monkeypatch.setattr(called, lambda path, at_ms, width: made.append(at_ms) or b"new")
    build(shown)
    assert sorted(made) == [8000, 19500]


def test_a_picture_that_is_too_large_is_left_out_and_so_is_the_hundred_and_first(shown, monkeypatch):
    monkeypatch.setattr("flows.report.pictures.MOST_PICTURES", 2)
    assert len(Page(build(shown)).all("img")) == 2
    (shown / "report.html").unlink()
    monkeypatch.setattr("flows.report.pictures.MOST_BYTES", 10)
    assert not Page(build(shown)).all("img")


@pytest.fixture
def address(shown):
    record_run(shown, "clips", "r", {"config": {"selection": {"language": "ja"}}})
    build(shown)
    return (shown / "report.html").as_uri()


@pytest.mark.slow
def test_on_a_phone_tables_that_go_on_show_it_and_scroll_by_keyboard(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    boxes = [box for box in page.locator(".wide").all() if box.evaluate("e => e.scrollWidth > e.clientWidth")]
    assert boxes
    for box in boxes:
        assert "linear-gradient" in box.evaluate("e => getComputedStyle(e).backgroundImage")
        box.focus()
        assert box.evaluate("e => document.activeElement === e && getComputedStyle(e).outlineStyle") == "solid"
        page.keyboard.press("ArrowRight")
        wait_for(lambda: page.evaluate("document.activeElement.scrollLeft > 0"), 30, "the table scrolls")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 1600])
def test_on_a_wide_screen_nothing_is_left_empty(browser, address, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(address)
    ends = page.evaluate("[...document.querySelectorAll('table, article')].map(e => e.getBoundingClientRect().right)")
    assert max(ends) > 0.95 * width
    narrow = (
        "[...document.querySelectorAll('.wide')].filter(e => e.firstChild.offsetWidth < 0.95 * e.clientWidth).length"
    )
    assert page.evaluate(narrow) == 0
    lefts = {
        round(x)
        for x in page.evaluate("[...document.querySelectorAll('.wide')].map(e => e.getBoundingClientRect().left)")
    }
    assert len(lefts) >= 2  # tables stand beside each other
    assert page.locator("[data-language]").inner_text() == "Japanese (ja)"
    page.close()
