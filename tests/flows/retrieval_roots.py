"""Roots that hold only what retrieval needs: clips whose speech and picture share a topic, made in a moment."""

import numpy as np

from datasets.ids import make_clip_id
from datasets.outcomes import OK
from datasets.tables import add_common_columns, make_table, write_part
from features.feature_tables import ClipFeatures, Problem, build_tables

DIM = 16
COMMON = {"recipe": "r", "run_id": "run"}


def clip_ids_of(sizes, seed=0):
    """{split: clip ids}, one clip a video."""
    return {
        split: [make_clip_id(f"{split}-{seed}-{i:03d}", 0, 6000) for i in range(size)] for split, size in sizes.items()
    }


def write_retrieval_root(root, sizes, seed=0, ids=None, is_3d=True, num_hidden=None, spoilt=()):
    """Tables splits, log_mel and pooled of clips that a small model can learn to match.

    With `num_hidden` numbers behind each topic what is learned holds for other clips, too; spoilt clips mislead.
    """
    generator = np.random.default_rng(seed)
    ids = ids or clip_ids_of(sizes, seed)
    done = []
    size = 40 + 2 * DIM
    mixing = None if num_hidden is None else np.random.default_rng(99).standard_normal((num_hidden, size))

    def draw_topic():
        hidden = generator.standard_normal(size if mixing is None else num_hidden)
        topic = hidden if mixing is None else hidden @ mixing / num_hidden**0.5
        return topic.astype(np.float32)

    for clip_id in (clip_id for names in ids.values() for clip_id in names):
        topic = draw_topic()
        noise = generator.standard_normal((int(generator.integers(32, 64)), 40)).astype(np.float32)
        rows_2d, rows_3d = (topic[None, 40 + k * DIM : 40 + (k + 1) * DIM].astype(np.float16) for k in (0, 1))
        if clip_id in spoilt:
            topic = draw_topic()
        mel = np.clip(-40 + 15 * topic[:40] + 3 * noise, -80, 0)
        rows_3d = rows_3d if is_3d else Problem("no_video", "an image has no 3D feature")
        done.append(ClipFeatures(clip_id, clip_id.split("_")[0], 0, rows_2d, rows_3d, 16, mel))
    tables = build_tables(done, {"features_2d": DIM} | ({"features_3d": DIM} if is_3d else {}))
    for name in ("log_mel", "pooled"):
        write_part(root, name, add_common_columns(tables[name], **COMMON))
    rows = [
        {"clip_id": i, "video_id": i.split("_")[0], "split": split, **OK} for split, names in ids.items() for i in names
    ]
    write_part(root, "splits", make_table("splits", rows, **COMMON))
    return str(root)
