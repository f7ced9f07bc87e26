"""Speech segmentation: where a media file has speech, music, noise or no energy, on a grid of 20 ms.

Two engines, one answer: `fast` computes inaSpeechSegmenter's CNN and rules anew, in torch; `library` runs the package
itself, in an environment of its own, as the reference.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

from datasets.outcomes import OK, failed
from extract.media import MediaError, audio_chunks, ffmpeg_path, last_line, probe_media
from extract.speech.engine import Segment, segment_features
from extract.speech.front_end import SpeechFeatures, compute_features
from extract.speech.network import check_device, load_network, read_weights
from extract.speech.settings import SpeechSettings
from extract.speech.weights import CHECKOUT, WEIGHTS, WEIGHTS_DIR

_Sound = tuple[SpeechFeatures, bytes | None]
"""Features and fingerprint."""
SegmentedVideo = tuple[dict[str, Any], list[dict[str, Any]]]
"""A row of the table segmentations, and the rows of segments."""
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
    return _segment_fast([features], settings)[0]


def check_speech(settings: SpeechSettings) -> None:
    """Refuse before the work what would fail on every file.

    Raises:
        ValueError: the weights, the library's environment or the GPU that `settings` name are not there.
    """
    if settings.engine == "library" and not LIBRARY_PYTHON.is_file():
        raise ValueError("speech.engine = library needs the environment .venv-tensorflow: run `make setup-tensorflow`")
    read_weights(*_weights_of(settings))
    if settings.engine == "fast":
        check_device(settings.device)


def segment_video(video_id: str, media_path: str | Path, settings: SpeechSettings) -> SegmentedVideo:
    """Segment one video for the tables: `segment_videos` of one."""
    return segment_videos([(video_id, media_path)], settings)[0]


def segment_videos(videos: Sequence[tuple[str, str | Path]], settings: SpeechSettings) -> list[SegmentedVideo]:
    """Segment videos for the tables, together: decoded at once, and labelled in shared batches.

    Args:
        videos: id and media file of each.
        settings: how.

    Returns:
        For each the row of `segmentations` and the rows of `segments`. Media that cannot be used give a failed row
        and none.

    Raises:
        ValueError: the weights, or the library's environment, are missing.
    """
    paths = [Path(path) for _, path in videos]
    with ThreadPoolExecutor(len(paths)) as threads:
        sounds = list(threads.map(partial(_try_to_decode, settings=settings), paths))
    usable = [number for number, sound in enumerate(sounds) if not isinstance(sound, MediaError)]
    found: dict[int, list[Segment] | MediaError] = {}
    if settings.engine == "library":
        found = {number: _try_the_library(paths[number], settings) for number in usable}
    else:
        features = [sound[0] for sound in sounds if not isinstance(sound, MediaError)]
        found = dict(zip(usable, _segment_fast(features, settings), strict=True))
    engine = f"{settings.engine}-{settings.network}"
    return [
        _make_rows({"video_id": video_id, "engine": engine}, sound, found.get(number, []))
        for number, ((video_id, _), sound) in enumerate(zip(videos, sounds, strict=True))
    ]


def _try_to_decode(path: Path, settings: SpeechSettings) -> _Sound | MediaError:
    try:
        return _decode_features(path, settings)
    except MediaError as error:
        return error


def _try_the_library(path: Path, settings: SpeechSettings) -> list[Segment] | MediaError:
    try:
        return _segment_with_library(path, settings)
    except MediaError as error:
        return error


def _make_rows(row: dict[str, Any], sound: _Sound | MediaError, segments: list[Segment] | MediaError) -> SegmentedVideo:
    if isinstance(sound, MediaError) or isinstance(segments, MediaError):
        error = sound if isinstance(sound, MediaError) else segments
        assert isinstance(error, MediaError)
        empty = {"num_segments": 0, "duration_ms": None, "speech_ms": None, "fingerprint": None}
        return {**row, **empty, **failed(error.reason, error.detail)}, []
    features, fingerprint = sound
    row |= {
        "num_segments": len(segments),
        "duration_ms": features.num_samples // 16,
        "speech_ms": sum(end - start for label, start, end in segments if label == "speech"),
        "fingerprint": fingerprint,
    }
    return {**row, **OK}, [
        {"video_id": row["video_id"], "start_ms": start, "end_ms": end, "label": label, **OK}
        for label, start, end in segments
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


def _weights_of(settings: SpeechSettings) -> tuple[Path, str]:
    """Path and sha256."""
    name, sha256 = WEIGHTS[settings.network]
    return (settings.weights_dir or WEIGHTS_DIR) / name, sha256


def _segment_fast(features: list[SpeechFeatures], settings: SpeechSettings) -> list[list[Segment]]:
    if not features:
        return []
    network = load_network(*_weights_of(settings), settings.device)
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
    """Run `library.py` on files: what it writes for each (see there).

    Raises:
        ValueError: its environment or the weights are missing.
        MediaError: "decode_failed", it ended without a result.
    """
    check_speech(settings.model_copy(update={"engine": "library"}))
    weights_path, _ = _weights_of(settings)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "inaSpeechSegmenter"
        home.mkdir()
        (home / weights_path.name).symlink_to(weights_path.resolve())
        output = Path(scratch) / "segments.json"
        script = str(Path(__file__).with_name("library.py"))
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
