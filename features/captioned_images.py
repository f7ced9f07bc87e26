"""Images with spoken captions (Places Audio) to the same tables as clips: the image's 2D feature, the caption's mel."""

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from datasets.outcomes import MediaError, ran_out
from features.clip_features import Encoders, recipes_of
from features.encoders.encoder import Encoder
from features.feature_tables import (
    ClipFeatures,
    Float16,
    Float32,
    Problem,
    build_tables,
    sound_rows,
    spectrogram,
)
from features.frames.decoded import UInt8
from features.frames.sound import read_waveform
from features.window_queue import WindowQueue

CODE_VERSION = 1
"""Part of every recipe: raise it when the code changes what comes out."""
RESIZE = 256
CROP = 224
MAX_BYTES = 50_000_000
"""Larger image or sound files are refused unread."""
MAX_PIXELS = 100_000_000
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is opened, by its bytes: of PIL's others one is a program (EPS), which Ghostscript would carry out."""
_NO_3D = Problem("no_video", "an image has no 3D feature")


def featurize_pairs(pairs: pa.Table, encoders: Encoders) -> dict[str, pa.Table]:
    """Features of images and captions, whatever happens to each: one row per pair in each table.

    Args:
        pairs: columns pair_id, image_path, audio_path (absolute).
        encoders: without a 3D one.

    Returns:
        Tables features_2d, features_sound (if there is such an encoder), log_mel and pooled (pooled_3d null), clip_id
        and video_id being the pair's id, in the order of `pairs`, without recipe, attempt, run_id.
    """
    queue = WindowQueue(encoders.encoder_2d)
    rows = pairs.select(["pair_id", "image_path", "audio_path"]).to_pylist()
    seen = [_see(row["image_path"], queue) for row in rows]
    heard = [_hear(Path(row["audio_path"]), encoders.encoder_sound) for row in rows]
    queue.finish()
    done = [
        ClipFeatures(
            clip_id=row["pair_id"],
            video_id=row["pair_id"],
            start_ms=0,
            rows_2d=image if isinstance(image, Problem) else image[0],
            rows_3d=_NO_3D,
            num_valid_frames=0,
            mel=mel,
            rows_sound=rows_sound,
        )
        for row, image, (mel, rows_sound) in zip(rows, seen, heard, strict=True)
    ]
    return _to_tables(done, encoders)


def fail_pairs(pairs: pa.Table, encoders: Encoders, problem: Problem) -> dict[str, pa.Table]:
    """The tables for pairs that could not be featurized at all: each row has the problem's reason."""
    rows = pairs["pair_id"].to_pylist()
    failed = [ClipFeatures(row, row, 0, problem, _NO_3D, 0, problem, rows_sound=problem) for row in rows]
    return _to_tables(failed, encoders)


def pair_recipes(encoders: Encoders) -> dict[str, str]:
    """The recipe of each feature table of pairs."""
    return recipes_of(encoders, ["pairs", CODE_VERSION], of_2d=(RESIZE, CROP))


def _to_tables(done: list[ClipFeatures], encoders: Encoders) -> dict[str, pa.Table]:
    return build_tables(done, encoders.dims)


def read_image(path: str | Path) -> UInt8:
    """An image as DAVEnet's evaluation sees it: short side 256 (bilinear), centre crop 224; uint8 [224, 224, 3] RGB.

    Raises:
        MediaError: with reason media_missing or decode_failed.
    """
    path = Path(path)
    _check_size(path)
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # of metadata that PIL finds odd
            if image.width * image.height > MAX_PIXELS:
                raise MediaError("decode_failed", f"{path.name} has {image.width}x{image.height} pixels")
            short = min(image.size)
            wide, high = (int(RESIZE * side / short) for side in image.size)
            resized = image.convert("RGB").resize((wide, high), Image.Resampling.BILINEAR)
            left, top = round((wide - CROP) / 2.0), round((high - CROP) / 2.0)
            return np.asarray(resized.crop((left, top, left + CROP, top + CROP)), np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if ran_out(error):
            raise
        raise MediaError("decode_failed", f"{path.name} is no image that can be read: {error}") from error


def _check_size(path: Path) -> None:
    if not path.is_file():
        raise MediaError("media_missing", f"no file {path}")
    if path.stat().st_size > MAX_BYTES:
        raise MediaError("decode_failed", f"{path.name} has {path.stat().st_size} bytes, at most {MAX_BYTES}")


def _see(path: str, queue: WindowQueue) -> list[Float16] | Problem:
    """Where the row of an image will be once the queue has been finished."""
    rows: list[Float16] = []
    try:
        queue.put(rows, read_image(path)[None])
    except MediaError as error:
        return Problem(error.reason, error.detail)
    return rows


def _hear(path: Path, encoder: Encoder | None) -> tuple[Float32 | Problem, Float16 | Problem | None]:
    """The log-mel frames of a caption, and its rows by an encoder of sound."""
    try:
        _check_size(path)
        waveform = read_waveform(path)
    except MediaError as error:
        problem = Problem(error.reason, error.detail)
        return problem, problem
    return spectrogram(waveform), sound_rows(waveform, encoder)
