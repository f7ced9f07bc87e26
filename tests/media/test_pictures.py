"""Pictures of every kind of file beside ffmpeg's own reading: tables of (file, cut, truth, tolerance)."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datasets.outcomes import MediaError
from extract.container import probe_media
from features.frames import decode_clip
from tests.media.render import X264, cropped, ffmpeg, film, grey, joined, reference_rows, with_sound

SIZE = (160, 90)
CUT = (1320, 3050)
GREY_TOLERANCE = 5.0
"""Levels; the next picture of a film is 12 away."""
HDR = ("-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le")
PQ = ("-c:v", "libx265", *HDR, "-color_trc", "smpte2084", "-x265-params", "log-level=none")
HLG = ("-c:v", "libx264", *HDR, "-color_trc", "arib-std-b67", "-color_range", "pc")
OPEN_GOP = "open-gop=1:bframes=3:keyint=30:min-keyint=30:scenecut=0"
VFR = ("-vf", "setpts='(N+0.2*mod(N,2))/30/TB'", "-fps_mode", "vfr", "-enc_time_base", "1/90000", *X264)
WEBM = ("-deadline", "realtime", "-cpu-used", 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    """4 s of moving pictures, 30 a second, with B-frames."""
    path = folder / "base.mp4"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={SIZE[0]}x{SIZE[1]}:r=30:d=4", *X264, "-bf", 2, "-g", 30, path)
    return path


def assert_rows_are(path: Path, cut: tuple[int, int] | None, rows: list[np.ndarray]) -> None:
    clip = decode_clip(path, *(cut or ()))
    assert [len(clip.frames_2d), len(clip.frames_3d)] == [len(frames) for frames in rows]
    assert np.array_equal(clip.frames_2d, rows[0])
    assert np.array_equal(clip.frames_3d, rows[1])


def assert_rows_look_like(path: Path, cut: tuple[int, int], rows: list[np.ndarray]) -> None:
    clip = decode_clip(path, *cut)
    assert [len(clip.frames_2d), len(clip.frames_3d)] == [len(frames) for frames in rows]
    for found, right in zip((clip.frames_2d, clip.frames_3d), rows, strict=True):
        assert np.abs(grey(found) - grey(right)).mean(axis=(1, 2)).max() <= GREY_TOLERANCE


# name: arguments that make it of `base`; displayed size
ENCODED = {
    "phone_of_variable_rate.mp4": (VFR, SIZE),
    "hdr_pq.mp4": (PQ, SIZE),
    "hdr_hlg_full_range.mkv": (HLG, SIZE),
    "ten_bit_422.mkv": (("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv422p10le"), SIZE),
    "rgb.mkv": (("-c:v", "libx264rgb", "-preset", "ultrafast"), SIZE),
    "grey_ten_bit.mkv": (("-vf", "format=gray10le", "-c:v", "ffv1"), SIZE),
    "full_range.avi": (("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), SIZE),
    "palette.gif": (("-vf", "fps=25"), SIZE),
    "moving.apng": (("-vf", "fps=25"), SIZE),
    "alpha.webm": (
        ("-vf", "format=yuva420p,colorchannelmixer=aa=0.5", "-pix_fmt", "yuva420p", "-c:v", "libvpx-vp9", *WEBM),
        SIZE,
    ),
    "alpha.mov": (("-vf", "format=argb,colorchannelmixer=aa=0.5", "-c:v", "qtrle"), SIZE),
    "wide_pixels.mp4": (("-vf", "setsar=4/3", *X264), SIZE),
    "tiny.mkv": (("-vf", "scale=2:2", "-c:v", "ffv1"), (2, 2)),
    "a_strip.mkv": (("-vf", "scale=640:16", "-c:v", "ffv1"), (640, 16)),
    "b_frames.avi": (("-c:v", "mpeg4", "-bf", 2, "-q:v", 3), SIZE),
    "reordered.avi": (("-c", "copy"), SIZE),
    "in_order.asf": (("-c:v", "libx264", "-preset", "ultrafast", "-bf", 0), SIZE),
    "open_gop.mp4": (("-c:v", "libx264", "-x264opts", OPEN_GOP), SIZE),
    "open_gop_hevc.mkv": (("-c:v", "libx265", "-x265-params", f"log-level=none:{OPEN_GOP}"), SIZE),
    "fragmented.mp4": (("-c", "copy", "-movflags", "+frag_keyframe+empty_moov"), SIZE),
    "edit_list.mp4": (("-ss", 0.5, "-c", "copy"), SIZE),
    "negative_start.mkv": (("-c", "copy", "-output_ts_offset", -0.5, "-avoid_negative_ts", "disabled"), SIZE),
    "from_ten_hours.mkv": (("-c", "copy", "-output_ts_offset", 36_000), SIZE),
    "smooth_streaming.ismv": (("-c", "copy"), SIZE),
    "broadcast.mxf": (("-c:v", "mpeg2video", "-q:v", 3, "-pix_fmt", "yuv422p"), SIZE),
    "studio.mov": (("-c:v", "prores_ks"), SIZE),
    "live.webm": (("-c:v", "libvpx", *WEBM, "-f", "webm", "-live", 1), SIZE),
}


@pytest.mark.parametrize("name", ENCODED)
def test_ordinary_media_of_any_kind_are_read_as_the_references_command_reads_them(
    name: str, folder: Path, base: Path
) -> None:
    arguments, size = ENCODED[name]
    ffmpeg("-i", base, *arguments, folder / name)
    assert_rows_are(folder / name, CUT, reference_rows(folder / name, size, CUT))


# Where ffmpeg's own seek is not exact, its reading of the same packets in a container with an index is the truth.
STREAMED = {
    "transport.ts": ("-c", "copy"),
    "from_ten_hours.ts": ("-c", "copy", "-output_ts_offset", 36_000),
    "clock_wraps.ts": ("-c", "copy", "-output_ts_offset", 2**33 / 90_000 - 3.4),
    "interlaced.ts": ("-vf", "tinterlace=interleave_top", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", 3),
    "open_gop.ts": ("-c:v", "libx264", "-x264opts", OPEN_GOP),
    "camera.m2ts": ("-c", "copy", "-mpegts_m2ts_mode", 1),
    "program.mpg": ("-c:v", "mpeg2video", "-g", 15, "-bf", 2, "-q:v", 3),
}


@pytest.mark.parametrize("name", STREAMED)
def test_a_file_without_index_is_cut_as_exactly_as_one_with(name: str, folder: Path, base: Path) -> None:
    path, indexed = folder / name, folder / f"{name}.mkv"
    ffmpeg("-i", base, *STREAMED[name], path)
    ffmpeg("-i", path, "-c", "copy", indexed)
    for cut in (CUT, (1000, 2500)):
        assert_rows_are(path, cut, reference_rows(indexed, SIZE, cut))


@pytest.mark.parametrize(
    ("flags", "is_lying"),
    [
        (("-display_rotation", 90), True),
        (("-display_rotation", 180), False),
        (("-display_rotation", 270), True),
        (("-display_hflip",), False),
        (("-display_vflip",), False),
        (("-display_rotation", 90, "-display_hflip"), True),
        (("-display_rotation", 90, "-display_vflip"), True),
        (("-display_rotation", 45), False),
        (("-display_rotation", 1), False),
    ],
)
def test_the_display_matrix_is_honoured_whole(
    flags: tuple[object, ...], is_lying: bool, tmp_path: Path, base: Path
) -> None:
    path = tmp_path / "turned.mp4"
    ffmpeg(*flags, "-i", base, "-c", "copy", path)
    assert_rows_are(path, CUT, reference_rows(path, SIZE[::-1] if is_lying else SIZE, CUT))


# size and place of what is to be seen, further arguments, displayed size: no pixels of one colour are divided
CROPS = {
    "narrower.mp4": ((120, 60), (0, 0), (), (120, 60)),
    "of_odd_numbers.mp4": ((121, 61), (3, -2), (), (120, 60)),
    "turned.mp4": ((150, 90), (5, 0), ("-display_rotation", 90), (90, 150)),
    "pixel_crop.mkv": ((121, 61), (3, -2), (), (120, 60)),
    "one_side.mkv": ((150, 90), (5, 0), (), (150, 90)),
}


@pytest.mark.parametrize("name", CROPS)
def test_what_the_container_cuts_away_is_not_seen(name: str, tmp_path: Path, base: Path) -> None:
    seen, off, flags, size = CROPS[name]
    path = tmp_path / name
    ffmpeg(*flags, "-i", cropped(base, tmp_path / "clap.mp4", seen, off), "-c", "copy", path)
    assert_rows_are(path, CUT, reference_rows(path, size, CUT))
    assert not np.array_equal(decode_clip(path, *CUT).frames_3d, decode_clip(base, *CUT).frames_3d)


@pytest.mark.parametrize("name", ["qtrle.mov", "rawvideo.avi"])
def test_colours_of_a_palette_are_seen_in_every_clip(name: str, tmp_path: Path, base: Path) -> None:
    path = tmp_path / name
    ffmpeg("-t", 2, "-i", base, "-c:v", path.stem, "-pix_fmt", {"qtrle": "gray"}.get(path.stem, "pal8"), path)
    whole = decode_clip(path).frames_3d
    assert whole.max() > 200
    assert np.array_equal(decode_clip(path, 1000, 2000).frames_3d, whole[24:48])


def test_a_matrix_that_comes_with_single_pictures_turns_those(tmp_path: Path, base: Path) -> None:
    path, mirrored = tmp_path / "sei.mp4", tmp_path / "mirrored.mp4"
    ffmpeg("-i", base, "-c", "copy", "-bsf:v", "h264_metadata=display_orientation=insert:flip=horizontal", path)
    ffmpeg("-display_hflip", "-i", base, "-c", "copy", mirrored)
    found, plain, turned = (decode_clip(p, 0, 1000).frames_3d for p in (path, base, mirrored))
    is_turned = [np.array_equal(frame, other) for frame, other in zip(found, turned, strict=True)]
    assert 0 < sum(is_turned) < len(found)
    assert all(is_turned[i] or np.array_equal(found[i], plain[i]) for i in range(len(found)))


def test_a_cover_picture_is_never_the_video(tmp_path: Path, base: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "cover_first.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=300x300:d=1", "-frames:v", 1, cover)
    both = ("-i", cover, "-i", base, "-map", 0, "-map", 1, "-c", "copy")
    ffmpeg(*both, "-disposition:v:0", "attached_pic", path)
    assert_rows_are(path, CUT, reference_rows(base, SIZE, CUT))


@pytest.mark.parametrize(("flags", "taken"), [(("default", 0), 0), ((0, "default"), 1), ((0, 0), 1)])
def test_of_several_videos_the_default_or_the_largest_is_taken(
    flags: tuple[object, object], taken: int, tmp_path: Path, base: Path
) -> None:
    large, path = tmp_path / "large.mp4", tmp_path / "two.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=320x180:r=30:d=4", *X264, large)
    both = ("-i", base, "-i", large, "-map", 0, "-map", 1, "-c", "copy")
    ffmpeg(*both, "-disposition:v:0", flags[0], "-disposition:v:1", flags[1], path)
    assert_rows_are(path, CUT, reference_rows((base, large)[taken], (SIZE, (320, 180))[taken], CUT))


def test_a_bare_stream_without_times_begins_at_its_beginning(tmp_path: Path, base: Path) -> None:
    path, twin = tmp_path / "bare.h264", tmp_path / "twin.mp4"
    ffmpeg("-i", base, "-c:v", "libx264", "-preset", "ultrafast", "-bf", 0, "-r", 25, path)
    ffmpeg("-i", path, "-c", "copy", twin)
    assert_rows_are(path, (1320, 2320), reference_rows(twin, SIZE, (1320, 2320)))
    assert probe_media(path).duration_ms == pytest.approx(probe_media(twin).duration_ms, abs=50)


CODECS = {
    "mp4": (*X264,),
    "mkv": (*X264,),
    "ts": (*X264,),
    "webm": ("-c:v", "libvpx", *WEBM),
    "avi": ("-c:v", "mpeg4", "-q:v", 2),
    "ogv": ("-c:v", "libtheora", "-q:v", 10),
    "flv": (*X264,),
    "mov": (*X264,),
}
# pictures a second, cut; the twin holds each picture of 25 a second for 25 / rate
SLOW = [(Fraction(5), (3110, 8110)), (Fraction(1), (2340, 8340)), (Fraction(1, 10), (15_000, 22_000))]
ENDINGS = [pytest.param(e, marks=() if e in ("mp4", "mkv", "ts") else pytest.mark.slow) for e in CODECS]


@pytest.fixture(scope="module")
def slow_twin(folder: Path) -> Callable[[Fraction], Path]:
    def make(rate: Fraction) -> Path:
        path = folder / f"twin_{float(rate)}.mp4"
        return path if path.exists() else film(path, 24, hold=int(25 / rate))

    return make


@pytest.mark.parametrize(("rate", "cut"), SLOW)
@pytest.mark.parametrize("ending", ENDINGS)
def test_slow_media_give_the_rows_of_an_ordinary_file_of_that_clip(
    ending: str, rate: Fraction, cut: tuple[int, int], tmp_path: Path, slow_twin: Callable[[Fraction], Path]
) -> None:
    path = film(tmp_path / f"slow.{ending}", 24 if rate >= 1 else 40, *CODECS[ending], rate=rate)
    assert_rows_look_like(path, cut, reference_rows(slow_twin(rate), SIZE, cut))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_still_under_a_song_is_on_the_screen_to_its_end(
    ending: str, tmp_path: Path, slow_twin: Callable[[Fraction], Path]
) -> None:
    one = film(tmp_path / f"one.{ending}", 0.04, *CODECS[ending])
    sound = ("-c:a", "libvorbis") if ending in ("webm", "ogv") else ("-c:a", "aac")
    path = with_sound(tmp_path / f"still.{ending}", one, 16, *sound)
    for cut in ((0, 3000), (9000, 14_000)):
        assert_rows_look_like(path, cut, reference_rows(slow_twin(Fraction(1, 25)), SIZE, cut))


@pytest.mark.parametrize("ending", [pytest.param("ts", marks=pytest.mark.slow), "mkv"])
def test_a_slide_far_before_the_cut_is_found(ending: str, tmp_path: Path) -> None:
    slides = film(tmp_path / "slides.mp4", 90, rate=Fraction(1, 30), size=(64, 36))
    path = with_sound(tmp_path / f"song.{ending}", slides, 90)
    twin = film(tmp_path / "twin.mp4", 70, hold=300, rate=10, size=(64, 36))
    for cut in ((35_000, 40_000), (58_000, 63_000)):
        assert_rows_look_like(path, cut, reference_rows(twin, (64, 36), cut))


@pytest.mark.parametrize("gop", [50, pytest.param(250, marks=pytest.mark.slow)])
def test_a_transport_stream_with_distant_key_frames_starts_at_the_cut(gop: int, tmp_path: Path) -> None:
    twin = film(tmp_path / "twin.mp4", 12, *X264, "-g", gop, "-bf", 2)
    ffmpeg("-i", twin, "-c", "copy", tmp_path / "long_gop.ts")
    for cut in ((2300, 7900), (9320, 11_320)):
        assert_rows_are(tmp_path / "long_gop.ts", cut, reference_rows(twin, SIZE, cut))


@pytest.mark.parametrize(("ending", "rate", "start_ms"), [("avi", 25, 500), ("ogv", 25, 500), ("avi", 15, 700)])
def test_a_clock_of_one_tick_a_picture_rounds_as_ffmpeg_does(
    ending: str, rate: int, start_ms: int, tmp_path: Path
) -> None:
    path, cut = film(tmp_path / f"coarse.{ending}", 5, *CODECS[ending], rate=rate), (start_ms, start_ms + 2200)
    assert_rows_are(path, cut, reference_rows(path, SIZE, cut))


CHANGES = [
    ([(320, 180), (160, 90)], ()),
    ([(320, 180), (64, 36)], ("-display_rotation", 90)),
    ([(64, 36), (160, 120)], ("-display_rotation", 270)),
    ([(160, 90), (90, 160)], ("-display_rotation", 180)),
    ([(160, 90), (96, 96)], ("-display_hflip",)),
]


@pytest.mark.parametrize(("sizes", "flags"), CHANGES)
@pytest.mark.parametrize("ending", ["mp4", pytest.param("mkv", marks=pytest.mark.slow)])
def test_a_picture_that_changes_size_is_upright_and_whole(
    ending: str, sizes: list[tuple[int, int]], flags: tuple[object, ...], tmp_path: Path
) -> None:
    pieces, turned = [], []
    for i, size in enumerate(sizes):
        piece = film(tmp_path / f"{i}.mp4", 2, size=size, first=50 * i)
        pieces.append(tmp_path / f"{i}_late.mp4")
        turned.append(tmp_path / f"{i}_turned.mp4")
        ffmpeg("-i", piece, "-c", "copy", "-output_ts_offset", 2 * i, pieces[-1])
        ffmpeg(*flags, "-i", piece, "-c", "copy", turned[-1])
    path = tmp_path / f"changes.{ending}"
    ffmpeg(*flags, "-i", joined(tmp_path / "flat.mp4", pieces), "-c", "copy", path)
    rows = [reference_rows(turned[0], (64, 64), (1000, 2000)), reference_rows(turned[1], (64, 64), (0, 1000))]
    squares = [np.concatenate(kind) for kind in zip(*rows, strict=True)]
    clip, again = decode_clip(path, 1000, 3000), decode_clip(path, 1000, 3000)
    assert np.array_equal(clip.frames_3d, again.frames_3d)
    assert [len(clip.frames_2d), len(clip.frames_3d)] == [len(frames) for frames in squares]
    assert np.abs(grey(clip.frames_2d) - grey(squares[0])).mean(axis=(1, 2)).max() <= GREY_TOLERANCE


@pytest.mark.parametrize("name", ["moving.webp", "still.png", "still.avif"])
def test_what_is_in_no_container_that_is_opened_is_refused_by_name(name: str, tmp_path: Path, base: Path) -> None:
    ffmpeg("-t", 0.5 if name == "moving.webp" else 0.03, "-i", base, tmp_path / name)
    with pytest.raises(MediaError, match=f"cannot open {name}: no container that is opened"):
        decode_clip(tmp_path / name)
    with pytest.raises(MediaError, match=f"cannot open {name}: no container that is opened"):
        probe_media(tmp_path / name)


def test_a_clip_after_the_last_moving_picture_has_none(tmp_path: Path) -> None:
    path = with_sound(tmp_path / "short.mp4", film(tmp_path / "picture.mp4", 3), 12)
    assert decode_clip(path, 1000, 4500).missing_picture_ms == pytest.approx(1500, abs=1)
    assert decode_clip(path, 500, 2500).missing_picture_ms == 0
    with pytest.raises(MediaError, match="picture_missing"):
        decode_clip(path, 6000, 9000)


@pytest.mark.parametrize(("hold", "missing_ms"), [(1, 3000), (100, 0)])
def test_a_gap_among_moving_pictures_is_missing_and_one_between_slides_is_not(
    hold: int, missing_ms: int, tmp_path: Path
) -> None:
    given, path = film(tmp_path / "given.mkv", 10, *X264, "-g", 25, "-bf", 0), tmp_path / "gap.mkv"
    dropped = f"not(between(pts,2000,4999)+{int(hold > 1)}*mod(pts,{40 * hold}))"
    ffmpeg("-i", given, "-c", "copy", "-bsf:v", f"noise=drop='not({dropped})'", path)
    assert decode_clip(path, 0, 9000).missing_picture_ms == pytest.approx(missing_ms, abs=50)


def test_a_picture_that_an_mp4_holds_stays_on_the_screen_while_its_sound_is_missing(tmp_path: Path) -> None:
    given, path = film(tmp_path / "given.mkv", 10, *X264, "-g", 25, "-bf", 0), tmp_path / "held.mp4"
    lost = [part for of in ("-bsf:v", "-bsf:a") for part in (of, "noise=drop='between(pts,2000,4999)'")]
    with_sound(tmp_path / "whole.mkv", given, 10, "-c:a", "libmp3lame")
    ffmpeg("-i", tmp_path / "whole.mkv", "-c", "copy", *lost, tmp_path / "lost.mkv")
    ffmpeg("-i", tmp_path / "lost.mkv", "-c", "copy", path)
    right = reference_rows(path, SIZE, (0, 9000))
    assert_rows_are(path, (0, 9000), right)
    assert_rows_are(path, (3000, 6000), [right[0][3:6], right[1][72:144]])
    assert np.ptp(grey(right[1])[60:110], axis=0).max() < GREY_TOLERANCE
    clip = decode_clip(path, 0, 9000)
    assert clip.missing_picture_ms == 0
    assert clip.missing_sound_ms == pytest.approx(3000, abs=60)


def test_a_clip_before_the_first_picture_has_none(tmp_path: Path, base: Path) -> None:
    path = tmp_path / "late.mkv"
    ffmpeg("-f", "lavfi", "-i", "sine=d=9", "-itsoffset", 5, "-i", base, "-map", 1, "-map", 0, "-c:v", "copy", path)
    assert decode_clip(path, 3000, 7000).missing_picture_ms == pytest.approx(2000, abs=40)
    with pytest.raises(MediaError, match="picture_missing"):
        decode_clip(path, 1000, 4000)


@pytest.mark.parametrize("size", [(2, 404), (404, 2)])
def test_a_strip_that_would_fill_the_memory_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    path = film(tmp_path / "strip.mkv", 1, "-c:v", "ffv1", size=size)
    with pytest.raises(MediaError, match="decode_failed: pictures of"):
        decode_clip(path)


def test_a_picture_of_which_nothing_is_left_to_be_seen_is_refused(tmp_path: Path, base: Path) -> None:
    path = cropped(base, tmp_path / "nothing.mp4", (1, 1), (0, 0))
    with pytest.raises(MediaError, match="decode_failed"):
        decode_clip(path)
