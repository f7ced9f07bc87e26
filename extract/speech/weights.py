"""The segmenter's CNN weights: fetched from the package registry once, checked, never executed.

`python -m extract.speech.weights [DIR]` unpacks the two networks from the wheel of inaSpeechSegmenter 0.6.8, which
ships them, without installing it. Digests: the registry's files of that release.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from datasets.wheels import fetch_from_command_line, fetch_from_wheel

WHEEL = "inaSpeechSegmenter==0.6.8"
WHEEL_SHA256 = "16303a0b4f7e71b823b7f281e620ab399f9c1b26526e0f0c9e135bc70d313250"
WEIGHTS = {
    "smn": (
        "keras_speech_music_noise_cnn.hdf5",
        "f04b5e3c86fa2e81666d106b0867350fe7858c7bd006c2a74c27b5b45507e7d8",
    ),
    "sm": ("keras_speech_music_cnn.hdf5", "14379ba71352d8981bc24a15c069c84cf6f78ff2ffe7377d43b32465ebd06e01"),
}
"""Network name to (file name, sha256)."""


def fetch_weights(directory: Path) -> Iterator[str]:
    """Put the networks' files into a folder; files that are there and right are left alone.

    Yields:
        What was done, a line a file.

    Raises:
        ValueError: pip cannot get the wheel, or a digest is not the expected one.
    """
    files = {f"inaSpeechSegmenter/{name}": sha256 for name, sha256 in WEIGHTS.values()}
    written = fetch_from_wheel(WHEEL, WHEEL_SHA256, files, directory)
    for path in written:
        yield f"wrote {path} ({path.stat().st_size:,} bytes, sha256 checked)"
    if not written:
        yield f"segmentation weights are in {directory}"


if __name__ == "__main__":
    sys.exit(fetch_from_command_line("extract.speech.weights", fetch_weights))
