"""Clips to features: decode once, encode in batches across clips, one row per clip in each of four tables."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from datasets.settings import recipe_of
from features.decoded import ClipError, DecodedClip
from features.encoders import Encoder, load_encoder
from features.feature_tables import ClipFeatures, Problem, build_tables, normalise_rows, spectrogram
from features.frames import FPS_3D, decode_clip
from features.settings import FeatureSettings

CODE_VERSION = 1
"""Part of every recipe: raise it when the code changes what comes out."""
_WINDOWS_PER_GROUP = 64
"""Encode when this many 3D windows have been decoded: memory stays under 150 MB, batches stay full."""


@dataclass(frozen=True)
class Encoders:
    """The loaded encoders of a run."""

    encoder_2d: Encoder
    encoder_3d: Encoder


def load_encoders(settings: FeatureSettings) -> Encoders:
    """Load both encoders once per process.

    Raises:
        ValueError: an encoder or weights that cannot be had, naming the field.
    """
    return Encoders(_load(settings, "2d", num_frames=1), _load(settings, "3d", num_frames=16))


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
    recipe_2d = recipe_of(*common, "2d", _identity(encoders.encoder_2d))
    recipe_3d = recipe_of(*common, "3d", _identity(encoders.encoder_3d), settings.window_step_3d)
    return {
        "features_2d": recipe_2d,
        "features_3d": recipe_3d,
        "log_mel": recipe_of(*common, "log_mel"),
        "pooled": recipe_of("pooled", recipe_2d, recipe_3d),
    }


def _identity(encoder: Encoder) -> list[str]:
    return [encoder.name, encoder.weights_sha256, encoder.engine, encoder.precision]


def featurize_clips(clips: pa.Table, encoders: Encoders, settings: FeatureSettings) -> dict[str, pa.Table]:
    """Features of clips, whatever happens to each: one row per clip in each table.

    Args:
        clips: columns clip_id, video_id, start_ms, end_ms, media_path (absolute).
        encoders: of `load_encoders`.
        settings: as given to `load_encoders`.

    Returns:
        Tables features_2d, features_3d, log_mel and pooled, in the order of `clips`, without recipe, attempt, run_id.
    """
    columns = ("clip_id", "video_id", "start_ms", "end_ms", "media_path")
    done: list[ClipFeatures] = []
    for group in _grouped(_decode_ahead(clips.select(columns).to_pylist(), settings)):
        done += _encode(group, encoders, settings)
    dims = encoders.encoder_2d.dim, encoders.encoder_3d.dim
    return build_tables(done, dims, lambda table, n: row_starts_ms(table, n, settings))


def fail_clips(clips: pa.Table, encoders: Encoders, settings: FeatureSettings, problem: Problem) -> dict[str, pa.Table]:
    """The four tables for clips that could not be featurized at all: each row has the problem's reason."""
    rows = clips.select(["clip_id", "video_id", "start_ms"]).to_pylist()
    done = [ClipFeatures(**row, rows_2d=problem, rows_3d=problem, num_valid_frames=0, mel=problem) for row in rows]
    dims = encoders.encoder_2d.dim, encoders.encoder_3d.dim
    return build_tables(done, dims, lambda table, n: row_starts_ms(table, n, settings))


def row_starts_ms(table: str, num_rows: int, settings: FeatureSettings) -> list[int]:
    """Start of each row of features_2d or features_3d, in whole milliseconds from the clip's start."""
    if table == "features_2d":
        return [row * 1000 for row in range(num_rows)]
    return [row * settings.window_step_3d * 1000 // FPS_3D for row in range(num_rows)]


_Decoded = tuple[dict[str, Any], DecodedClip | Problem]


def _decode_ahead(clips: Iterable[dict[str, Any]], settings: FeatureSettings) -> Iterator[_Decoded]:
    """Decoded clips in order, the next ones being decoded in a thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[tuple[dict[str, Any], Future[DecodedClip | Problem]]] = deque()
        for clip in clips:
            waiting.append((clip, pool.submit(_decode, clip, settings)))
            if len(waiting) > settings.decode_ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


def _decode(clip: dict[str, Any], settings: FeatureSettings) -> DecodedClip | Problem:
    try:
        decoded = decode_clip(clip["media_path"], clip["start_ms"], clip["end_ms"])
    except ClipError as error:
        return Problem(error.reason, error.detail)
    if decoded.num_damaged > settings.max_damaged_share * decoded.num_frames:
        return Problem("decode_failed", f"{decoded.num_damaged} of {decoded.num_frames} frames are damaged")
    return decoded


def _grouped(decoded: Iterable[_Decoded]) -> Iterator[list[_Decoded]]:
    group: list[_Decoded] = []
    num_windows = 0
    for clip, result in decoded:
        group.append((clip, result))
        num_windows += 0 if isinstance(result, Problem) else len(result.frames_3d) // 16 + 1
        if num_windows >= _WINDOWS_PER_GROUP:
            yield group
            group, num_windows = [], 0
    if group:
        yield group


def _encode(group: list[_Decoded], encoders: Encoders, settings: FeatureSettings) -> list[ClipFeatures]:
    good = [result for _, result in group if isinstance(result, DecodedClip)]
    rows_2d = iter(encoders.encoder_2d.encode_many([clip.frames_2d for clip in good]))
    rows_3d = iter(encoders.encoder_3d.encode_many([clip.frames_3d for clip in good], settings.window_step_3d))
    encoded = []
    for clip, result in group:
        keys = {"clip_id": clip["clip_id"], "video_id": clip["video_id"], "start_ms": clip["start_ms"]}
        if isinstance(result, Problem):
            encoded.append(ClipFeatures(**keys, rows_2d=result, rows_3d=result, num_valid_frames=0, mel=result))
            continue
        encoded.append(
            ClipFeatures(
                **keys,
                rows_2d=normalise_rows(next(rows_2d)),
                rows_3d=normalise_rows(next(rows_3d)),
                num_valid_frames=_valid_frames(len(result.frames_3d), settings.window_step_3d),
                mel=spectrogram(result.waveform, result.has_audio),
                detail=f"{result.num_damaged} damaged frames" if result.num_damaged else None,
            )
        )
    return encoded


def _valid_frames(num_frames: int, step: int) -> int:
    """Frames in the last window: the windows start every `step` frames and hold 16."""
    return min(16, num_frames - (num_frames - 1) // step * step)
