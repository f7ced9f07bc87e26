"""Pre-training from whole videos."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import small_clips as small

from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, write_part
from model.pretraining import VideoSet, load_videos
from model.settings import TrainSettings, WindowSettings
from model.train import train
from model.windows import VideoFeatures, caption_window, random_windows


def make_videos(num_videos: int = 6, seconds: int = 20) -> VideoSet:
    generator = np.random.default_rng(0)
    videos = [
        VideoFeatures(
            np.abs(generator.standard_normal((seconds, 6))).astype(np.float32),
            np.abs(generator.standard_normal((seconds * 3 // 2, 8))).astype(np.float32),
            generator.uniform(-80, 0, (seconds * 100, 40)).astype(np.float32),
        )
        for _ in range(num_videos)
    ]
    return VideoSet([f"v{i}" for i in range(num_videos)], videos, windows_per_video=4, window_frames=300)


def test_a_draw_holds_the_windows_of_each_video_in_turn():
    videos = make_videos()
    clips = videos.draw(np.array([2, 0]), [1, 0])
    assert clips.clip_ids == ["v2"] * 4 + ["v0"] * 4
    windows = random_windows(2000, 4, 300, np.random.default_rng([1, 0, 2]))
    for i, window in enumerate(windows):
        np.testing.assert_array_equal(clips.frames(i), videos.videos[2].log_mel[window.frame : window.frame + 300])
    assert clips.video.shape == (8, 14)


def test_windows_change_with_the_epoch_and_not_with_the_other_videos():
    videos = make_videos()
    one = videos.draw(np.array([3]), [1, 0])
    both = videos.draw(np.array([1, 3]), [1, 0])
    np.testing.assert_array_equal(one.starts, both.starts[4:])
    assert not np.array_equal(one.starts, videos.draw(np.array([3]), [1, 1]).starts)


def test_windows_grow_from_captions_where_there_are_any():
    times = (np.array([0.0, 4.0, 9.5, 15.0]), np.array([4.0, 9.5, 15.0, 19.0]))
    nothing = (np.zeros(0), np.zeros(0))
    videos = replace(make_videos(2), captions=[times, nothing], min_caption_s=2.5)
    clips = videos.draw(np.array([0, 1]), [1, 0])
    generator = np.random.default_rng([1, 0, 0])
    for i, index in enumerate(generator.choice(4, 4, replace=True)):
        window, _ = caption_window(*times, int(index), 2.5, 2000, 300)
        assert (clips.starts[i], clips.num_frames[i]) == (window.frame, window.num_frames)
    without = random_windows(2000, 4, 300, np.random.default_rng([1, 0, 1]))
    assert clips.starts[4:].tolist() == [window.frame for window in without]


def test_without_3d_rows_the_feature_is_the_2d_half():
    both = make_videos()
    only_2d = replace(both, videos=[replace(video, rows_3d=None) for video in both.videos])
    assert only_2d.video_dim == 6
    one, two = (videos.draw(np.array([1, 4]), [1, 0]).video for videos in (only_2d, both))
    np.testing.assert_array_equal(one, two[:, :6])


def settings(batch_size: int) -> TrainSettings:
    return TrainSettings(
        recipe="proper", mask_padding=False, epochs=2, batch_size=batch_size, embedding_dim=16, widths=small.NARROW
    )


def test_training_takes_whole_videos(tmp_path):
    result = train(make_videos(), None, settings(8), tmp_path)
    assert result.num_steps == 6
    assert [epoch.epoch for epoch in result.history] == [0, 1]


def test_a_batch_that_divides_a_videos_windows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"multiple of 4 .*, got 6"):
        train(make_videos(), None, settings(6), tmp_path)


def test_videos_load_from_the_tables(tmp_path):
    expected = make_videos(2)
    write_videos(tmp_path, expected)
    videos = load_videos(tmp_path, "train", WindowSettings(per_video=4, num_frames=300))
    assert len(videos) == 8
    assert videos.video_dim == 14
    for loaded, made in zip(videos.videos, expected.videos, strict=True):
        np.testing.assert_array_equal(loaded.log_mel, made.log_mel)
        np.testing.assert_array_equal(loaded.rows_3d, made.rows_3d.astype(np.float16))
    with pytest.raises(ValueError, match="no features for split 'val'"):
        load_videos(tmp_path, "val")
    mapped = load_videos(tmp_path, "train", WindowSettings(per_video=4, num_frames=300), ["2d"], tmp_path / "cache")
    assert mapped.video_dim == 6 and not mapped.videos[1].rows_2d.flags.owndata
    np.testing.assert_array_equal(mapped.videos[1].rows_2d, videos.videos[1].rows_2d)


def test_speech_segments_are_the_captions_of_a_video(tmp_path):
    made = make_videos(2)
    write_videos(tmp_path, made)
    common = {"recipe": "r", "run_id": "run"}
    clips = [{"clip_id": i, "video_id": i, "start_ms": 1000, "end_ms": 21_000, **OK} for i in made.clip_ids]
    write_part(tmp_path, "clips", make_table("clips", clips, **common))
    spans = [(500, 1500, "speech"), (3000, 5000, "music"), (9000, 12_500, "speech"), (2000, 3000, "speech")]
    rows = [{"video_id": "v1", "start_ms": start, "end_ms": end, "label": label, **OK} for start, end, label in spans]
    write_part(tmp_path, "segments", make_table("segments", rows, **common))
    videos = load_videos(tmp_path, "train", WindowSettings(per_video=4, num_frames=300, drawn="speech", min_s=2))
    assert [starts.tolist() for starts, _ in videos.captions] == [[], [1.0, 8.0]]
    assert videos.captions[1][1].tolist() == [2.0, 11.5]
    assert len(videos.draw(np.array([0, 1]), [1, 0])) == 8


def write_videos(tmp_path, expected: VideoSet) -> None:
    rows = [{"clip_id": i, "video_id": i, "split": "train", **OK} for i in expected.clip_ids]
    write_part(tmp_path, "splits", make_table("splits", rows, recipe="r", run_id="run"))
    for name, values in (
        ("features_2d", [v.rows_2d.astype(np.float16) for v in expected.videos]),
        ("features_3d", [v.rows_3d.astype(np.float16) for v in expected.videos]),
        ("log_mel", [v.log_mel for v in expected.videos]),
    ):
        write_part(tmp_path, name, feature_table(name, expected.clip_ids, values))


def feature_table(name: str, clip_ids: list[str], values: list[np.ndarray]) -> pa.Table:
    kind = pa.float32() if name == "log_mel" else pa.float16()
    columns = {
        "clip_id": pa.array(clip_ids),
        "video_id": pa.array(clip_ids),
        "values": pa.array([list(v) for v in values], pa.list_(pa.list_(kind, values[0].shape[1]))),
    }
    n = len(clip_ids)
    if name != "log_mel":
        columns["row_start_ms"] = pa.nulls(n, pa.list_(pa.int64()))
    if name == "features_3d":
        columns["num_valid_frames"] = pa.nulls(n, pa.int32())
    if name == "log_mel":
        columns["num_frames"] = pa.array([len(v) for v in values], pa.int32())
    table = pa.table(columns).append_column(pa.field("status", pa.string(), nullable=False), pa.repeat("ok", n))
    for column in ("reason", "detail"):
        table = table.append_column(column, pa.nulls(n, pa.string()))
    return add_common_columns(table, recipe="r", run_id="run")
