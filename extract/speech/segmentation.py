"""Speech segmentation: where a media file has speech, music, noise or no energy, on a grid of 20 ms.

Two engines, one answer: `fast` computes inaSpeechSegmenter's CNN and rules anew, in torch; `library` runs the package
itself, in an environment of its own, as the reference.
"""

import json
import os
import subprocess
import tempfile
import wave
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from datasets.devices import refuse_killed
from datasets.media.waveforms import SAMPLING_RATE
from datasets.outcomes import OK, MediaError, failed
from datasets.wheels import CHECKOUT, WEIGHTS_DIR
from extract.media import ffmpeg_path, last_line, make_fingerprint
from extract.sound import audio_chunks
from extract.speech.engine import Segment, segment_features
from extract.speech.front_end import SpeechFeatures, compute_features
from extract.speech.network import check_device, load_network, read_weights
from extract.speech.settings import SpeechSettings
from extract.speech.weights import WEIGHTS

T = TypeVar("T")
Video = tuple[str, str | Path, int | None]
"""Id, media file, and index of its sound track, chosen by the one rule where it is None."""
SegmentedVideo = tuple[dict[str, Any], list[dict[str, Any]]]
"""A row of the table segmentations, and the rows of segments."""
LIBRARY_PYTHON = CHECKOUT / ".venv-tensorflow" / "bin" / "python"


class _Sound(NamedTuple):
    """The sound of a file, decoded once."""

    features: SpeechFeatures
    fingerprint: bytes | None
    detail: str | None
    """What is missing in it."""


def speech_weights_sha256(settings: SpeechSettings) -> str:
    """The digest of the network that `settings` use: part of the recipe."""
    return WEIGHTS[settings.network][1]


def segment_speech(
    media_path: str | Path,
    engine: Literal["fast", "library"] | None = None,
    settings: SpeechSettings | None = None,
    audio_track: int | None = None,
) -> list[Segment]:
    """Label a media file's sound.

    Args:
        media_path: any file that ffmpeg can decode.
        engine: in place of the one in `settings`.
        settings: the defaults when absent.
        audio_track: index of the stream; chosen by the one rule when absent.

    Returns:
        Adjacent segments from 0, the container's start, to within 30 ms of the sound's end; none under 25 ms.

    Raises:
        MediaError: no audio, or nothing to decode.
        ValueError: the weights, or the library's environment, are missing.
    """
    settings = settings or SpeechSettings()
    if (engine or settings.engine) == "library":
        return _segment_with_library(media_path, audio_track, settings)
    sound = _decode_features(media_path, audio_track, settings.model_copy(update={"fingerprint_ms": 0}))
    return _segment_fast([sound.features], settings)[0]


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


def segment_videos(videos: Sequence[Video], settings: SpeechSettings) -> list[SegmentedVideo]:
    """Segment videos for the tables, together: decoded at once, and labelled in shared batches.

    Args:
        videos: id, media file and sound track of each.
        settings: how.

    Returns:
        For each the row of `segmentations` and the rows of `segments`. Media that cannot be used give a failed row
        and none.

    Raises:
        ValueError: the weights, or the library's environment, are missing.
    """
    with ThreadPoolExecutor(len(videos)) as threads:
        sounds = list(threads.map(lambda video: _try(_decode_features, *video[1:], settings), videos))
    usable = [number for number, sound in enumerate(sounds) if isinstance(sound, _Sound)]
    found: dict[int, list[Segment] | MediaError] = {}
    if settings.engine == "library":
        found = {number: _try(_segment_with_library, *videos[number][1:], settings) for number in usable}
    else:
        features = [sound.features for sound in sounds if isinstance(sound, _Sound)]
        found = dict(zip(usable, _segment_fast(features, settings), strict=True))
    engine = f"{settings.engine}-{settings.network}"
    return [
        _make_rows({"video_id": video_id, "engine": engine}, sound, found.get(number, []))
        for number, ((video_id, *_), sound) in enumerate(zip(videos, sounds, strict=True))
    ]


def _try(work: Callable[..., T], *given: Any) -> T | MediaError:
    """The result, or why there is none: one file of a batch must not spoil the others."""
    try:
        return work(*given)
    except MediaError as error:
        return error


def _make_rows(row: dict[str, Any], sound: _Sound | MediaError, segments: list[Segment] | MediaError) -> SegmentedVideo:
    for problem in (sound, segments):
        if isinstance(problem, MediaError):
            empty = {"num_segments": 0, "duration_ms": None, "speech_ms": None, "fingerprint": None}
            return {**row, **empty, **failed(problem.reason, problem.detail)}, []
    assert isinstance(sound, _Sound) and isinstance(segments, list)
    row |= {
        "num_segments": len(segments),
        "duration_ms": sound.features.num_samples // 16,
        "speech_ms": sum(end - start for label, start, end in segments if label == "speech"),
        "fingerprint": sound.fingerprint,
    }
    return {**row, **OK, "detail": sound.detail}, [
        {"video_id": row["video_id"], "start_ms": start, "end_ms": end, "label": label, **OK}
        for label, start, end in segments
    ]


def _decode_features(media_path: str | Path, audio_track: int | None, settings: SpeechSettings) -> _Sound:
    with audio_chunks(media_path, audio_track=audio_track, timeout_s=settings.timeout_s) as chunks:
        features = compute_features(chunks)
    fingerprint = None
    if settings.fingerprint_ms:
        channel = chunks.waveform.lone_channel
        fingerprint = make_fingerprint(media_path, settings.fingerprint_ms, chunks.track, channel)
    return _Sound(features, fingerprint, chunks.describe())


def _weights_of(settings: SpeechSettings) -> tuple[Path, str]:
    """Path and sha256."""
    name, sha256 = WEIGHTS[settings.network]
    return (settings.weights_dir or WEIGHTS_DIR) / name, sha256


def _segment_fast(features: list[SpeechFeatures], settings: SpeechSettings) -> list[list[Segment]]:
    if not features:
        return []
    network = load_network(*_weights_of(settings), settings.device)
    return segment_features(features, network, settings.network, settings.exact, settings.num_threads)


def _segment_with_library(media_path: str | Path, audio_track: int | None, settings: SpeechSettings) -> list[Segment]:
    """The package gets the samples that the fast engine gets, so that both hear one track on one clock."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "sound.wav"
        with (
            audio_chunks(media_path, audio_track=audio_track, timeout_s=settings.timeout_s) as chunks,
            wave.open(str(path), "wb") as file,
        ):
            file.setparams((1, 2, SAMPLING_RATE, 0, "NONE", ""))
            for chunk in chunks:
                file.writeframes((chunk * 32768).astype("<i2").tobytes())
        return [to_segment(*segment) for segment in run_library([path], settings)[0]["segments"]]


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
        try:
            done = subprocess.run(
                [str(LIBRARY_PYTHON), script, str(output), ffmpeg_path(), settings.network, *paths],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=settings.timeout_s,
                check=False,
                env={**os.environ, "KERAS_HOME": scratch, "MPLCONFIGDIR": scratch, "CUDA_VISIBLE_DEVICES": ""},
            )
        except subprocess.TimeoutExpired as error:
            complaint = f"the library was stopped after {settings.timeout_s:.0f} s"
            raise MediaError("decode_failed", complaint) from error
        refuse_killed(done.returncode, "the segmentation library", "lower run.num_workers")
        if done.returncode != 0:
            raise MediaError("decode_failed", last_line(done.stderr))
        results: list[dict[str, Any]] = json.loads(output.read_text())
    return results
