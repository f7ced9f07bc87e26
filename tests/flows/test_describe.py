"""Every clip gets its figures, or the reason why it has none; once."""

import shutil
import subprocess

import pytest

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.schemas import TABLES
from datasets.settings import recipe_of
from datasets.tables import current_recipe, list_parts, make_table, read_run, read_table, write_part
from extract.media import ffmpeg_path
from features.quality.figures import CODE_VERSION
from flows.config import Config, RunSettings
from flows.stages.describe import describe, load_models
from flows.status import read_qualities
from tests.extract.data_channel import make_video
from tests.needs import needs_models

MADE = {"recipe": "r", "run_id": "x"}
CLIPS = {"moves": (0, 6000), "stands": (1000, 9000), "lost": (0, 6000)}


def make_still(path):
    """A picture that stands, with black bars, and silence."""
    picture = "testsrc=s=320x180:r=5:d=12,trim=end_frame=1,loop=59:1,pad=320:240:0:30"
    sources = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "anullsrc=d=12", "-shortest"]
    subprocess.run([ffmpeg_path(), "-v", "error", "-nostdin", "-y", *sources, str(path)], check=True, timeout=60)


@pytest.fixture(scope="module")
def config(tmp_path_factory, prefect_server):
    root = tmp_path_factory.mktemp("described")
    media = root / "media_files"
    media.mkdir()
    make_video(media / "moves.mp4")
    make_still(media / "stands.mp4")
    rows = [
        {"clip_id": make_clip_id(v, *times), "video_id": v, "start_ms": times[0], "end_ms": times[1], **OK}
        for v, times in CLIPS.items()
    ]
    write_part(root, "clips", make_table("clips", rows, **MADE))
    rows = [{"video_id": v, "media_path": f"{v}.mp4", **OK} for v in CLIPS]
    write_part(root, "media", make_table("media", rows, **MADE))
    labels = [("speech", 0, 3000), ("music", 3000, 12_000)]
    rows = [{"video_id": "moves", "label": a, "start_ms": b, "end_ms": c, **OK} for a, b, c in labels]
    write_part(root, "segments", make_table("segments", rows, **MADE))
    config = Config(root=str(root))
    describe(config)
    return config


def test_each_clip_has_a_row_with_figures_or_a_reason(config):
    rows = {row["video_id"]: row for row in read_table(config.root, "qualities").to_pylist()}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "moves": None,
        "stands": None,
        "lost": "media_missing",
    }
    moves, stands = rows["moves"], rows["stands"]
    assert (moves["still_share"], stands["still_share"]) == (0, 1)
    assert (moves["border_share"], stands["border_share"]) == (0, pytest.approx(0.25, abs=0.02))
    assert (moves["speech_share"], moves["music_share"], stands["speech_share"]) == (0.5, 0.5, 0)
    assert moves["level_db"] > -30 and stands["level_db"] == -120


def test_a_second_run_does_nothing(config):
    before = list_parts(config.root, "qualities")
    describe(config)
    assert list_parts(config.root, "qualities") == before


def test_what_is_shown_counts_clips_that_have_a_figure(config):
    frame = read_qualities(config.root).set_index("quality")
    clips = frame["clips"].to_dict()
    assert {clips[name] for name in ("still_share", "level_db", "speech_share")} == {2}
    assert frame.loc["still_share", "50%"] == "0.50"


def test_without_models_the_figures_and_the_digest_are_what_they_were(config, monkeypatch, tmp_path, caplog):
    shutil.copytree(config.root, tmp_path / "root")
    plain = Config(root=str(tmp_path / "root"), run=RunSettings(media_root=f"{config.root}/media_files"))
    monkeypatch.setattr("flows.stages.describe.find_models", dict)
    load_models.cache_clear()
    with caplog.at_level("INFO", "curation"):
        describe(plain)
    assert "without the models shots, faces, voice, text; make weights-describe" in caplog.text
    table = read_table(plain.root, "qualities")
    without = table.drop_columns(sorted(TABLES["qualities"].later))
    assert all(table[name].null_count == table.num_rows for name in TABLES["qualities"].later)
    recipe = recipe_of(
        "qualities", CODE_VERSION, [current_recipe(plain.root, t) for t in ("clips", "segments", "media")]
    )
    assert set(without["recipe"].to_pylist()) == {recipe}


@needs_models
def test_models_say_their_part(config):
    rows = {row["video_id"]: row for row in read_table(config.root, "qualities").to_pylist()}
    assert rows["stands"]["cuts_per_minute"] == 0 and rows["stands"]["longest_shot_share"] == 1
    assert rows["moves"]["face_share"] == rows["stands"]["num_faces"] == 0
    assert 1 <= rows["moves"]["overall_mos"] <= 5
    assert rows["moves"]["text_share"] is not None and rows["moves"]["detail"] is None
    assert read_run(config.root, "qualities")["models"]["voice"][0] == "speechmos==0.0.1.1"
