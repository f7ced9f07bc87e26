"""Names that are imported from outside this repository, where nothing here calls them: they stay where they are."""

from importlib import import_module
from pathlib import Path

import pytest

from extract.clip_lists import read_clip_list, read_video_ids

NAMES = {
    "datasets.splits": "draw_splits",
    "datasets.tables": "read_table write_part table_digest",
    "extract.clip_lists": "ClipListError read_clip_list read_video_ids",
    "extract.language": "gather_evidence is_language",
    "extract.media": "encode_speech probe_media read_audio",
    "extract.mp4": "list_boxes read_header",
    "extract.speech": "segment_speech",
    "extract.spoken_language": "identify_speech",
    "features.audio": "log_mel",
    "features.encoders": "load_encoder",
    "features.frames": "decode_clip",
    "model.avlnet": "AVLNet",
    "model.loss": "mms_loss",
    "model.metrics": "retrieval_metrics metrics_from_embeddings",
}


@pytest.mark.parametrize("module", NAMES)
def test_names_that_are_imported_from_outside_are_where_they_were(module: str) -> None:
    assert all(callable(getattr(import_module(module), name)) for name in NAMES[module].split())


def test_a_list_gives_its_clips_and_its_videos_each_once(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("video_id,start,end\nb,1,7\na,0,6\nb,8,14\n")
    clips = [(clip["video_id"], clip["start_ms"], clip["split"]) for clip in read_clip_list(path, "train")]
    assert clips == [("b", 1000, "train"), ("a", 0, "train"), ("b", 8000, "train")]
    assert read_video_ids(path) == ["b", "a"]
