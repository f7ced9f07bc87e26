"""Speech segmentation: where a media file has speech, music, noise or no energy, on a grid of 20 ms.

Two engines, one answer: `fast` computes inaSpeechSegmenter's CNN and rules anew, in torch; `library` runs the package
itself, in an environment of its own, as the reference.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from datasets.schemas import OK, failed
from datasets.settings import Settings
from extract.media import MediaError, audio_chunks, ffmpeg_path, last_line, probe_media
from extract.speech_decoding import decode_states, find_runs, gate_energy
from extract.speech_features import SpeechFeatures, compute_features
from extract.speech_network import SpeechNetwork, load_network
from extract.speech_patches import measure_patches, patch_of_labels, score_patches
from extract.weights import CHECKOUT, WEIGHTS, WEIGHTS_DIR

Segment = tuple[str, int, int]
"""(label, start_ms, end_ms), half-open; labels are speech, music, noise and no_energy."""

LABEL_MS = 20
LABELS = {"smn": ("speech", "music", "noise"), "sm": ("speech", "music")}
CHANGE_EXPONENTS = {"smn": 80, "sm": 150}
"""A change of label costs this many decades of probability: the library's own values."""
GROUP_SIZE = 16
LIBRARY_PYTHON = CHECKOUT / ".venv-tensorflow" / "bin" / "python"


class SpeechSettings(Settings):
    """How speech is found."""

    not_in_recipe: ClassVar[frozenset[str]] = frozenset({"weights_dir", "device", "num_threads", "timeout_s"})

    engine: Literal["fast", "library"] = "fast"
    """`library` runs the inaSpeechSegmenter package: the reference, five or more times slower."""
    network: Literal["smn", "sm"] = "smn"
    """Speech/music/noise, or speech/music, which calls less speech over music "music"."""
    exact: bool = False
    """Run the CNN patch by patch: the library's labels on every frame, several times slower."""
    fingerprint_ms: int = Field(default=120_000, ge=0, le=3_600_000)
    """How much of a file's beginning goes into its audio fingerprint, in ms (fpcalc's default); 0 makes none."""
    weights_dir: Path | None = None
    """Folder of the CNN weights; by default `weights/` of the checkout."""
    device: str = "cpu"
    """Where torch runs the CNN: "cpu", "cuda" or "cuda:N"."""
    num_threads: int = Field(default=1, ge=1, le=64)
    """CPU threads for one file. More files at once use more cores better than more threads."""
    timeout_s: float = Field(default=3600.0, gt=0)
    """Longest time for one file's decoding, or for the library's whole call, in seconds."""


def speech_weights_sha256(settings: SpeechSettings) -> str:
    """The digest of the network that `settings` use: part of the recipe."""
    return WEIGHTS[settings.network][1]


def segment_speech(
    media_path: str | Path,
    engine: Literal["fast", "library"] | None = None,
    settings: SpeechSettings | None = None,
) -> list[Segment]:
    """Label a media file's sound.

    Args:
        media_path: any file that ffmpeg can decode.
        engine: in place of the one in `settings`.
        settings: the defaults when absent.

    Returns:
        Adjacent segments from 0 to within 30 ms of the audio's end; empty for audio under 25 ms.

    Raises:
        MediaError: no audio, or nothing to decode.
        ValueError: the weights, or the library's environment, are missing.
    """
    settings = settings or SpeechSettings()
    if (engine or settings.engine) == "library":
        return _segment_with_library([Path(media_path)], settings)[0]
    features, _ = _decode_features(media_path, settings.model_copy(update={"fingerprint_ms": 0}))
    return segment_features(features, settings)


def segment_video(
    video_id: str, media_path: str | Path, settings: SpeechSettings
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Segment one video for the tables.

    Returns:
        The row of `segmentations` and the rows of `segments`. Media that cannot be used give a failed row and none.

    Raises:
        ValueError: the weights, or the library's environment, are missing.
    """
    row: dict[str, Any] = {"video_id": video_id, "engine": f"{settings.engine}-{settings.network}"}
    try:
        features, fingerprint = _decode_features(media_path, settings)
        segments = (
            _segment_with_library([Path(media_path)], settings)[0]
            if settings.engine == "library"
            else segment_features(features, settings)
        )
    except MediaError as error:
        empty = {"num_segments": 0, "duration_ms": None, "speech_ms": None, "fingerprint": None}
        return {**row, **empty, **failed(error.reason, error.detail)}, []
    row |= {
        "num_segments": len(segments),
        "duration_ms": features.num_samples // 16,
        "speech_ms": sum(end - start for label, start, end in segments if label == "speech"),
        "fingerprint": fingerprint,
    }
    return {**row, **OK}, [
        {"video_id": video_id, "start_ms": start, "end_ms": end, "label": label, **OK} for label, start, end in segments
    ]


def segment_features(features: SpeechFeatures, settings: SpeechSettings) -> list[Segment]:
    """Label the front-end features of one whole file with the fast engine."""
    network = _load(settings)
    has_energy = gate_energy(features.log_energy)
    if not has_energy.any():
        return [("no_energy", 0, len(has_energy) * LABEL_MS)] if len(has_energy) else []
    with _torch_threads(settings.num_threads):
        log_probabilities = _score_labels(features, has_energy, network, settings)
    return _decode_labels(has_energy, log_probabilities, settings.network)


def _score_labels(
    features: SpeechFeatures, has_energy: NDArray[np.bool_], network: SpeechNetwork, settings: SpeechSettings
) -> NDArray[np.float32]:
    """Log probabilities [num_labels, num_classes]; meaningless where there is no energy."""
    patches = measure_patches(features.log_mel)
    patch_of_label = patch_of_labels(len(has_energy), len(patches.means))
    wanted = np.zeros(len(patches.means), bool)
    wanted[patch_of_label[has_energy]] = True
    probabilities = score_patches(patches, wanted, network, 1 if settings.exact else GROUP_SIZE)
    with np.errstate(divide="ignore"):
        return np.log(probabilities)[patch_of_label]


def _decode_labels(
    has_energy: NDArray[np.bool_], log_probabilities: NDArray[np.float32], network: str
) -> list[Segment]:
    """Silence as it is; each stretch with energy decoded on its own."""
    segments: list[Segment] = []
    for start, stop in find_runs(has_energy):
        if not has_energy[start]:
            segments.append(("no_energy", start * LABEL_MS, stop * LABEL_MS))
            continue
        states = decode_states(log_probabilities[start:stop], CHANGE_EXPONENTS[network])
        for first, last in find_runs(states):
            label = LABELS[network][states[first]]
            segments.append((label, (start + first) * LABEL_MS, (start + last) * LABEL_MS))
    return segments


def _decode_features(media_path: str | Path, settings: SpeechSettings) -> tuple[SpeechFeatures, bytes | None]:
    """Features and fingerprint from one decoding of the file."""
    with tempfile.TemporaryDirectory() as scratch:
        fingerprint_path = Path(scratch) / "fingerprint" if settings.fingerprint_ms else None
        with audio_chunks(
            media_path,
            fingerprint_path=fingerprint_path,
            fingerprint_ms=settings.fingerprint_ms,
            timeout_s=settings.timeout_s,
        ) as chunks:
            features = compute_features(chunks)
        has_fingerprint = fingerprint_path is not None and fingerprint_path.is_file()
        return features, (fingerprint_path.read_bytes() or None) if fingerprint_path and has_fingerprint else None


def _load(settings: SpeechSettings) -> SpeechNetwork:
    name, sha256 = WEIGHTS[settings.network]
    return load_network((settings.weights_dir or WEIGHTS_DIR) / name, sha256, settings.device)


@contextmanager
def _torch_threads(num_threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _segment_with_library(media_paths: list[Path], settings: SpeechSettings) -> list[list[Segment]]:
    """Segments of each file by the package itself, in one subprocess."""
    for path in media_paths:
        if probe_media(path).audio_codec is None:
            raise MediaError("no_audio", f"no audio stream in {path.name}")
    results = run_library(media_paths, settings)
    for result in results:
        if "error" in result:
            raise MediaError("decode_failed", result["error"])
    return [[_to_segment(*segment) for segment in result["segments"]] for result in results]


def _to_segment(label: str, start_s: float, end_s: float) -> Segment:
    return ("no_energy" if label == "noEnergy" else label, round(start_s * 1000), round(end_s * 1000))


def run_library(media_paths: list[Path], settings: SpeechSettings) -> list[dict[str, Any]]:
    """Run `speech_library.py` on files: what it writes for each (see there).

    Raises:
        ValueError: its environment or the weights are missing.
        MediaError: "decode_failed", it ended without a result.
    """
    if not LIBRARY_PYTHON.is_file():
        raise ValueError("speech.engine = library needs the environment .venv-tensorflow: run `make setup-tensorflow`")
    name, _ = WEIGHTS[settings.network]
    weights_path = (settings.weights_dir or WEIGHTS_DIR) / name
    if not weights_path.is_file():
        raise ValueError(f"no segmentation weights at {weights_path}: run `make weights`")
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "inaSpeechSegmenter"
        home.mkdir()
        (home / name).symlink_to(weights_path.resolve())
        output = Path(scratch) / "segments.json"
        script = str(Path(__file__).with_name("speech_library.py"))
        paths = [str(path.resolve()) for path in media_paths]
        _run_script([script, str(output), ffmpeg_path(), settings.network, *paths], scratch, settings.timeout_s)
        results: list[dict[str, Any]] = json.loads(output.read_text())
    return results


def _run_script(arguments: list[str], keras_home: str, timeout_s: float) -> None:
    environment = {**os.environ, "KERAS_HOME": keras_home, "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            [str(LIBRARY_PYTHON), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise MediaError("decode_failed", f"the library was stopped after {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise MediaError("decode_failed", last_line(done.stderr))
