"""Every clip gets its figures, or the reason why it has none; once."""

import subprocess

import pytest

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import list_parts, make_table, read_table, write_part
from extract.media import ffmpeg_path
from flows.config import Config
from flows.stages.describe import describe
from flows.status import read_qualities
from tests.extract.data_channel import make_video

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
    assert frame["clips"].to_dict() == dict.fromkeys(frame.index, 2)
    assert frame.loc["still_share", "50%"] == "0.50"
