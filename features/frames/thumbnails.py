"""Small pictures of films for people to look at: what the features see, whatever the file."""

import io
from pathlib import Path

from PIL import Image

from features.frames.decoding import decode_clip

_LOOKED_AT_MS = 100


def encode_thumbnail(path: str | Path, at_ms: int, width: int = 240) -> bytes:
    """A JPEG of the first picture of a clip that begins at `at_ms`.

    Args:
        path: a local file.
        at_ms: milliseconds from the start of the media.
        width: of the JPEG, in pixels.

    Raises:
        MediaError: as `decode_clip`.
    """
    picture = Image.fromarray(decode_clip(path, at_ms, at_ms + _LOOKED_AT_MS).frames_2d[0])
    file = io.BytesIO()
    picture.resize((width, max(1, round(width * picture.height / picture.width)))).save(file, "JPEG", quality=70)
    return file.getvalue()
