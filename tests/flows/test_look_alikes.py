"""What the report shows of clips that the splits divide although they look alike."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, write_part
from flows.config import Config
from flows.report.build import build_report
from flows.report.look_alikes import find_look_alikes

SPLITS = ["train", "train", "val", "test", "test", "train"]
LOOKS = [1, 2, 3, 1, 4, 4]  # of clip 0 and 3, and of 4 and 5: but those are of one video


@pytest.fixture
def root(tmp_path):
    return write_root(tmp_path, LOOKS)


def write_root(tmp_path, looks):
    videos = ["a", "b", "c", "d", "e", "e"]
    keys = [{"clip_id": make_clip_id(v, 9000 * n, 9000 * n + 6000), "video_id": v, **OK} for n, v in enumerate(videos)]
    times = [{"start_ms": 9000 * n, "end_ms": 9000 * n + 6000} for n in range(len(videos))]
    rows = {
        "clips": [{**key, **time, "speech_ms": 6000} for key, time in zip(keys, times, strict=True)],
        "splits": [{**key, "split": split} for key, split in zip(keys, SPLITS, strict=True)],
    }
    for name, table in rows.items():
        write_part(tmp_path, name, make_table(name, table, recipe="r", run_id="x"))
    vectors = [np.abs(np.random.default_rng(look).normal(1, 1, 16)).tolist() for look in looks]
    columns = {name: [key[name] for key in keys] for name in ("clip_id", "video_id", "status")}
    columns |= {
        "pooled_2d": pa.array(vectors, pa.list_(pa.float32())),
        "pooled_3d": pa.nulls(6, pa.list_(pa.float32())),
    }
    columns |= {name: pa.nulls(6, pa.string()) for name in ("reason", "detail")}
    write_part(tmp_path, "pooled", add_common_columns(pa.table(columns), recipe="r", run_id="x"))
    return str(tmp_path)


def test_the_nearest_of_another_split_and_video_comes_first(root):
    found = find_look_alikes(root)
    assert found[0].similarity == pytest.approx(1, abs=1e-5)
    assert [(side.video_id, side.split) for side in found[0].sides] == [("d", "test"), ("a", "train")]
    assert found[0].sides[0].middle_ms == 3 * 9000 + 3000
    assert found[1].similarity < 0.9
    assert len(find_look_alikes(root, num_pairs=1)) == 1


def test_two_videos_that_are_each_others_nearest_are_shown_once(tmp_path):
    found = find_look_alikes(write_root(tmp_path, [1, 2, 3, 3, 4, 5]))
    assert found[0].similarity == pytest.approx(1, abs=1e-5)
    assert [{side.video_id for side in pair.sides} for pair in found].count({"c", "d"}) == 1


def test_the_report_names_them_where_no_media_are_here(root):
    text = Path(build_report(Config(root=root))).read_text(encoding="utf-8")
    section = text.partition('<section id="look-alikes"')[2].partition("</section>")[0]
    assert section.count("<li>") == len(find_look_alikes(root)) and "<img" not in section
    assert f"test: {make_clip_id('d', 27_000, 33_000)}" in section


def test_a_root_without_features_has_no_such_section(tmp_path):
    assert find_look_alikes(str(tmp_path)) == []
