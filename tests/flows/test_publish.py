"""Publish on the tests' small root: what comes out, what a kill leaves, what the card's own code does."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner

from datasets.releases.layout import list_releases, read_manifest, read_shards, release_path
from datasets.releases.verify import verify_release, verify_root
from datasets.tables import read_table
from flows.__main__ import app
from flows.config import Config, load_config
from flows.stages.publish import publish
from flows.stages.regenerate import read_release_settings
from tests.needs import READERS_PYTHON, needs_readers
from tests.small_tables import make_root

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published(small_root, small_config, tmp_path_factory):
    """A copy of the small root with a release."""
    root = shutil.copytree(small_root, tmp_path_factory.mktemp("published") / "root")
    config = small_config.model_copy(update={"root": str(root)})
    assert publish(config) == "1.0.0"
    return config


@pytest.fixture(scope="module")
def release(published):
    return Path(release_path(published.root, "1.0.0"))


def code_of(release, which):
    """The card's Python snippets: that for Hugging Face, then that for torch."""
    return re.findall(r"```python\n(.*?)```", (release / "README.md").read_text(), re.DOTALL)[which]


def test_a_release_holds_the_clips_of_the_splits_and_verifies(published, release):
    splits = set(read_table(published.root, "splits")["clip_id"].to_pylist())
    for family in read_manifest(release)["families"]:
        assert set(read_shards(release, family)["clip_id"].to_pylist()) == splits, family
    assert verify_root(published.root) == []


def test_row_groups_are_small_enough_for_a_random_row(release):
    import pyarrow.parquet as pq

    for path in release.rglob("*.parquet"):
        metadata = pq.ParquetFile(path).metadata
        assert all(metadata.row_group(n).total_byte_size <= 8 << 20 for n in range(metadata.num_row_groups)), path


def test_the_card_has_the_funnel_the_losses_and_the_other_choices(release):
    card = (release / "README.md").read_text()
    assert "| videos downloaded | " in card and "| videos | failed | private | 1 |" in card
    assert re.search(r"\| \*\*700 ms\*\* \| drop \| \d+ \|", card)
    assert "features_3d were made with UNTRAINED weights" in card


def test_code_version_machine_and_time_are_in_run_json_only(release):
    run = json.loads((release / "run.json").read_text())
    assert run["machine"]["platform"] and run["built_at"]
    for path in release.rglob("*"):
        if path.is_file() and path.name not in ("run.json", "SHA256SUMS"):
            assert run["built_at"].encode() not in path.read_bytes(), path


def test_torch_code_of_the_card_runs(release):
    code = code_of(release, 1) + "print(video.shape, audio.shape)"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=release, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("torch.Size([8, 3328]) torch.Size([")


def test_training_reads_a_release_as_it_reads_the_root(published, release):
    from model.data import load_clips

    ours, theirs = load_clips(published.root, "test"), load_clips(release, "test")
    assert ours.clip_ids == theirs.clip_ids and (ours.video == theirs.video).all()
    assert (ours.frames(0) == theirs.frames(0)).all()


def test_commands_say_what_they_did(published, tmp_path):
    root = published.root
    config = ["--config", str(TOP / "configs" / "demo.toml"), "--root", root]
    assert "none, unless values or papers changed" in run("publish", *config, "--dry-run").output
    assert run("publish", *config, "--to", tmp_path / "away").exit_code == 0
    assert list_releases(root) == ["1.0.0"] and verify_release(tmp_path / "away" / "1.0.0") == []
    video_id = read_table(root, "splits")["video_id"][0].as_py()
    assert "yes: " in run("am-i-in", tmp_path / "away" / "1.0.0", "--video", video_id).output
    assert run("am-i-in", tmp_path / "away" / "1.0.0", "--video", "nobody").output == "no\n"
    shard = next((tmp_path / "away").rglob("data/pooled/test-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    spoiled = run("verify", tmp_path / "away")
    assert spoiled.exit_code == 3 and f"data/pooled/{shard.name}" in spoiled.output


@pytest.mark.slow
@needs_readers
def test_others_open_a_release_without_our_software(release, tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    script = TOP / "tests" / "flows" / "open_release.py"
    options = {"cwd": release, "env": environment, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([READERS_PYTHON, "-P", script], **options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    families = ("metadata", "pooled", "features_2d", "features_3d", "log_mel")
    for tool, counts in found.items():
        assert {family: counts[family] for family in families} == dict.fromkeys(families, 14), tool
    assert found["hugging face"]["pooled-tiny"] == 4 + 2 + 4
    snippet = subprocess.run([READERS_PYTHON, "-P", "-c", code_of(release, 0)], **options)
    assert snippet.returncode == 0 and snippet.stdout.split()[1:] == ["1280", "2048"], snippet.stderr


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def told(release, tmp_path_factory):
    """What is left of the release on another machine: its manifest and which clips it has."""
    folder = tmp_path_factory.mktemp("told")
    shutil.copytree(release / "data" / "metadata", folder / "data" / "metadata")
    shutil.copyfile(release / "manifest.json", folder / "manifest.json")
    return folder


@pytest.mark.slow
def test_from_its_manifest_alone_a_release_is_made_anew_byte_for_byte_on_an_empty_root(
    told, release, small_config, tmp_path, caplog
):
    source = small_config.source
    site = tmp_path / "site.toml"  # which site is asked, and how, no manifest says
    extractors = json.dumps(list(source.extractors))
    site.write_text(f"""
        source = {{ name = "site", watch_url = "{source.watch_url}", extractors = {extractors} }}
        pacer = {{ enabled = false }}
        download = {{ min_free_bytes = 1 }}
    """)
    root = tmp_path / "again"
    done = run("regenerate", told, "--config", site, "--root", root)
    assert done.exit_code == 0, done.output
    again = release_path(root, "1.0.0")
    assert verify_release(again) == []
    assert read_manifest(again)["files"] == read_manifest(release)["files"]
    num_shards = len(read_manifest(release)["files"])
    assert f"{num_shards} of {num_shards} shards have the bytes of" in caplog.text


def test_a_manifest_says_how_its_bytes_are_made_and_neither_what_code_runs_nor_whom_it_asks(told):
    settings = read_release_settings(str(told))
    assert set(settings) == {"download", "features", "publish"}
    assert settings["features"]["encoder_2d"] == "efficientnet_lite0" and "device" not in settings["features"]
    assert set(settings["download"]) == {"max_height", "max_bytes"}
    config = load_config(None, None, ("features.window_step_3d=16",), beneath=settings)
    assert (config.features.window_step_3d, config.publish.tiny_clips, config.source.name) == (16, 4, "youtube")


@pytest.mark.parametrize("lists", ["{told}", "{told} {told}", "{told} {ids}", "train={told}"])
def test_a_release_of_another_source_is_not_asked_of_youtube(told, tmp_path, lists):
    (tmp_path / "ids.txt").write_text("nVbIUDjzWY4\n")
    words = [word.format(told=told, ids=tmp_path / "ids.txt") for word in lists.split()]
    done = run("regenerate", *words, "--root", tmp_path / "again")
    assert done.exit_code == 2 and "from the source 'site', and source.name is 'youtube'" in done.stderr
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("damage", [{"config": 1}, {"config": {"features": {}}}, {"publish": {"name": "/"}}])
def test_a_manifest_that_does_not_say_how_it_was_made_is_one_line(told, tmp_path, damage):
    copy = Path(shutil.copytree(told, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | damage))
    done = run("regenerate", copy, "--root", tmp_path / "again")
    assert done.exit_code == 3 and done.stderr.count("\n") == 1 and "manifest.json" in done.stderr


def start_publishing(config, *words):
    overrides = [f"--set=publish.{name}=1" for name in ("clips_per_shard", "tiny_clips", "small_clips")]
    command = [sys.executable, "-m", "flows", "publish", "--root", config.root, *overrides, *words]
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    return subprocess.Popen(command, cwd=TOP, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)


def kill_after_first_shard(process, folder):
    while process.poll() is None:
        if any(folder.rglob("*.parquet")):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    return process.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_leaves_the_last_release_whole_and_no_half_one(tmp_path, prefect_server):
    root = make_root(tmp_path / "root", splits={"train": 30, "val": 10, "test": 10})
    config = Config(root=root)
    publish(config)
    away = tmp_path / "away"
    killed = start_publishing(config)
    assert kill_after_first_shard(killed, Path(root) / "releases" / ".building") == -signal.SIGKILL
    assert list_releases(root) == ["1.0.0"] and verify_root(root) == []
    killed = start_publishing(config, "--to", str(away))
    assert kill_after_first_shard(killed, away) == -signal.SIGKILL
    assert list(away.glob("[0-9]*")) == [] and not (away / "latest.json").exists()
    assert list_releases(root) == ["1.0.0", "1.0.1"] and verify_root(root) == []
    assert start_publishing(config, "--to", str(away)).wait() == 0
    assert verify_root(away) == [] and not list(away.glob(".*"))
