"""The listening sheet: the same draw every time, answers read back, precision with its interval."""

import re
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import make_table, write_part
from flows.__main__ import app
from flows.answers import forget_answers, keep_answers, measure_precision
from flows.report.listening import draw_samples

HEADER = "clip_id,split,answer,note"
SPANS = [(v, i * 10_000, i * 10_000 + 8000) for v in ("-a", "b") for i in range(20)]
CLIPS = [make_clip_id(*span) for span in SPANS]


@pytest.fixture
def kept():
    return pd.DataFrame(SPANS, columns=["video_id", "start_ms", "end_ms"]).assign(split="train")


@pytest.fixture
def root(tmp_path):
    """A root of two videos with 20 clips each."""
    root = tmp_path / "root"
    names = ("video_id", "start_ms", "end_ms")
    rows = [{"clip_id": make_clip_id(*span), **dict(zip(names, span, strict=True)), **OK} for span in SPANS]
    write_part(root, "clips", make_table("clips", rows, recipe="r", run_id="x"))
    return str(root)


def write_sheet(path, answers, note='a ""note"", so'):
    path.write_text("\r\n".join([HEADER, *(f'"{clip}","train","{answer}","{note}"' for clip, answer in answers)]))
    return path


def test_the_draw_is_the_same_for_any_order_and_only_of_clips_that_can_be_heard(kept):
    links = {"-a": "media_files/x.mp4", "b": None}
    drawn = draw_samples(kept, links, {"-a": "みそ汁"}, 5)
    assert drawn == draw_samples(kept.iloc[::-1], links, {"-a": "みそ汁"}, 5)
    assert len(drawn) == 5 and all(sample.href.startswith("media_files/x.mp4#t=") for sample in drawn)
    assert {sample.title for sample in drawn} == {"みそ汁"}


def test_precision_has_wilsons_interval(root, kept, tmp_path):
    answers = [(clip, "yes") for clip in CLIPS[:27]] + [(clip, "no") for clip in CLIPS[27:30]] + [(CLIPS[30], "unsure")]
    keep_answers(root, write_sheet(tmp_path / "a.csv", answers))
    found = measure_precision(root, kept)
    assert (found.num_yes, found.num_no, found.num_unsure, found.share) == (27, 3, 1, 0.9)
    assert (found.low, found.high) == pytest.approx((0.7438, 0.9654), abs=1e-4)  # Wilson 1927, computed by hand


def test_of_several_judges_the_majority_counts_and_a_sheet_given_twice_counts_once(root, kept, tmp_path):
    for judge, answer in (("Aiko", "yes"), ("Ben", "no"), ("Chie", "no")):
        keep_answers(root, write_sheet(tmp_path / "a.csv", [(CLIPS[0], answer)], note=judge))
    for _ in range(3):
        keep_answers(root, write_sheet(tmp_path / "a.csv", [(CLIPS[0], "yes")], note="Aiko"))
    found = measure_precision(root, kept)
    assert (found.num_yes, found.num_no, found.num_unsure) == (0, 1, 0)


def test_answers_about_clips_of_before_do_not_count(root, kept, tmp_path):
    keep_answers(root, write_sheet(tmp_path / "a.csv", [("gone_000000000_000008000", "no"), (CLIPS[0], "yes")]))
    assert measure_precision(root, kept.iloc[1:]) is None


def test_a_sheet_of_another_root_is_refused(root, tmp_path):
    sheet = write_sheet(tmp_path / "a.csv", [("other_000000000_000008000", "no")])
    done = CliRunner().invoke(app, ["report", "--root", root, "--listened", str(sheet)])
    assert done.exit_code == 3 and "such as other_000000000_000008000" in done.stderr, done.output


def test_a_takedown_forgets_the_answers_about_its_clips_and_keeps_the_others(root, kept, tmp_path):
    keep_answers(root, write_sheet(tmp_path / "a.csv", [(CLIPS[0], "no"), (CLIPS[30], "yes")]))
    forget_answers(root, {"-a"})
    assert "-a_" not in "".join(path.read_text() for path in (tmp_path / "root" / "listening").iterdir())
    found = measure_precision(root, kept)
    assert (found.num_yes, found.num_no) == (1, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"clip_id,answer\nx,yes\n", "its columns must be clip_id, split, answer, note"),
        (f"{HEADER}\nx,train,perhaps,\n".encode(), "line 2: answer 'perhaps'"),
        (f"{HEADER}\nx,train,,\n".encode(), "holds no answer"),
        (b"\xff\xfe\x00", "not text"),
    ],
)
def test_a_file_that_is_no_sheet_is_one_line_and_nothing_is_kept(root, tmp_path, content, told):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["report", "--root", root, "--listened", str(path)])
    assert result.exit_code == 3 and told in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("root/listening/*"))


def test_the_command_and_the_page_tell_the_precision(root, tmp_path):
    path = write_sheet(tmp_path / "a.csv", [(clip, "yes") for clip in CLIPS[:9]] + [(CLIPS[9], "no")])
    result = CliRunner().invoke(app, ["report", "--root", root, "--listened", str(path)])
    told = "precision 90 % (95 % interval 60 to 98 %): 9 of 10 clips are what they claim, 0 undecided"
    assert result.exit_code == 0 and told in result.stderr
    assert told in (tmp_path / "root" / "report.html").read_text()


@pytest.fixture(scope="module")
def page_address(small_root, small_config):
    from flows.report.build import build_report

    build_report(small_config)
    return f"file://{small_root}/report.html"


@pytest.mark.slow
def test_in_a_browser_answers_are_kept_counted_and_saved_as_the_csv_that_is_read_back(
    browser, page_address, small_root, tmp_path
):
    page = browser.new_page()
    page.goto(page_address)
    boxes = page.locator("#sheet li")
    num_samples = boxes.count()
    assert num_samples > 3
    for index, answer in enumerate(("yes", "yes", "no")):
        boxes.nth(index).locator(f"input[value={answer}]").check()
    boxes.nth(0).locator(".note").fill('says "味噌", twice')
    boxes.nth(1).locator(".note").fill("=1+1")
    page.reload()
    assert page.locator("#judged").inner_text() == f"3 of {num_samples} judged"
    with page.expect_download() as download:
        page.locator("#save-answers").click()
    saved = tmp_path / "listening.csv"
    download.value.save_as(saved)
    page.close()
    assert '"says ""味噌"", twice"' in saved.read_text()
    assert '"\'=1+1"' in saved.read_text()
    try:
        result = CliRunner().invoke(app, ["report", "--root", small_root, "--listened", str(saved)])
        assert "2 of 3 clips are what they claim" in result.stderr
    finally:
        shutil.rmtree(f"{small_root}/listening", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_in_a_browser_the_page_fits_says_nothing_on_the_console_and_plays(browser, page_address, width, height):
    page = browser.new_page(viewport={"width": width, "height": height})
    told = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else told.append(request.url))
    page.goto(page_address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.locator("#sheet a.listen").first.click()
    assert page.locator("#player").is_visible()
    assert re.match(r"\d+:\d\d, ", page.locator("#player p").inner_text())
    page.close()
    assert told == []
