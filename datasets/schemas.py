"""What each table holds: columns, key, and which reasons its rows may have (`datasets.outcomes`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from datasets.outcomes import (
    AGREEMENT_REASONS,
    CLIP_REASONS,
    FEATURE_REASONS,
    FILTER_REASONS,
    MEDIA_REASONS,
    PAIR_REASONS,
    PERMISSION_REASONS,
    SEARCH_REASONS,
    SPEECH_REASONS,
    TRANSCRIPT_REASONS,
    VIDEO_REASONS,
    Policy,
)

SCHEMA_VERSION = "1"

COMMON_COLUMNS = [
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),
    pa.field("recipe", pa.string(), nullable=False),
    pa.field("attempt", pa.int32(), nullable=False),
    pa.field("run_id", pa.string(), nullable=False),
]


def list_of_vectors(num_dims: int, value_type: pa.DataType) -> pa.DataType:
    """Type of a column that holds [T, num_dims] values a row."""
    return pa.list_(pa.list_(value_type, num_dims))


@dataclass(frozen=True)
class TableSpec:
    """One table: its key, its own columns and its reasons."""

    key: tuple[str, ...]
    columns: tuple[pa.Field, ...]
    """Own columns, without the common ones. A `values` column of type null stands for any list of vectors."""
    reasons: Mapping[str, Policy] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    """Columns that parts written before they came lack: null there, and no part of a digest where null throughout."""
    has_facets: bool = False
    """Whether rows may have further columns of text, which are named by a list of queries and not by us."""
    once: frozenset[str] = frozenset()
    """Columns that every part had until lists named their own; digests count them as null where there are none now."""

    @property
    def schema(self) -> pa.Schema:
        """Own columns, then the common ones."""
        return pa.schema([*self.columns, *COMMON_COLUMNS])


def _columns(**types: pa.DataType) -> tuple[pa.Field, ...]:
    return tuple(pa.field(name, type_) for name, type_ in types.items())


_string, _int64, _int32 = pa.string(), pa.int64(), pa.int32()
_float32, _float64, _bool = pa.float32(), pa.float64(), pa.bool_()
_time = pa.timestamp("ms", tz="UTC")
_any_vectors = pa.null()
_of_clip = {"clip_id": _string, "video_id": _string}
_MODEL_FIGURES = (
    *("cuts_per_minute", "longest_shot_share", "face_share", "num_faces", "face_area"),
    *("voice_mos", "background_mos", "overall_mos", "text_share", "text_area"),
)
_evaluated = {"checkpoint": _string, "release": _string, "split": _string, "direction": _string}

TABLES: Mapping[str, TableSpec] = {
    "searches": TableSpec(
        ("query",),
        _columns(query=_string, num_results=_int32, searched_at=_time),
        SEARCH_REASONS,
        has_facets=True,
        once=frozenset({"dish", "technique", "region"}),
    ),
    "discoveries": TableSpec(
        ("query", "video_id"),
        _columns(query=_string, video_id=_string, rank=_int32, title=_string, duration_ms=_int64, view_count=_int64),
    ),
    "videos": TableSpec(
        ("video_id",),
        _columns(
            video_id=_string,
            source=_string,
            url=_string,
            title=_string,
            channel_id=_string,
            duration_ms=_int64,
            upload_date=_string,
            view_count=_int64,
            license=_string,
            audio_language=_string,
            metadata_language=_string,
            script_share=_float64,
            text_language=_string,
            spoken_language=_string,
            spoken_score=_float64,
            has_original_caption=_bool,
            content_notice=_string,
            discovered_at=_time,
        ),
        VIDEO_REASONS,
        later=frozenset({"content_notice"}),
    ),
    "media": TableSpec(
        ("video_id",),
        _columns(
            video_id=_string,
            media_path=_string,
            num_bytes=_int64,
            sha256=_string,
            format_id=_string,
            video_codec=_string,
            audio_codec=_string,
            width=_int32,
            height=_int32,
            fps=_float64,
            duration_ms=_int64,
            audio_language=_string,
            is_original_audio=_bool,
            audio_track=_int32,
            fetched_at=_time,
        ),
        MEDIA_REASONS,
        later=frozenset({"audio_track"}),
    ),
    "segmentations": TableSpec(
        ("video_id",),
        _columns(
            video_id=_string,
            num_segments=_int32,
            engine=_string,
            duration_ms=_int64,
            speech_ms=_int64,
            fingerprint=pa.binary(),
        ),
        SPEECH_REASONS,
    ),
    "segments": TableSpec(
        ("video_id", "start_ms"), _columns(video_id=_string, start_ms=_int64, end_ms=_int64, label=_string)
    ),
    "duplicates": TableSpec(("video_id", "copy_id"), _columns(video_id=_string, copy_id=_string)),
    "content_duplicates": TableSpec(
        ("video_id", "copy_id"),
        _columns(video_id=_string, copy_id=_string, clip_id=_string, copy_clip_id=_string, similarity=_float64),
    ),
    "clips": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, start_ms=_int64, end_ms=_int64, speech_ms=_int64),
        CLIP_REASONS,
    ),
    "splits": TableSpec(("clip_id",), _columns(**_of_clip, split=_string)),
    "features_2d": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, values=_any_vectors, row_start_ms=pa.list_(_int64)),
        FEATURE_REASONS,
    ),
    "features_3d": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, values=_any_vectors, row_start_ms=pa.list_(_int64), num_valid_frames=_int32),
        FEATURE_REASONS,
    ),
    "features_sound": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, values=_any_vectors, row_start_ms=pa.list_(_int64)),
        FEATURE_REASONS,
    ),
    "log_mel": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, values=_any_vectors, num_frames=_int32),
        FEATURE_REASONS,
    ),
    "pooled": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, pooled_2d=pa.list_(_float32), pooled_3d=pa.list_(_float32)),
        FEATURE_REASONS,
    ),
    "transcripts": TableSpec(
        ("clip_id",),
        _columns(**_of_clip, text=_string, language=_string, confidence=_float32, engine=_string),
        TRANSCRIPT_REASONS,
    ),
    "qualities": TableSpec(
        ("clip_id",),
        _columns(
            **_of_clip,
            **dict.fromkeys(("still_share", "dark_share", "border_share"), _float64),
            **dict.fromkeys(("level_db", "clipped_share", "floor_db"), _float64),
            **dict.fromkeys(("speech_share", "music_share"), _float64),
            **dict.fromkeys(_MODEL_FIGURES, _float64),
        ),
        FEATURE_REASONS,
        later=frozenset(_MODEL_FIGURES),
    ),
    # A row for each clip and rule that it does not fulfil; the rule's name stands for the reason. weight 0: left out.
    "filtered": TableSpec(
        ("clip_id", "rule"),
        _columns(**_of_clip, split=_string, rule=_string, value=_float64, weight=_float64),
        FILTER_REASONS,
    ),
    "agreements": TableSpec(
        ("clip_id",), _columns(**_of_clip, score=_float64, probability=_float64, fold=_int32), AGREEMENT_REASONS
    ),
    "pairs": TableSpec(
        ("pair_id",),
        _columns(pair_id=_string, image_path=_string, audio_path=_string, language=_string, split=_string),
        PAIR_REASONS,
    ),
    "evaluations": TableSpec(
        ("checkpoint", "release", "split", "direction"),
        _columns(
            **_evaluated,
            num_queries=_int32,
            **dict.fromkeys([f"recall_at_{k}" for k in (1, 5, 10)], _float64),
            median_rank=_float64,
            **dict.fromkeys([f"recall_at_{k}_{end}" for k in (1, 5, 10) for end in ("low", "high")], _float64),
            **dict.fromkeys([f"shuffled_recall_at_{k}" for k in (1, 5, 10)], _float64),
        ),
    ),
    # A row a query: where its match stands. `best` is text: ids of the five best, with a space between.
    "ranks": TableSpec(
        ("checkpoint", "release", "split", "direction", "clip_id"),
        _columns(**_evaluated, **_of_clip, better=_int32, tied=_int32, best=_string),
    ),
    "requests": TableSpec(
        ("day", "source"),
        _columns(day=_string, source=_string, num_requests=_int64, num_refusals=_int32, breaker_open_until=_time),
    ),
    "availability": TableSpec(
        ("video_id", "day"), _columns(video_id=_string, day=_string, checked_at=_time), VIDEO_REASONS
    ),
    "permissions": TableSpec(
        ("video_id",),
        _columns(
            video_id=_string,
            permitted=pa.list_(_string),
            license=_string,
            signals=pa.list_(_string),
            is_permitted=_bool,
            was_permitted=_bool,
            etag=_string,
            asked_at=_time,
        ),
        PERMISSION_REASONS,
    ),
    "regenerations": TableSpec(
        ("video_id",),
        _columns(
            video_id=_string,
            num_clips=_int32,
            listed_format_id=_string,
            format_id=_string,
            listed_sha256=_string,
            sha256=_string,
            is_same_media=_bool,
        ),
        VIDEO_REASONS,
    ),
    "tombstones": TableSpec(
        ("hashed_id",), _columns(hashed_id=_string, kind=_string, why=_string, tombstoned_at=_time)
    ),
}

# A url says where the source was reached; the id is what identifies a video.
VOLATILE_COLUMNS = frozenset({"detail", "view_count", "url", "run_id", "attempt"})


def is_volatile(column: str) -> bool:
    """True for columns that two equal runs may differ in; `table_digest` leaves them out."""
    return column in VOLATILE_COLUMNS or column.endswith("_at")
