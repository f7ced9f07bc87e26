"""A root divided among runs that know nothing of each other: the parts are the whole, and none is in another's way."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

import flows.stages.featurize as featurize
import flows.stages.transcribe as transcribe
from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.releases.shards import write_shards
from datasets.tables import TableError, current_recipe, list_parts, make_table, record_run, table_digest, write_part
from flows.config import ConfigError, load_config
from flows.machinery.batches import keep_part
from flows.machinery.doctor import require
from flows.machinery.locks import RootBusyError, hold_root
from flows.machinery.run import Run, WorkLeftError, look
from model.data import load_clips
from model.pretraining import load_videos
from tests.flows.featurize_and_die import NAMES, MeanEngine, load_small, run_here, run_in_order

GOLDEN_CLIP = Path(__file__).parents[1] / "golden" / "features" / "g1_426x240_2997.mp4"
VIDEOS = "abcdefg"


def prepare(root):
    """Seven videos with a clip each in the splits."""
    (root / "media_files").mkdir(parents=True)
    (root / "media_files" / "g.mp4").write_bytes(GOLDEN_CLIP.read_bytes())
    clips = [{"clip_id": make_clip_id(v, 0, 600), "video_id": v, "start_ms": 0, "end_ms": 600, **OK} for v in VIDEOS]
    rows = {
        "media": [{"video_id": video, "media_path": "g.mp4", **OK} for video in VIDEOS],
        "clips": clips,
        "splits": [
            {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "split": "train", **OK} for clip in clips
        ],
    }
    for name, of_table in rows.items():
        write_part(root, name, make_table(name, of_table, recipe="r", run_id="x"))
        record_run(root, name, "r", {})
    return str(root)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small encoders, without Prefect's engine."""
    monkeypatch.setattr(featurize, "load_encoders", load_small)
    monkeypatch.setattr(featurize, "run_batches", run_in_order)
    monkeypatch.setattr(featurize, "open_runner", run_here)


def compute(root, part=None):
    config = load_config(None, root, ("run.clips_per_batch=2", *([f"run.part={part}"] if part else [])))
    with hold_root(root, part):
        featurize.compute_features(Run(config, "test"))


@pytest.mark.parametrize("parts", [("1/3", "2/3", "3/3"), ("1/2", "3/3", "2/2", "2/3")])
def test_parts_at_once_end_with_the_digests_of_one_run_also_where_two_divisions_do_some_twice(tmp_path, parts):
    whole, divided = prepare(tmp_path / "whole"), prepare(tmp_path / "divided")
    compute(whole)
    with ThreadPoolExecutor(len(parts)) as threads:
        list(threads.map(partial(compute, divided), parts))
    assert all(current_recipe(divided, name) == current_recipe(whole, name) for name in NAMES)
    assert {name: table_digest(divided, name) for name in NAMES} == {name: table_digest(whole, name) for name in NAMES}
    assert len(list_parts(divided, "pooled")) >= 4, "no part took the name of another"


def test_features_become_current_with_the_part_that_ends_last(tmp_path):
    root = prepare(tmp_path / "root")
    compute(root, "2/2")
    assert list_parts(root, "pooled") and current_recipe(root, "pooled") is None
    compute(root, "1/2")
    assert current_recipe(root, "pooled") is not None


@pytest.mark.parametrize("read", [load_clips, load_videos, partial(write_shards, metadata=None, settings=None)])
def test_parts_that_computed_otherwise_are_neither_trained_on_nor_published(tmp_path, monkeypatch, read):
    root = prepare(tmp_path / "root")
    compute(root, "1/2")
    monkeypatch.setattr(MeanEngine, "precision", "another")
    compute(root, "2/2")
    with pytest.raises(TableError, match="of 2 recipes, and no run over all of it has ended: let one end; all parts"):
        read(root, "train")


@pytest.mark.parametrize("count", [1, 2, 16])
def test_parts_are_disjoint_and_together_the_whole(count):
    rows = pa.table({"video_id": [f"video{n}" for n in range(100)]})
    kept = [keep_part(rows, "video_id", f"{number + 1}/{count}")["video_id"].to_pylist() for number in range(count)]
    assert sorted(itertools.chain(*kept)) == sorted(rows["video_id"].to_pylist())


@pytest.mark.parametrize("part", ["0/3", "3", "a/b", "3/0", "-1/2", "1/99999", "３/16", "1３/16"])
def test_what_is_no_part_is_refused_by_its_field(part):
    with pytest.raises(ConfigError, match=r"run\.part"):
        load_config(None, None, (f"run.part={json.dumps(part)}",))


def test_a_part_past_the_last_is_refused():
    with pytest.raises(ValueError, match="no part 4/3; the last is 3/3"):
        keep_part(pa.table({"video_id": ["a"]}), "video_id", "4/3")


def test_other_parts_work_beside_one_and_the_same_part_does_not(tmp_path):
    root = str(tmp_path)
    with hold_root(root, "1/2"), hold_root(root, "2/2"), pytest.raises(RootBusyError, match="part 1/2"):
        hold_root(root, "1/2").__enter__()


@pytest.mark.parametrize(("first", "second"), [(None, "1/2"), ("1/2", None)])
def test_a_run_over_the_whole_root_and_one_over_a_part_keep_each_other_off(tmp_path, first, second):
    with hold_root(str(tmp_path), first), pytest.raises(RootBusyError, match="another run works on the root"):
        hold_root(str(tmp_path), second).__enter__()
    with hold_root(str(tmp_path), second):
        pass


@pytest.mark.parametrize("other", ["2/2", None])
def test_a_look_at_a_part_needs_the_root_no_more_than_the_run_does(tmp_path, other):
    root = prepare(tmp_path / "root")
    config = load_config(None, root, ("run.part=1/2",))
    expected = pytest.raises(WorkLeftError) if other else pytest.raises(RootBusyError)
    with hold_root(root, other), expected:
        look(featurize.compute_features, config)


@pytest.mark.parametrize("command", ["curate", "pipeline", "publish", "finetune", "describe"])
def test_a_part_asked_of_a_command_that_goes_over_the_whole_root_is_refused(tmp_path, command):
    config = load_config(None, str(tmp_path), ("run.part=1/2",))
    with pytest.raises(ConfigError, match=f"run.part = '1/2': {command} goes over the whole root"):
        require(command, config)


def test_words_become_current_with_the_part_that_ends_last(tmp_path, monkeypatch):
    whole, divided = prepare(tmp_path / "whole"), prepare(tmp_path / "divided")
    monkeypatch.setattr(transcribe, "run_batches", run_in_order)
    monkeypatch.setattr(transcribe, "describe_whisper", lambda model: {"engine": "e", "weights_sha256": "s"})
    monkeypatch.setattr(transcribe, "make_transcriber", lambda *_: None)
    monkeypatch.setattr(transcribe, "transcribe_clip", say)
    model = tmp_path / "model"
    model.mkdir()
    for name in ("model.bin", "tokenizer.json", "config.json"):
        (model / name).touch()
    for root, part in ((whole, None), (divided, "1/2"), (divided, "2/2")):
        assert current_recipe(divided, "transcripts") is None
        config = load_config(None, root, (f"transcripts.model={model}", *([f"run.part={part}"] if part else [])))
        with hold_root(root, part):
            transcribe.transcribe_root(Run(config, "test"))
    assert table_digest(divided, "transcripts") == table_digest(whole, "transcripts")
    assert current_recipe(divided, "transcripts") == current_recipe(whole, "transcripts")


def say(clip, *_):
    return {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "text": clip["video_id"], **OK}
