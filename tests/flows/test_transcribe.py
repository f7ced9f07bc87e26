"""What is said, over the tests' small root: rows, release, pages; and a root without it stays as it was."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datasets.releases.layout import read_manifest, read_shards, release_path
from datasets.releases.verify import verify_root
from datasets.tables import current_recipe, read_table, table_digest
from extract.transcripts import TranscriptSettings
from flows.__main__ import app
from flows.config import GALLERY_FILE
from flows.report.build import build_report
from flows.report.gallery import build_gallery
from flows.stages.publish import publish
from flows.stages.transcribe import transcribe

pytestmark = pytest.mark.slow  # a real Whisper hears every clip
BEFORE = ("clips", "splits", "pooled", "log_mel", "ranks")


@pytest.fixture(scope="module")
def told(small_root, small_config, whisper_model, tmp_path_factory):
    """(configuration of a copy of the small root that was transcribed, digests of its tables before)."""
    root = shutil.copytree(small_root, tmp_path_factory.mktemp("told") / "root")
    settings = TranscriptSettings(model=whisper_model, beam_size=1)
    config = small_config.model_copy(update={"root": str(root), "transcripts": settings})
    before = {name: table_digest(config.root, name) for name in BEFORE}
    transcribe(config)
    return config, before


def test_every_clip_of_the_splits_has_its_words_or_a_reason(told):
    config, before = told
    rows = read_table(config.root, "transcripts").to_pylist()
    assert {row["clip_id"] for row in rows} == set(read_table(config.root, "splits")["clip_id"].to_pylist())
    assert sum(row["status"] == "ok" and row["language"] == "ja" and 0 < row["confidence"] <= 1 for row in rows) >= 10
    assert all(row["reason"] == "no_words" for row in rows if row["status"] != "ok")
    assert before == {name: table_digest(config.root, name) for name in BEFORE}


def test_what_is_transcribed_is_not_done_again(told, monkeypatch):
    config, _ = told
    monkeypatch.setattr("flows.stages.transcribe.make_transcriber", None)
    transcribe(config)


def test_a_release_has_the_words_as_a_family_that_verifies(told):
    config, _ = told
    version = publish(config)
    release = release_path(config.root, version)
    family = read_manifest(release)["families"]["transcripts"]
    assert family["encoder"]["name"] == "whisper" and len(family["made"]["weights_sha256"]) == 64
    words = read_shards(release, "transcripts")
    assert all(words["text"].to_pylist()) and verify_root(config.root) == []
    assert "speech recogniser" in (Path(release) / "README.md").read_text()


def test_a_release_without_them_has_no_such_family(small_root, small_config, tmp_path):
    root = shutil.copytree(small_root, tmp_path / "root")
    config = small_config.model_copy(update={"root": str(root)})
    manifest = read_manifest(release_path(config.root, publish(config)))
    assert current_recipe(config.root, "transcripts") is None and "transcripts" not in manifest["families"]


def test_gallery_and_listening_sheet_show_the_words(told):
    config, _ = told
    build_gallery(config)
    pages = [Path(path).read_text() for path in (f"{config.root}/{GALLERY_FILE}", build_report(config))]
    texts = [text for text in read_table(config.root, "transcripts")["text"].to_pylist() if text]
    assert all('class="words"' in page and any(text in page for text in texts) for page in pages)


def test_without_a_model_one_line_says_what_to_set(small_words, tmp_path):
    answer = CliRunner().invoke(app, ["transcribe", "--root", str(tmp_path), *small_words])
    assert answer.exit_code == 2 and "transcripts.model is not set" in answer.output
