"""Speech segmentation: where a media file has speech, music, noise or no energy, on a grid of 20 ms.

Two engines, one answer: `fast` computes inaSpeechSegmenter's CNN and rules anew, in torch; `library` runs the package
itself, in an environment of its own, as the reference.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

from datasets.schemas import OK, failed
from extract.media import MediaError, audio_chunks, ffmpeg_path, last_line, probe_media
from extract.speech_engine import Segment, segment_features
from extract.speech_features import SpeechFeatures, compute_features
from extract.speech_network import load_network
from extract.speech_settings import SpeechSettings
from extract.weights import CHECKOUT, WEIGHTS, WEIGHTS_DIR

LIBRARY_PYTHON = CHECKOUT / ".venv-tensorflow" / "bin" / "python"


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
        return _segment_with_library(Path(media_path), settings)
    features, _ = _decode_features(media_path, settings.model_copy(update={"fingerprint_ms": 0}))
    return _segment_fast(features, settings)


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
            _segment_with_library(Path(media_path), settings)
            if settings.engine == "library"
            else _segment_fast(features, settings)
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


def _segment_fast(features: SpeechFeatures, settings: SpeechSettings) -> list[Segment]:
    name, sha256 = WEIGHTS[settings.network]
    network = load_network((settings.weights_dir or WEIGHTS_DIR) / name, sha256, settings.device)
    return segment_features(features, network, settings.network, settings.exact, settings.num_threads)


def _segment_with_library(media_path: Path, settings: SpeechSettings) -> list[Segment]:
    if probe_media(media_path).audio_codec is None:
        raise MediaError("no_audio", f"no audio stream in {media_path.name}")
    result = run_library([media_path], settings)[0]
    return [to_segment(*segment) for segment in result["segments"]]


def to_segment(label: str, start_s: float, end_s: float) -> Segment:
    """A segment in the library's words and seconds, in ours."""
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
