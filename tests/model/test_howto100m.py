"""The original's features of whole videos, read where they lie."""

import csv

import numpy as np
import pytest

from model.originals.howto100m import load_npz_videos
from model.settings import WindowSettings
from model.windows import cut_video, random_windows


def write_videos(folder, lengths_s=(40, 25), dim=8) -> WindowSettings:
    """As the original lays them out; the last line's video lacks its sound."""
    with (folder / "videopaths.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path"])
        for number, length in enumerate((*lengths_s, 9)):
            name = f"video{number}"
            generator = np.random.default_rng(number)
            (folder / "parsed" / "Food" / name).mkdir(parents=True)
            (folder / "sounds" / "Food" / name).mkdir(parents=True)
            for family, rate in (("2d", 1.0), ("3d", 1.5)):
                rows = generator.standard_normal((int(length * rate), dim)).astype(np.float16)
                np.savez(folder / "parsed" / "Food" / name / f"{name}_{family}.npz", features=rows)
            if length != 9:
                mel = generator.uniform(-80, 0, (40, 100 * length)).astype(np.float16)
                np.savez_compressed(folder / "sounds" / "Food" / name / f"{name}_spec.npz", mel)
            writer.writerow([f"None/Food/{name}"])
    return WindowSettings(
        csv=str(folder / "videopaths.csv"), features_folder=str(folder / "parsed"),
        audio_folder=str(folder / "sounds"), per_video=3, num_frames=1000,
    )  # fmt: skip


def test_windows_of_npz_files_are_those_the_original_draws(tmp_path, caplog):
    videos = load_npz_videos(write_videos(tmp_path), ("2d", "3d"))
    assert videos.clip_ids == ["Food/video0", "Food/video1"] and videos.video_dim == 16
    assert "1 of 3 videos" in caplog.text
    clips = videos.draw(np.array([1, 0]), [7, 0])
    with np.load(tmp_path / "sounds" / "Food" / "video1" / "video1_spec.npz") as held:
        mel = held["arr_0"]
    windows = random_windows(mel.shape[1], 3, 1000, np.random.default_rng([7, 0, 1]))
    for i, window in enumerate(windows):
        np.testing.assert_array_equal(clips.frames(i).T, mel[:, window.frame : window.frame + 1000])
        np.testing.assert_array_equal(clips.video[i], cut_video(videos.videos[1], window))


def test_the_csv_may_come_from_any_editor(tmp_path):
    windows = write_videos(tmp_path)
    lines = (tmp_path / "videopaths.csv").read_text().splitlines()
    (tmp_path / "videopaths.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode() + b"\r\n")
    assert load_npz_videos(windows, ("2d",)).clip_ids == ["Food/video0", "Food/video1"]


def test_the_variant_for_images_reads_2d_files_only(tmp_path):
    windows = write_videos(tmp_path)
    for path in (tmp_path / "parsed").rglob("*_3d.npz"):
        path.unlink()
    assert load_npz_videos(windows, ("2d",)).video_dim == 8
    with pytest.raises(ValueError, match=r"no video of .* has its files"):
        load_npz_videos(windows, ("2d", "3d"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path\n../../secret\n", "got '../../secret'"),
        (b"name\nx\n", "must have a column path"),
        (b"path\n", "no line"),
        (None, "cannot read"),
    ],
)
def test_a_csv_of_another_kind_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_npz_videos(WindowSettings(csv=str(tmp_path / "x.csv")), ("2d",))


@pytest.mark.parametrize("damage", ["text", "objects", "shape", "huge"])
def test_a_file_that_is_no_matrix_is_refused_by_its_name(tmp_path, monkeypatch, damage):
    windows = write_videos(tmp_path)
    path = tmp_path / "parsed" / "Food" / "video0" / "video0_2d.npz"
    match damage:
        case "text":
            path.write_bytes(b"no archive")
        case "objects":
            np.savez(path, features=np.array([{}], object))
        case "shape":
            np.savez(path, features=np.zeros(3))
        case "huge":
            monkeypatch.setattr("model.originals.howto100m.MAX_ARRAY_BYTES", 10)
    videos = load_npz_videos(windows, ("2d", "3d"))
    with pytest.raises(ValueError, match=r"video0_2d\.npz"):
        videos.draw(np.array([0]), [1])
