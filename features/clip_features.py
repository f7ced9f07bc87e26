"""Clips to features: decode once, encode in batches across clips, one row per clip in each of four tables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from datasets.settings import recipe_of
from features.encoders.encoder import Encoder, load_encoder
from features.encoders.engines import has_gpu
from features.feature_tables import ClipFeatures, Float16, Problem, build_tables, normalise_rows, spectrogram
from features.frames.decoded import ClipError, DecodedClip
from features.frames.decoding import decode_pieces
from features.frames.filters import FPS_3D
from features.settings import NO_ENCODER, FeatureSettings

CODE_VERSION = 1
"""Part of every recipe: raise it when the code changes what comes out."""
_NO_3D = Problem("no_video", "features.encoder_3d is none")
_WINDOWS_PER_GROUP = 32
"""Encode when this many 3D windows have been decoded: memory stays under 100 MB, a GPU's batches stay full."""
_WINDOWS_PER_PIECE = 16
"""Longer clips are decoded and encoded in pieces, so that memory does not grow with them."""


@dataclass(frozen=True)
class Encoders:
    """The loaded encoders of a run."""

    encoder_2d: Encoder
    encoder_3d: Encoder | None
    """None: 2D and sound only."""


def load_encoders(settings: FeatureSettings) -> Encoders:
    """Load the encoders once per process.

    Raises:
        ValueError: an encoder or weights that cannot be had, naming the field.
    """
    if settings.decoder == "nvdec" and not has_gpu():
        raise ValueError("features.decoder = 'nvdec' needs an NVIDIA GPU, and there is none; set it to 'cpu'")
    is_2d_only = settings.encoder_3d == NO_ENCODER
    return Encoders(load_encoder_2d(settings), None if is_2d_only else _load(settings, "3d", num_frames=16))


def load_encoder_2d(settings: FeatureSettings) -> Encoder:
    """Load the 2D encoder alone, which is all that images need.

    Raises:
        ValueError: an encoder or weights that cannot be had, naming the field.
    """
    return _load(settings, "2d", num_frames=1)


def _load(settings: FeatureSettings, which: str, num_frames: int) -> Encoder:
    name: str = getattr(settings, f"encoder_{which}")
    weights: str | None = getattr(settings, f"weights_{which}")
    try:
        encoder = load_encoder(
            name, weights, settings.engine, settings.device, settings.precision, settings.num_threads
        )
    except ValueError as error:
        raise ValueError(
            f"features.encoder_{which} = {name!r}, features.weights_{which} = {weights!r}: {error}"
        ) from error
    if encoder.num_frames != num_frames:
        raise ValueError(f"features.encoder_{which} must be a {which} network, got {name!r}")
    return encoder


def feature_recipes(settings: FeatureSettings, encoders: Encoders) -> dict[str, str]:
    """The recipe of each feature table: its own settings, weights, engine and precision, and nothing else's."""
    common = ["features", CODE_VERSION, settings.max_damaged_share]
    if settings.decoder != "cpu":
        common.append(settings.decoder)
    if settings.max_missing_share != FeatureSettings().max_missing_share:  # tables older than it have no such part
        common.append(settings.max_missing_share)
    recipe_2d = recipe_of(*common, "2d", encoders.encoder_2d.identity)
    recipes = {"features_2d": recipe_2d, "log_mel": recipe_of(*common, "log_mel")}
    if encoders.encoder_3d is None:
        return recipes | {"pooled": recipe_of("pooled", recipe_2d)}
    recipe_3d = recipe_of(*common, "3d", encoders.encoder_3d.identity, settings.window_step_3d)
    return recipes | {"features_3d": recipe_3d, "pooled": recipe_of("pooled", recipe_2d, recipe_3d)}


def featurize_clips(clips: pa.Table, encoders: Encoders, settings: FeatureSettings) -> dict[str, pa.Table]:
    """Features of clips, whatever happens to each: one row per clip in each table.

    Args:
        clips: columns clip_id, video_id, start_ms, end_ms, media_path (absolute); audio_track, where one was chosen.
        encoders: of `load_encoders`.
        settings: as given to `load_encoders`.

    Returns:
        Tables features_2d, features_3d (if there is a 3D encoder), log_mel and pooled, in the order of `clips`,
        without recipe, attempt, run_id.
    """
    known = ("clip_id", "video_id", "start_ms", "end_ms", "media_path", "audio_track")
    columns = [name for name in known if name in clips.column_names]
    done: list[ClipFeatures] = []
    for group in _grouped(_decode(clips.select(columns).to_pylist(), settings)):
        good = [(piece.clip, piece.decoded) for piece in group if piece.decoded is not None]
        rows_2d = encoders.encoder_2d.encode_many([decoded.frames_2d for _, decoded in good])
        for (clip, _), row_2d in zip(good, rows_2d, strict=True):
            clip.rows_2d.append(normalise_rows(row_2d))
        if encoders.encoder_3d is not None:
            frames_3d = [decoded.frames_3d for _, decoded in good]
            rows_3d = encoders.encoder_3d.encode_many(frames_3d, settings.window_step_3d)
            for (clip, _), row_3d in zip(good, rows_3d, strict=True):
                clip.rows_3d.append(normalise_rows(row_3d))
        done += [piece.clip.finish(settings) for piece in group if piece.is_last]
    return _to_tables(done, encoders, settings)


def fail_clips(clips: pa.Table, encoders: Encoders, settings: FeatureSettings, problem: Problem) -> dict[str, pa.Table]:
    """The tables for clips that could not be featurized at all: each row has the problem's reason."""
    rows = clips.select(["clip_id", "video_id", "start_ms"]).to_pylist()
    return _to_tables([_without_values(row, problem) for row in rows], encoders, settings)


def _to_tables(done: list[ClipFeatures], encoders: Encoders, settings: FeatureSettings) -> dict[str, pa.Table]:
    dim_3d = encoders.encoder_3d.dim if encoders.encoder_3d else None
    return build_tables(done, (encoders.encoder_2d.dim, dim_3d), lambda table, n: row_starts_ms(table, n, settings))


def _without_values(keys: dict[str, Any], problem: Problem) -> ClipFeatures:
    return ClipFeatures(**keys, rows_2d=problem, rows_3d=problem, num_valid_frames=0, mel=problem)


def row_starts_ms(table: str, num_rows: int, settings: FeatureSettings) -> list[int]:
    """Start of each row of features_2d or features_3d, in whole milliseconds from the clip's start."""
    if table == "features_2d":
        return [row * 1000 for row in range(num_rows)]
    return [row * settings.window_step_3d * 1000 // FPS_3D for row in range(num_rows)]


@dataclass
class _Clip:
    """What has come out of a clip so far."""

    keys: dict[str, Any]
    clip_ms: int
    rows_2d: list[Float16] = field(default_factory=list)
    rows_3d: list[Float16] = field(default_factory=list)
    samples: bytearray = field(default_factory=bytearray)
    """Of the waveform, float32: what grows most with a clip, so never held twice."""
    num_frames_3d: int = 0
    num_frames: int = 0
    num_damaged: int = 0
    missing_ms: dict[str, float] = field(default_factory=lambda: {"picture": 0.0, "sound": 0.0})
    sound_note: str | None = None
    problem: Problem | None = None

    def add(self, piece: DecodedClip) -> None:
        """Count a piece, and keep its sound; its frames are kept by nobody."""
        self.samples += piece.waveform.tobytes()
        self.num_frames_3d += len(piece.frames_3d)
        self.num_frames += piece.num_frames
        self.num_damaged += piece.num_damaged
        self.missing_ms["picture"] += piece.missing_picture_ms
        self.missing_ms["sound"] += piece.missing_sound_ms
        self.sound_note = piece.sound_note or self.sound_note

    def finish(self, settings: FeatureSettings) -> ClipFeatures:
        """The clip's features, or what is wrong with it."""
        problem = self.problem or self._find_loss(settings)
        if problem is not None:
            return _without_values(self.keys, problem)
        last_window = (self.num_frames_3d - 1) // settings.window_step_3d * settings.window_step_3d
        waveform = np.frombuffer(self.samples, np.float32)
        return ClipFeatures(
            **self.keys,
            rows_2d=np.concatenate(self.rows_2d),
            rows_3d=np.concatenate(self.rows_3d) if self.rows_3d else _NO_3D,
            num_valid_frames=min(16, self.num_frames_3d - last_window),
            mel=spectrogram(waveform, has_audio=len(waveform) > 0),
            detail=self._notes(),
        )

    def _find_loss(self, settings: FeatureSettings) -> Problem | None:
        """More damage, or more time without picture or sound, than a clip may have."""
        if self.num_damaged > settings.max_damaged_share * self.num_frames:
            return Problem("decode_failed", f"{self.num_damaged} of {self.num_frames} frames are damaged")
        for what, missing_ms in self.missing_ms.items():
            if missing_ms > settings.max_missing_share * self.clip_ms:
                return Problem(f"{what}_missing", f"{self._notes()}, of {self.clip_ms / 1000:.1f} s")
        return None

    def _notes(self) -> str | None:
        """What is worth knowing of the clip, even if it is ok."""
        damaged = [f"{self.num_damaged} damaged frames"] if self.num_damaged else []
        missing = [f"{ms / 1000:.1f} s of {what} missing" for what, ms in self.missing_ms.items() if ms > 0]
        return "; ".join([*damaged, *missing, *filter(None, [self.sound_note])]) or None


@dataclass(frozen=True)
class _Piece:
    """A piece of a clip to be encoded; without frames when decoding it failed."""

    clip: _Clip
    decoded: DecodedClip | None
    is_last: bool


def _decode(clips: Iterable[dict[str, Any]], settings: FeatureSettings) -> Iterator[_Piece]:
    """The pieces of the clips, in order; whatever is wrong with a clip, its last piece comes."""
    frames_per_piece = settings.window_step_3d * max(1, _WINDOWS_PER_PIECE * 16 // settings.window_step_3d)
    for row in clips:
        keys = {key: row[key] for key in ("clip_id", "video_id", "start_ms")}
        clip = _Clip(keys, clip_ms=row["end_ms"] - row["start_ms"])
        cut, track = (row["start_ms"], row["end_ms"]), row.get("audio_track")
        pieces = decode_pieces(row["media_path"], *cut, frames_per_piece, settings.decoder, track)
        try:
            for piece in pieces:
                clip.add(piece)
                yield _Piece(clip, piece, is_last=False)
        except ClipError as error:
            clip.problem = Problem(error.reason, error.detail)
        yield _Piece(clip, None, is_last=True)


def _grouped(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    num_windows = 0
    for piece in pieces:
        group.append(piece)
        num_windows += 0 if piece.decoded is None else len(piece.decoded.frames_3d) // 16 + 1
        if num_windows >= _WINDOWS_PER_GROUP:
            yield group
            group, num_windows = [], 0
    if group:
        yield group
