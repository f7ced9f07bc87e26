import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from datasets.media import container
from datasets.outcomes import DeviceError, MediaError
from features.encoders import load_encoder
from features.frames import decoding, demuxer, pictures
from features.frames.decoded import join_pieces
from features.frames.decoding import decode_clip, decode_pieces
from features.frames.filters import scaled_size

GOLDEN = Path(__file__).parents[1] / "golden" / "features"


def test_frames_of_the_golden_clip_are_the_references_byte_for_byte(golden_clip: Path) -> None:
    golden = np.load(GOLDEN / "preprocess.npz")
    clip = decode_clip(golden_clip)
    assert np.array_equal(clip.frames_2d, golden["g1_2d_u8"].transpose(0, 2, 3, 1))
    assert np.array_equal(clip.frames_3d, golden["g1_3d_u8"].transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("start_ms", "end_ms"), [(0, 1000), (1, 1235), (333, 3210), (1016, 3394), (2000, 3400), (1700, 1750)]
)
def test_a_range_is_read_as_ffmpeg_cuts_it(
    golden_clip: Path, reference_frames: Callable[..., tuple[np.ndarray, np.ndarray]], start_ms: int, end_ms: int
) -> None:
    cut = ("-ss", f"{start_ms / 1000}", "-t", f"{(end_ms - start_ms) / 1000}")
    frames_2d, frames_3d = reference_frames(golden_clip, (426, 240), *cut)
    clip = decode_clip(golden_clip, start_ms, end_ms)
    assert np.array_equal(clip.frames_3d, frames_3d)
    if len(frames_2d):
        assert np.array_equal(clip.frames_2d, frames_2d)
    else:
        assert clip.frames_2d.shape == (1, 224, 397, 3)


@pytest.mark.parametrize("frames_per_piece", [16, 48])
def test_the_pieces_of_a_clip_are_the_clip(golden_clip: Path, frames_per_piece: int) -> None:
    pieces = list(decode_pieces(golden_clip, 100, 3300, frames_per_piece))
    whole, joined = decode_clip(golden_clip, 100, 3300), join_pieces(pieces)
    assert [len(piece.frames_3d) for piece in pieces[:-1]] == [frames_per_piece] * (len(pieces) - 1)
    assert len(pieces) > 1
    assert np.array_equal(joined.frames_2d, whole.frames_2d)
    assert np.array_equal(joined.frames_3d, whole.frames_3d)
    assert np.array_equal(joined.waveform, whole.waveform)
    assert (joined.num_frames, joined.num_damaged) == (whole.num_frames, whole.num_damaged)


def test_a_range_has_sixteen_samples_a_millisecond(golden_clip: Path) -> None:
    waveform = decode_clip(golden_clip, 500, 2500).waveform
    assert waveform.dtype == np.float32
    assert len(waveform) == 32000


EDGE_MEDIA = {
    "portrait.mp4": ("240x426", ()),
    "odd.mp4": ("251x143", ("-vf", "scale=251:143", "-pix_fmt", "yuv444p")),
    "square_pixels_not.mp4": ("320x240", ("-vf", "setsar=4/3")),
    "tagged_bt709.mp4": ("320x240", ("-colorspace", "bt709", "-color_range", "tv", "-color_primaries", "bt709")),
    "hdr.mp4": (
        "320x180",
        ("-pix_fmt", "yuv420p10le", "-colorspace", "bt2020nc", "-color_trc", "smpte2084", "-color_primaries", "bt2020"),
    ),
    "variable.mp4": ("320x180", ("-vf", "select='not(mod(n,7))+not(mod(n,3))'", "-fps_mode", "vfr")),
    "hevc.mp4": ("320x180", ("-c:v", "libx265", "-x265-params", "log-level=none")),
    "vp9.webm": ("320x180", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")),
    "av1.mp4": ("320x180", ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1")),
}


@pytest.mark.parametrize("name", EDGE_MEDIA)
def test_whatever_the_media_frames_are_what_the_references_command_gives(
    name: str, make_media: Callable[..., Path], reference_frames: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    size, options = EDGE_MEDIA[name]
    path = make_media(name, size, 1.6, *options)
    width, height = map(int, size.split("x"))
    frames_2d, frames_3d = reference_frames(path, (width, height))
    clip = decode_clip(path)
    assert np.array_equal(clip.frames_2d, frames_2d)
    assert np.array_equal(clip.frames_3d, frames_3d)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_picture_keeps_its_displayed_proportions(
    rotation: int,
    tmp_path: Path,
    ffmpeg: Callable[..., bytes],
    golden_clip: Path,
    reference_frames: Callable[..., tuple[np.ndarray, np.ndarray]],
) -> None:
    path = tmp_path / "rotated.mp4"
    ffmpeg("-display_rotation", str(rotation), "-i", str(golden_clip), "-c", "copy", str(path))
    frames_2d, frames_3d = reference_frames(path, (426, 240) if rotation == 180 else (240, 426))
    clip = decode_clip(path)
    assert np.array_equal(clip.frames_2d, frames_2d)
    assert np.array_equal(clip.frames_3d, frames_3d)


def test_a_clip_of_one_frame_gives_one_frame_of_each_kind(make_media: Callable[..., Path]) -> None:
    path = make_media("one.mp4", "320x180", 0.02, "-frames:v", "1", rate=60, audio=False)
    clip = decode_clip(path)
    assert clip.frames_2d.shape == (1, 224, 398, 3)
    assert clip.frames_3d.shape[1:] == (112, 112, 3)
    assert len(clip.frames_3d) == 1
    assert not clip.has_audio


def test_a_clip_too_short_for_the_grid_gives_its_first_frame(golden_clip: Path) -> None:
    assert decode_clip(golden_clip, 1000, 1400).frames_2d.shape == (1, 224, 397, 3)


def test_a_missing_file_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="media_missing"):
        decode_clip(tmp_path / "none.mp4")


def test_a_file_that_is_no_media_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("this is no video")
    with pytest.raises(MediaError, match="decode_failed"):
        decode_clip(path)


def test_audio_only_is_a_reason(tmp_path: Path, ffmpeg: Callable[..., bytes], golden_clip: Path) -> None:
    path = tmp_path / "sound.m4a"
    ffmpeg("-i", str(golden_clip), "-vn", "-c:a", "copy", str(path))
    with pytest.raises(MediaError, match="no_video"):
        decode_clip(path)


def test_a_clip_past_the_end_is_a_reason(golden_clip: Path) -> None:
    with pytest.raises(MediaError, match="clip_past_end"):
        decode_clip(golden_clip, 5000, 9000)
    with pytest.raises(MediaError, match="clip_past_end"):
        decode_clip(golden_clip, 2000, 9000)


def test_a_truncated_file_is_a_reason_where_it_breaks_off_and_not_before(
    tmp_path: Path, make_media: Callable[..., Path]
) -> None:
    whole = make_media("long.mp4", "320x180", 12, "-movflags", "+faststart", "-g", "25", rate=10)
    path = tmp_path / "truncated.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert len(decode_clip(path, 1000, 3000).frames_2d) == 2
    with pytest.raises(MediaError, match="decode_failed"):
        decode_clip(path)
    with pytest.raises(MediaError, match="decode_failed"):
        decode_clip(path, 8000, 11000)


def test_corrupt_packets_in_the_middle_are_counted(tmp_path: Path, make_media: Callable[..., Path]) -> None:
    whole = make_media("long.mp4", "320x180", 12, "-movflags", "+faststart", "-g", "25", rate=10)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(range(250)) * 12
    path = tmp_path / "corrupt.mp4"
    path.write_bytes(data)
    clip = decode_clip(path)
    assert clip.num_damaged > 0
    assert len(clip.frames_2d) == 12


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_frames_of_nvdec_are_within_their_tolerance(golden_clip: Path) -> None:
    (clip,) = decode_pieces(golden_clip, decoder="nvdec")
    expected = decode_clip(golden_clip)
    for found, frames in ((clip.frames_2d, expected.frames_2d), (clip.frames_3d, expected.frames_3d)):
        assert found.shape == frames.shape
        assert np.abs(found.astype(np.int16) - frames).mean() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("name", "frames"), [("resnet152", "frames_2d"), ("resnext101_3d", "frames_3d")])
def test_features_of_nvdec_frames_are_within_their_tolerance(golden_clip: Path, name: str, frames: str) -> None:
    encoder = load_encoder(name, "untrained", engine="torch", device="cuda")
    (clip,) = decode_pieces(golden_clip, decoder="nvdec")
    found, expected = encoder(getattr(clip, frames)), encoder(getattr(decode_clip(golden_clip), frames))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) <= 5e-3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_nvdec_is_the_machines_fault_and_no_clips(golden_clip: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"features\.decoder = 'nvdec': the GPU does not decode \(.+\): set it to cpu"
    ):
        next(decode_pieces(golden_clip, decoder="nvdec"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_has_no_decoder_left_is_the_machines_fault_and_what_is_no_media_the_files(
    golden_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "check_nvdec", lambda: None)
    with pytest.raises(DeviceError, match=rf"the GPU does not decode {golden_clip.name} \(.+\): set it to cpu"):
        next(decode_pieces(golden_clip, decoder="nvdec"))
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(MediaError, match="decode_failed"):
        next(decode_pieces(tmp_path / "text.mp4", decoder="nvdec"))


@pytest.mark.parametrize("shares_context", [True, False])
def test_files_decoded_by_nvdec_share_the_devices_context_where_ffmpeg_allows_it(
    monkeypatch: pytest.MonkeyPatch, shares_context: bool
) -> None:
    def make_accelerator(*_: Any, options: dict[str, str], **__: Any) -> None:
        if options and not shares_context:
            raise container.MediaFault(95, "Primary context already active with incompatible flags.")

    monkeypatch.setattr(container, "HWAccel", make_accelerator)
    monkeypatch.setattr(container, "_KEPT", [])
    assert container.check_nvdec.__wrapped__() == ({"primary_ctx": "1"} if shares_context else {})
    assert len(container._KEPT) == 1


@pytest.fixture
def nvdec_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "check_nvdec", lambda: None)
    monkeypatch.setattr(container, "HWAccel", lambda *_, **given: (given["allow_software_fallback"] and 1 / 0) or None)


@pytest.mark.usefixtures("nvdec_without_a_gpu")
def test_a_codec_that_the_gpu_lacks_is_told_and_not_decoded_otherwise(golden_clip: Path) -> None:
    with pytest.raises(DeviceError, match=r"the GPU does not decode h264: set it to cpu"):
        next(decode_pieces(golden_clip, decoder="nvdec"))


@pytest.mark.usefixtures("nvdec_without_a_gpu")
@pytest.mark.parametrize("is_sound", [True, False])
def test_a_file_without_pictures_by_nvdec_is_the_machines_fault_if_the_cpu_finds_some(
    golden_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_sound: bool
) -> None:
    class Accelerated:
        def __init__(self, stream: Any) -> None:
            self.stream, self.codec_context = stream, SimpleNamespace(name="h264", profile="High 10", is_hwaccel=True)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

    def demux_nothing_by_nvdec(opened: Any, streams: Any, times: Any, video: Any) -> Any:
        if isinstance(video, Accelerated):
            return SimpleNamespace(frames=lambda: iter(()), num_damaged=9)
        return demuxer.Demuxer(opened, streams, times, video)

    pick = decoding.pick_video
    picks = iter([lambda opened: Accelerated(pick(opened)), pick])
    monkeypatch.setattr(decoding, "pick_video", lambda opened: next(picks)(opened))
    monkeypatch.setattr(decoding, "Demuxer", demux_nothing_by_nvdec)
    path = golden_clip if is_sound else tmp_path / "corrupt.mp4"
    if not is_sound:
        data = golden_clip.read_bytes()
        start = data.index(b"mdat") + 4
        end = data.index(b"moov", start) - 4 if b"moov" in data[start:] else len(data)
        path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    error, message = (DeviceError, "h264 High 10, as g1_") if is_sound else (MediaError, "decode_failed")
    with pytest.raises(error, match=message):
        list(decode_pieces(path, decoder="nvdec"))


@pytest.mark.parametrize("chain", [["scale=10:6"], ["scale=10:6", "vflip"], ["scale=10:6", "crop=5:4:3:1"], ["hflip"]])
def test_a_picture_through_filters_is_what_pyav_makes_of_it(chain: list[str]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    expected = {"vflip": picture[::-1], "hflip": picture[:, ::-1], "crop=5:4:3:1": picture[1:5, 3:8]}
    frame = container.av.VideoFrame.from_ndarray(picture, format="rgb24")
    assert np.array_equal(pictures.Converter(chain)(frame), expected.get(chain[-1], picture))


@pytest.mark.parametrize(("start_ms", "end_ms"), [(-1, 5), (5, 5), (7, 3)])
def test_an_empty_or_negative_range_is_refused(golden_clip: Path, start_ms: int, end_ms: int) -> None:
    with pytest.raises(ValueError, match="start_ms < end_ms"):
        decode_clip(golden_clip, start_ms, end_ms)


def test_the_long_side_is_truncated() -> None:
    assert scaled_size(426, 240, 224) == (397, 224)
    assert scaled_size(240, 426, 224) == (224, 397)
    assert scaled_size(100, 100, 112) == (112, 112)


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n", "a text\n" * 99],
)
def test_a_file_that_names_others_or_is_text_is_no_media(text: str, tmp_path: Path, golden_clip: Path) -> None:
    shutil.copy(golden_clip, tmp_path / "secret.mp4")
    for name in ("video.mp4", "video.txt"):
        (tmp_path / name).write_text(text)
        with pytest.raises(MediaError, match=f"decode_failed:.* {name}"):
            decode_clip(tmp_path / name)
