"""Images with spoken captions (Places Audio) to the same tables as clips: the image's 2D feature, the caption's mel."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from datasets.outcomes import MediaError, ran_out
from datasets.settings import recipe_of
from features.encoders.encoder import Encoder
from features.feature_tables import ClipFeatures, Float32, Problem, build_tables, normalise_rows, spectrogram
from features.frames.decoded import UInt8
from features.frames.sound import read_waveform

CODE_VERSION = 1
"""Part of every recipe: raise it when the code changes what comes out."""
RESIZE = 256
CROP = 224
MAX_BYTES = 50_000_000
"""Larger image or sound files are refused unread."""
MAX_PIXELS = 100_000_000
_PAIRS_PER_GROUP = 64
_NO_3D = Problem("no_video", "an image has no 3D feature")


def featurize_pairs(pairs: pa.Table, encoder_2d: Encoder) -> dict[str, pa.Table]:
    """Features of images and captions, whatever happens to each: one row per pair in each table.

    Args:
        pairs: columns pair_id, image_path, audio_path (absolute).
        encoder_2d: a 2D encoder.

    Returns:
        Tables features_2d, log_mel and pooled (pooled_3d null), clip_id and video_id being the pair's id, in the order
        of `pairs`, without recipe, attempt, run_id.
    """
    done: list[ClipFeatures] = []
    rows = pairs.select(["pair_id", "image_path", "audio_path"]).to_pylist()
    for start in range(0, len(rows), _PAIRS_PER_GROUP):
        done += _encode(rows[start : start + _PAIRS_PER_GROUP], encoder_2d)
    return _to_tables(done, encoder_2d)


def fail_pairs(pairs: pa.Table, encoder_2d: Encoder, problem: Problem) -> dict[str, pa.Table]:
    """The tables for pairs that could not be featurized at all: each row has the problem's reason."""
    rows = pairs["pair_id"].to_pylist()
    return _to_tables([ClipFeatures(row, row, 0, problem, _NO_3D, 0, problem) for row in rows], encoder_2d)


def pair_recipes(encoder_2d: Encoder) -> dict[str, str]:
    """The recipe of each feature table of pairs."""
    common = ["pairs", CODE_VERSION]
    recipe_2d = recipe_of(*common, "2d", RESIZE, CROP, encoder_2d.identity)
    return {
        "features_2d": recipe_2d,
        "log_mel": recipe_of(*common, "log_mel"),
        "pooled": recipe_of("pooled", recipe_2d),
    }


def _to_tables(done: list[ClipFeatures], encoder_2d: Encoder) -> dict[str, pa.Table]:
    return build_tables(done, (encoder_2d.dim, None), lambda _, num_rows: [0] * num_rows)


def read_image(path: str | Path) -> UInt8:
    """An image as DAVEnet's evaluation sees it: short side 256 (bilinear), centre crop 224; uint8 [224, 224, 3] RGB.

    Raises:
        MediaError: with reason media_missing or decode_failed.
    """
    path = Path(path)
    _check_size(path)
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
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


def _encode(rows: list[dict[str, Any]], encoder: Encoder) -> list[ClipFeatures]:
    images: list[UInt8 | Problem] = []
    mels: list[Float32 | Problem] = []
    for row in rows:
        try:
            images.append(read_image(row["image_path"]))
        except MediaError as error:
            images.append(Problem(error.reason, error.detail))
        try:
            _check_size(Path(row["audio_path"]))
            waveform = read_waveform(row["audio_path"])
            mels.append(spectrogram(waveform, has_audio=len(waveform) > 0))
        except MediaError as error:
            mels.append(Problem(error.reason, error.detail))
    frames = [image[None] for image in images if not isinstance(image, Problem)]
    encoded = iter(encoder.encode_many(frames))
    return [
        ClipFeatures(
            clip_id=row["pair_id"],
            video_id=row["pair_id"],
            start_ms=0,
            rows_2d=image if isinstance(image, Problem) else normalise_rows(next(encoded)),
            rows_3d=_NO_3D,
            num_valid_frames=0,
            mel=mel,
        )
        for row, image, mel in zip(rows, images, mels, strict=True)
    ]
