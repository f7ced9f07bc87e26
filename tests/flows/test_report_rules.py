"""The page of what rules leave out: counts, overlap, and examples to look at and listen to."""

import re
from pathlib import Path

import pytest

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import make_table, read_run, write_part
from flows.config import RULES_FILE, Config
from flows.machinery.run import Run
from flows.report.build import build_report
from flows.report.rules import NUM_EXAMPLES, read_rules_page
from flows.stages.filter import filter_clips
from tests.extract.data_channel import make_video

MADE = {"recipe": "r", "run_id": "x"}
RULES = {
    "still": "qualities.still_share <= 0.5",
    "faint": "qualities.level_db >= -45 else 0.5",
    "dark": "qualities.dark_share <= 1",
}
TITLE = "<script>alert(1)</script>みそ汁"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Fourteen clips of one video: twelve stills, four faint of which two are stills, none dark."""
    root = tmp_path_factory.mktemp("ruled")
    (root / "media_files").mkdir()
    make_video(root / "media_files" / "moves.mp4")
    ids = [(make_clip_id("moves", 100 * i, 100 * i + 2000), 100 * i) for i in range(14)]
    tables = {
        "videos": [{"video_id": "moves", "title": TITLE, **OK}],
        "media": [{"video_id": "moves", "media_path": "moves.mp4", **OK}],
        "clips": [{"clip_id": c, "video_id": "moves", "start_ms": t, "end_ms": t + 2000, **OK} for c, t in ids],
        "splits": [{"clip_id": c, "video_id": "moves", "split": "train", **OK} for c, _ in ids],
        "qualities": [
            {
                "clip_id": c, "video_id": "moves", "still_share": float(i < 12), "dark_share": 0.0,
                "level_db": -60.0 if 10 <= i < 14 else -20.0, **OK,
            }
            for i, (c, _) in enumerate(ids)
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        write_part(root, name, make_table(name, rows, **MADE))
    config = Config(root=str(root), filters={"rules": RULES})
    filter_clips(Run(config, "run"))
    return config


@pytest.fixture(scope="module")
def page(config):
    build_report(config)
    return (config.root + "/" + RULES_FILE, config.root + "/report.html")


def read(path):
    return Path(path).read_text(encoding="utf-8")


def test_every_rule_has_its_counts_and_what_it_alone_leaves_out(config, page):
    content = read_rules_page(config, read_run(config.root, "filtered")["rules"])
    counts = {rule["rule"]: (rule["falls"], rule["alone"]) for rule in content["rules"]}
    assert counts == {"still": (12, 10), "faint": (4, 2), "dark": (0, 0)}
    assert content["num_fallen"] == 14
    assert content["overlap"]["still"] == {"still": 12, "faint": 2, "dark": 0}
    assert content["overlap"]["faint"]["still"] == 2


def test_ten_examples_of_each_rule_can_be_seen_and_heard_and_titles_do_nothing(page):
    text = read(page[0])
    assert len(re.findall(r'<img src="data:image/jpeg', text)) == NUM_EXAMPLES + 4
    assert len(re.findall(r'<audio controls preload="none" src="data:audio/mpeg', text)) == NUM_EXAMPLES + 4
    assert "Every clip fulfils it." in text
    assert "<script>" not in text and "みそ汁" in text


def test_the_report_leads_to_the_page_and_only_where_there_are_rules(page, tmp_path):
    assert f'href="{RULES_FILE}"' in read(page[1])
    write_part(tmp_path, "videos", make_table("videos", [{"video_id": "a", **OK}], **MADE))
    build_report(Config(root=str(tmp_path)))
    assert RULES_FILE not in read(tmp_path / "report.html") and not (tmp_path / RULES_FILE).exists()


def test_equal_tables_and_media_give_equal_bytes(config, page):
    before = read(page[0])
    build_report(config)
    assert read(page[0]) == before
