"""Folds divide no video and no group, and are about equal."""

import numpy as np
import pyarrow as pa
import pytest

from datasets.splits.folds import draw_folds
from datasets.splits.pool import SplitError


def make_clips(num_videos=30, per_video=4):
    videos = [f"v{k:02d}" for k in range(num_videos) for _ in range(per_video)]
    return pa.table({"clip_id": [f"{v}_{i}" for i, v in enumerate(videos)], "video_id": videos})


def test_a_video_has_one_fold_and_folds_are_of_equal_size():
    clips = make_clips()
    folds = draw_folds(clips, 5, 1)
    assert np.bincount(folds).tolist() == [24] * 5
    assert (folds.reshape(30, 4) == folds.reshape(30, 4)[:, :1]).all()


def test_videos_that_hang_together_have_one_fold():
    groups = pa.table({"video_id": [f"v{k:02d}" for k in range(30)], "channel": [f"c{k // 3}" for k in range(30)]})
    folds = draw_folds(make_clips(), 5, 1, groups).reshape(10, 12)
    assert (folds == folds[:, :1]).all()


def test_fewer_groups_than_folds_are_refused():
    with pytest.raises(SplitError, match="5 folds need as many videos, got 3"):
        draw_folds(make_clips(3), 5, 1)


def test_what_weighs_most_is_spread_first():
    weights = np.where(np.arange(16) < 8, 100, 1)  # of four videos, two
    folds = draw_folds(make_clips(4), 2, 1, weights=weights)[::4]
    assert folds[0] != folds[1] and folds[2] != folds[3]
