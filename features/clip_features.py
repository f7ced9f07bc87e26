"""Clips to features: decode once, encode in batches across clips, one row per clip in each table."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from datasets.outcomes import MediaError
from datasets.settings import recipe_of
from features.encoders.encoder import Encoder, load_encoder
from features.encoders.engines import has_gpu, num_cores
from features.feature_tables import ClipFeatures, Float16, Float32, Problem, build_tables, sound_rows, spectrogram
from features.frames.decoded import DecodedClip
from features.frames.processes import ClipRange, Decoders, decode_here
from features.settings import NO_ENCODER, FeatureSettings
from features.window_queue import WindowQueue

CODE_VERSION = 1
"""Part of every recipe: raise it when the code changes what comes out."""
_NO_3D = Problem("no_video", "features.encoder_3d is none")
_WINDOWS_PER_PIECE = 16
"""Longer clips are decoded and encoded in pieces, so that memory does not grow with them."""


@dataclass(frozen=True)
class Encoders:
    """The loaded encoders of a run, and what decodes for them."""

    encoder_2d: Encoder
    encoder_3d: Encoder | None
    """None: 2D and sound only."""
    encoder_sound: Encoder | None = None
    """None: of sound the log-mel frames alone."""
    decoders: Decoders | None = None
    """None: who encodes decodes, too."""

    @property
    def of_tables(self) -> dict[str, Encoder]:
        """The encoder of each table that has one."""
        found = {"2d": self.encoder_2d, "3d": self.encoder_3d, "sound": self.encoder_sound}
        return {f"features_{kind}": encoder for kind, encoder in found.items() if encoder is not None}

    @property
    def dims(self) -> dict[str, int]:
        """Numbers in a row of each table that has an encoder."""
        return {table: encoder.dim for table, encoder in self.of_tables.items()}


def load_encoders(settings: FeatureSettings) -> Encoders:
    """Load the encoders once per process.

    Raises:
        ValueError: an encoder or weights that cannot be had, naming the field.
    """
    if settings.decoder == "nvdec" and not has_gpu():
        raise ValueError("features.decoder = 'nvdec' needs an NVIDIA GPU, and there is none; set it to 'cpu'")
    num_processes = settings.decode_processes
    if num_processes is None:
        is_auto = settings.device == "auto" and settings.engine != "openvino"
        is_on_gpu = has_gpu() if is_auto else settings.device.startswith("cuda")
        num_processes = settings.num_threads or num_cores() if is_on_gpu and sys.platform == "linux" else 0
    return Encoders(
        load_encoder_2d(settings),
        None if settings.encoder_3d == NO_ENCODER else _load(settings, "3d", num_frames=16),
        load_encoder_sound(settings),
        Decoders(num_processes) if num_processes else None,
    )


def load_encoder_2d(settings: FeatureSettings) -> Encoder:
    """Load the 2D encoder alone, which is all that images need.

    Raises:
        ValueError: an encoder or weights that cannot be had, naming the field.
    """
    return _load(settings, "2d", num_frames=1)


def load_encoder_sound(settings: FeatureSettings) -> Encoder | None:
    """Load the encoder of sound, where one is named.

    Raises:
        ValueError: an encoder or weights that cannot be had, naming the field.
    """
    return None if settings.encoder_sound == NO_ENCODER else _load(settings, "sound", num_frames=0)


def _load(settings: FeatureSettings, which: str, num_frames: int) -> Encoder:
    name: str = getattr(settings, f"encoder_{which}")
    weights: str | None = getattr(settings, f"weights_{which}")
    try:
        given = settings.engine, settings.device, settings.precision, settings.num_threads, settings.cuda_graphs
        encoder = load_encoder(name, weights, *given)
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
    return recipes_of(encoders, common, of_3d=(settings.window_step_3d,))


def recipes_of(
    encoders: Encoders, common: Sequence[Any], of_2d: Sequence[Any] = (), of_3d: Sequence[Any] = ()
) -> dict[str, str]:
    """The recipe of each table that these encoders fill: of what is common to all, and of what is its own."""
    recipes = {
        "features_2d": recipe_of(*common, "2d", *of_2d, encoders.encoder_2d.identity),
        "log_mel": recipe_of(*common, "log_mel"),
    }
    if encoders.encoder_3d is not None:
        recipes["features_3d"] = recipe_of(*common, "3d", encoders.encoder_3d.identity, *of_3d)
    if encoders.encoder_sound is not None:
        recipes["features_sound"] = recipe_of(*common, "sound", encoders.encoder_sound.identity)
    pooled_of = [recipes[table] for table in ("features_2d", "features_3d") if table in recipes]
    return recipes | {"pooled": recipe_of("pooled", *pooled_of)}


def featurize_clips(clips: pa.Table, encoders: Encoders, settings: FeatureSettings) -> dict[str, pa.Table]:
    """Features of clips, whatever happens to each: one row per clip in each table.

    Args:
        clips: columns clip_id, video_id, start_ms, end_ms, media_path (absolute); audio_track, where one was chosen.
        encoders: of `load_encoders`.
        settings: as given to `load_encoders`.

    Returns:
        Tables features_2d, features_3d and features_sound (if there are such encoders), log_mel and pooled, in the
        order of `clips`, without recipe, attempt, run_id.
    """
    known = ("clip_id", "video_id", "start_ms", "end_ms", "media_path", "audio_track")
    given = clips.select([name for name in known if name in clips.column_names]).to_pylist()
    started = [_Clip({key: row[key] for key in known[:3]}, row["end_ms"] - row["start_ms"]) for row in given]
    queue_2d = WindowQueue(encoders.encoder_2d)
    queue_3d = WindowQueue(encoders.encoder_3d, settings.window_step_3d) if encoders.encoder_3d else None
    decode = encoders.decoders.decode if encoders.decoders else decode_here
    with closing(decode(_range_of(row, settings) for row in given)) as answers:
        for number, answer in answers:
            clip = started[number]
            if not isinstance(answer, DecodedClip):
                clip.end(answer, encoders.encoder_sound)
                continue
            clip.add(answer)
            queue_2d.put(clip.rows_2d, answer.frames_2d)
            if queue_3d is not None:
                queue_3d.put(clip.rows_3d, answer.frames_3d)
    queue_2d.finish()
    if queue_3d is not None:
        queue_3d.finish()
    return _to_tables([clip.finish(settings) for clip in started], encoders, settings)


def _range_of(row: dict[str, Any], settings: FeatureSettings) -> ClipRange:
    """What is to be decoded of a clip, in pieces that end where a 3D window does."""
    step = settings.window_step_3d
    return {
        "path": row["media_path"],
        "start_ms": row["start_ms"],
        "end_ms": row["end_ms"],
        "frames_per_piece": step * max(1, _WINDOWS_PER_PIECE * 16 // step),
        "decoder": settings.decoder,
        "audio_track": row.get("audio_track"),
    }


def fail_clips(clips: pa.Table, encoders: Encoders, settings: FeatureSettings, problem: Problem) -> dict[str, pa.Table]:
    """The tables for clips that could not be featurized at all: each row has the problem's reason."""
    rows = clips.select(["clip_id", "video_id", "start_ms"]).to_pylist()
    return _to_tables([_without_values(row, problem) for row in rows], encoders, settings)


def _to_tables(done: list[ClipFeatures], encoders: Encoders, settings: FeatureSettings) -> dict[str, pa.Table]:
    return build_tables(done, encoders.dims, settings.window_step_3d)


def _without_values(keys: dict[str, Any], problem: Problem) -> ClipFeatures:
    return ClipFeatures(**keys, rows_2d=problem, rows_3d=problem, num_valid_frames=0, mel=problem, rows_sound=problem)


@dataclass
class _Clip:
    """What has come out of a clip so far."""

    keys: dict[str, Any]
    clip_ms: int
    rows_2d: list[Float16] = field(default_factory=list)
    rows_3d: list[Float16] = field(default_factory=list)
    samples: bytearray = field(default_factory=bytearray)
    """Of the waveform, float32: what grows most with a clip, so never held twice, and no longer than to its end."""
    mel: Float32 | Problem | None = None
    rows_sound: Float16 | Problem | None = None
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

    def end(self, error: MediaError | None, encoder_sound: Encoder | None) -> None:
        """All of it has been decoded that can be."""
        if error is not None:
            self.problem = Problem(error.reason, error.detail)
        waveform = np.frombuffer(self.samples, np.float32)
        self.mel, self.rows_sound = spectrogram(waveform), sound_rows(waveform, encoder_sound)
        self.samples = bytearray()

    def finish(self, settings: FeatureSettings) -> ClipFeatures:
        """The features of a clip that has ended and whose windows are all encoded, or what is wrong with it."""
        problem = self.problem or self._find_loss(settings)
        if problem is not None:
            return _without_values(self.keys, problem)
        last_window = (self.num_frames_3d - 1) // settings.window_step_3d * settings.window_step_3d
        assert self.mel is not None
        return ClipFeatures(
            **self.keys,
            rows_2d=np.concatenate(self.rows_2d),
            rows_3d=np.concatenate(self.rows_3d) if self.rows_3d else _NO_3D,
            num_valid_frames=min(16, self.num_frames_3d - last_window),
            mel=self.mel,
            detail=self._notes(),
            rows_sound=self.rows_sound,
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
