"""A command whose flow has nothing left to do says so and starts no server; one that has work starts it first."""

import json
import logging
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from datasets.schemas import TABLES
from datasets.tables import read_table, table_digest
from flows.__main__ import app
from flows.commands import curation, releases, training
from flows.commands.running import run_flow
from flows.config import Config
from tests.model.original_files import write_original
from tests.small_tables import make_root, video_name

SAYS_SO = "nothing is left to do"
TINY = ["batch_size=4", "epochs=1", "embedding_dim=8", "widths=[4,4,4,4,4]", "recipe=proper"]


class Started(Exception):
    """In place of a server."""


@contextmanager
def no_server_configured():
    """Commands find no server, and raise `Started` where they would start one."""

    def start():
        raise Started

    with pytest.MonkeyPatch.context() as patch:
        for module in (curation, releases, training):
            patch.setattr(module, "reserve_server", lambda: start)
        yield


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def finish(*words):
    """Do what there is to do, on the tests' server."""
    done = run(*words)
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"


def has_work(*words):
    """Whether the command starts a server; else it has said that there is nothing to do."""
    said, logger = [], logging.getLogger("curation")
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(listener)
    with no_server_configured():
        done = run(*words)
    logger.removeHandler(listener)
    if isinstance(done.exception, Started):
        return True
    assert done.exit_code == 0 and SAYS_SO in said[-1], f"{said}\n{done.output}\n{done.exception!r}"
    return False


def read(root):
    return {name: table_digest(root, name) for name in TABLES}


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("curate", "clips.max_ms=7777"),
        ("featurize", "features.max_damaged_share=0.07"),
        ("finetune", "train.seed=7"),
        ("evaluate", "evaluate.num_bootstrap=7"),
        ("pipeline", "evaluate.num_bootstrap=7"),
    ],
)
def test_a_stage_of_the_pipeline_starts_a_server_only_for_work(command, change, small_root, small_words):
    words = [command, "--config=configs/demo.toml", f"--root={small_root}", *small_words]
    before = read(small_root)
    assert not has_work(*words)
    assert has_work(*words, f"--set={change}")
    assert read(small_root) == before


def test_a_training_that_has_ended_is_not_begun_again(tmp_path, prefect_server):
    root = make_root(tmp_path / "root", splits={"train": 6, "val": 1, "test": 1})
    words = ["finetune", f"--root={root}", *(f"--set=train.{word}" for word in TINY)]
    assert has_work(*words)
    finish(*words)
    assert not has_work(*words)
    assert has_work(*words, "--set=train.epochs=2")
    assert has_work("pretrain", *words[1:])


def test_pairs_that_are_listed_are_not_listed_again(tmp_path, prefect_server):
    data = [{"uttid": "u1", "wav": "1.wav", "image": "a.jpg"}]
    metadata = {"image_base_path": str(tmp_path), "audio_base_path": str(tmp_path), "data": data}
    (tmp_path / "test.json").write_text(json.dumps(metadata))
    words = ["pairs", f"--root={tmp_path}/root", f"--set=pairs.test={tmp_path}/test.json"]
    assert has_work(*words)
    finish(*words)
    assert not has_work(*words)
    assert has_work(*words, "--retry=media_missing")


def test_files_that_were_imported_are_not_imported_again(tmp_path, prefect_server):
    files = write_original(tmp_path, "youcook_japanese", {"train": 2, "test": 2})
    words = ["import-original", *files, f"--root={tmp_path}/root"]
    assert has_work(*words)
    finish(*words)
    assert not has_work(*words)


def test_what_is_released_and_what_is_taken_down_already_is_nothing_to_do(tmp_path, prefect_server):
    root = make_root(tmp_path / "root", splits={"train": 3, "val": 1, "test": 1})
    publish = ["publish", f"--root={root}"]
    takedown = ["takedown", f"--root={root}", f"--video={video_name(1)}", "--why=asked"]
    assert has_work(*publish)
    finish(*publish)
    assert not has_work(*publish)
    assert has_work(*publish, f"--to={tmp_path}/away")
    assert has_work(*publish, "--set=publish.clips_per_shard=2")
    assert has_work(*takedown)
    assert video_name(1) in read_table(root, "videos")["video_id"].to_pylist()
    finish(*takedown)
    assert not has_work(*takedown)
    (Path(root) / "notes.txt").write_text(video_name(1))
    assert has_work(*takedown)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/api", "http://elsewhere.example/api"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_prefect_server_that_is_gone_is_told_in_words_and_nothing_else_is_taken_for_it(
    address, is_wrapped, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr("flows.machinery.doctor.require", lambda *_, **__: None)
    lost = httpx.ConnectError("refused", request=httpx.Request("GET", f"{address}/admin/version"))

    class Flow:
        name = "featurize"

        def __call__(self, config):
            if not is_wrapped:
                raise lost
            raise RuntimeError("Failed to reach API") from lost

    is_prefects = "127.0.0.1" in address
    kind = OSError if is_prefects else RuntimeError if is_wrapped else httpx.ConnectError
    told = r"no longer answers: refused; the same command goes on" if is_prefects else r"refused|Failed to reach API"
    with pytest.raises(kind, match=told):
        run_flow(None, Flow(), None, Config(root=str(tmp_path)))
