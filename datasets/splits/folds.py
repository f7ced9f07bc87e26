"""Folds for cross-fitting: what must not be divided is in one."""

import numpy as np
import pyarrow as pa

from datasets.splits.pool import DrawRequest, Integers, SplitError, make_pool


def draw_folds(
    clips: pa.Table, num_folds: int, seed: int, groups: pa.Table | None = None, weights: Integers | None = None
) -> Integers:
    """The fold of each clip, 0 to num_folds - 1, of about equal weight; clips of one video or group have the same.

    Args:
        clips: clip_id, video_id.
        num_folds: at least 2.
        seed: the same gives the same folds.
        groups: as for `draw_splits`.
        weights: of each clip; 1 when not given.

    Raises:
        SplitError: fewer groups than folds.
    """
    pool = make_pool(clips, DrawRequest({"fold": 0}, seed, groups))
    if pool.num_groups < num_folds:
        what = "groups of videos that must not be divided" if groups is not None else "videos"
        raise SplitError(f"{num_folds} folds need as many {what}, got {pool.num_groups}: ask for fewer or curate more")
    group = pool.group[pool.video]
    sizes = np.bincount(group, weights, pool.num_groups)
    filled, fold = np.zeros(num_folds), np.zeros(pool.num_groups, np.int64)
    for largest in np.argsort(-sizes, kind="stable"):
        fold[largest] = filled.argmin()
        filled[fold[largest]] += sizes[largest]
    return np.asarray(fold[group], np.int64)
