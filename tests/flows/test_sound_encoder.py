"""An encoder of sound, named after everything else was made: its own table and family, and nothing else changes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.releases.layout import read_manifest, read_shards, release_path
from datasets.releases.verify import verify_root
from datasets.tables import read_ok, read_run, table_digest
from features.encoders import table
from features.encoders.table import ENCODERS
from flows.config import load_config
from flows.finding.lookup import describe_item, read_item
from flows.stages.featurize import featurize
from flows.stages.publish import publish
from flows.status import read_notes
from tests.flows.conftest import CONFIGS, SMALL

NAME = "transformers/openai/whisper-base"
SIZES = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
BEFORE = ("features_2d", "features_3d", "log_mel", "pooled")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_encoder_of_sound_adds_a_table_and_a_family_and_changes_no_other(
    small_root, small_config, prefect_server, tmp_path, monkeypatch
):
    monkeypatch.setitem(table.TRANSFORMERS, NAME.removeprefix("transformers/"), ("Whisper", SIZES))
    monkeypatch.setitem(ENCODERS, NAME, replace(ENCODERS[NAME], dim=32))
    root = shutil.copytree(small_root, tmp_path / "root", ignore=shutil.ignore_patterns("releases", "checkpoints"))
    sets = (*SMALL, f"source.watch_url={small_config.source.watch_url}")
    told = {name: read_run(root, name)["recipe"] for name in BEFORE}
    with_sound = (f"features.encoder_sound={NAME}", "features.weights_sound=untrained")
    config = load_config(CONFIGS / "demo.toml", str(root), sets + with_sound)

    featurize(config)
    assert {name: table_digest(root, name) for name in BEFORE} == {
        name: table_digest(small_root, name) for name in BEFORE
    }
    assert {name: read_run(root, name)["recipe"] for name in BEFORE} == told
    heard = read_ok(root, "features_sound", ["clip_id", "row_start_ms"]).to_pylist()
    seen = {
        row["clip_id"]: row["row_start_ms"]
        for row in read_ok(root, "features_2d", ["clip_id", "row_start_ms"]).to_pylist()
    }
    assert {row["clip_id"] for row in heard} == set(seen)
    assert all(abs(len(row["row_start_ms"]) - len(seen[row["clip_id"]])) <= 1 for row in heard)
    assert any(note.startswith(f"features_sound: {NAME} ran with") for note in read_notes(str(root)))
    found = describe_item(read_item(config, heard[0]["clip_id"]))
    assert "features_sound" in found.to_string()

    release = release_path(root, publish(config))
    assert verify_root(root) == []
    family = read_manifest(release)["families"]["features_sound"]
    assert (family["rows"], family["encoder"]["name"], family["encoder"]["license"]) == (len(heard), NAME, None)
    assert read_shards(release, "features_sound").num_rows == len(heard)
    assert f"| features_sound | {NAME} | torch, fp32 | UNTRAINED |" in Path(release, "README.md").read_text()
