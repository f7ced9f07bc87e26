"""What is known of one video or clip, and how two roots differ."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from datasets.outcomes import OK, dropped
from datasets.tables import make_table, record_run, write_part
from flows.__main__ import app
from flows.config import Config
from flows.finding.lookup import describe_item, read_item
from flows.report.comparison import compare_clips, compare_settings, fold_difference
from flows.status import to_rich
from tests.small_tables import make_root

CLIP = "video-00001_000007000_000013000"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("lookup") / "root")


def inspect(root, item):
    result = CliRunner().invoke(app, ["inspect", item, "--root", root, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_video_is_shown_with_what_every_table_says_of_it(root):
    found = inspect(root, "video-00001")
    assert found["discoveries"][0]["query"] == "肉じゃが"
    assert [clip["start_ms"] for clip in found["clips"]] == [0, 7000, 14000]
    assert {"videos", "media", "splits", "features_2d", "log_mel", "pooled"} <= set(found)
    assert found["files"][0]["is"] == "not there"
    assert all(row["video_id"] == "video-00001" for name in ("videos", "media", "clips") for row in found[name])


def test_a_clip_is_shown_with_its_video(root):
    found = inspect(root, CLIP)
    assert [row["clip_id"] for row in found["clips"]] == [CLIP] and len(found["splits"]) == 1
    assert found["videos"][0]["video_id"] == "video-00001"


def test_an_address_stands_for_its_video(root):
    assert inspect(root, "https://www.youtube.com/watch?v=video-00001") == inspect(root, "video-00001")


def test_on_a_screen_a_clip_is_one_line_with_split_and_features(root):
    shown = CliRunner().invoke(app, ["inspect", CLIP, "--root", root]).stdout
    assert (
        " ".join(shown.replace("│", " ").split()).count("split train; has features_2d, features_3d, log_mel, pooled")
        == 1
    )


def test_on_a_screen_the_words_of_a_clip_stand_in_its_line_and_a_link_says_where_the_file_lies(tmp_path):
    root = make_root(tmp_path / "root")
    row = {"clip_id": CLIP, "video_id": "video-00001", "text": "弱火で煮ます", "engine": "list", **OK}
    write_part(root, "transcripts", make_table("transcripts", [row], recipe="t", run_id="x"))
    record_run(root, "transcripts", "t", {})
    (tmp_path / "film.mp4").write_text("")
    path = tmp_path / "root" / "media_files" / inspect(root, CLIP)["media"][0]["media_path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / "film.mp4")
    assert inspect(root, CLIP)["files"][0]["is"] == f"there, a link to {tmp_path / 'film.mp4'}"
    lines = describe_item(read_item(Config(root=root), CLIP))
    assert "words 弱火で煮ます" in lines[lines["table"] == "clips"]["what it says"].item()


def test_an_id_that_no_table_holds_is_told_with_the_nearest(root):
    result = CliRunner().invoke(app, ["inspect", "vidoe-00001", "--root", root])
    assert result.exit_code == 2 and result.stderr.endswith("did you mean 'video-00001'?\n")


def test_an_id_that_begins_with_a_dash_is_no_option(root):
    result = CliRunner().invoke(app, ["inspect", "-JQIs9TnbkI", "--root", root])
    assert result.exit_code == 2 and "holds the id '-JQIs9TnbkI'" in result.stderr


def test_on_a_screen_of_80_columns_retrieval_of_both_is_readable():
    both = {"split": ["test"], "direction": ["video_clip_retrieval"]}
    values = {f"{m} {x}": [1.5] for m in ("R@1", "R@5", "R@10", "MedR") for x in ("A", "B", "B-A")}
    folded = fold_difference(pd.DataFrame({**both, **values}))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_rich(folded, "Retrieval"))
    assert console.export_text().count("video clip retrieval") == len(folded) == 4


@pytest.fixture
def other(tmp_path):
    """One clip a video more, one clip dropped, another setting."""
    root = make_root(tmp_path / "other", clips_per_video=4)
    lost = {"clip_id": CLIP, "video_id": "video-00001", "start_ms": 7000, "end_ms": 13000, **dropped("clip_too_long")}
    write_part(root, "clips", make_table("clips", [lost], recipe="r", run_id="x", attempt=1))
    return root


def test_clips_gained_and_lost_are_counted_and_named(root, other):
    rows = compare_clips(root, other).set_index("clips")
    assert rows["items"].to_dict() == {
        "in both": 11,
        "lost: only in A": 1,
        "gained: only in B": 4,
        "in another split": 0,
    }
    assert rows.loc["lost: only in A", "the first of them"] == CLIP


def test_settings_that_differ_are_named_with_both_values(tmp_path):
    for name, gap in (("a", 0), ("b", 700)):
        config = {"root": name, "clips": {"bridge_gap_ms": gap, "min_ms": 5000}, "run": {"num_workers": gap + 1}}
        record_run(tmp_path / name, "clips", "r", {"config": config, "code_version": "1", "recorded_at": "2026"})
    rows = compare_settings(str(tmp_path / "a"), str(tmp_path / "b")).values.tolist()
    assert rows == [["clips.bridge_gap_ms", "0", "700"]]


def test_the_command_prints_both_or_json(root, other):
    shown = CliRunner().invoke(app, ["diff", root, other])
    assert shown.exit_code == 0 and f"A: {root}\nB: {other}\n" in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["diff", root, other, "--json"]).stdout)
    assert {"difference_settings", "difference_funnel", "difference_not_ok", "difference_clips"} <= set(document)
    assert document["difference_not_ok"][0]["reason"] == "clip_too_long"
