"""Files whose clock starts anew in the middle are as long as all they hold, and each moment is where it is seen."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from datasets.media.restarts import LEAST_FORWARD_S
from datasets.outcomes import MediaError
from extract.container import probe_media, probe_sound
from extract.sound import audio_chunks, read_audio
from features.frames import decode_clip
from features.frames.sound import read_waveform
from tests.media.render import X264, ffmpeg, film, grey, reference_rows
from tests.media.test_cut_sound import lag
from tests.media.test_sound import chirp, misfit

WRAP_S = 2**33 / 90_000
LAG = 800
"""Samples, 50 ms, for each of three stretches: no more is known of where the last picture and sound of one end."""
# name: the ending, the codecs, when the clock of each stretch of 4 s starts
JOINS: dict[str, tuple[str, tuple[object, ...], tuple[float, ...]]] = {
    "one behind another": ("ts", (*X264, "-bf", 2, "-g", 25, "-c:a", "mp2"), (0, 0, 0)),
    "an earlier one": ("ts", (*X264, "-g", 25, "-c:a", "aac"), (500, 20, 20_000)),
    "clocks that wrap": ("ts", (*X264, "-g", 25, "-c:a", "aac"), (WRAP_S - 2, WRAP_S - 2, WRAP_S - 1)),
    "program streams": ("mpg", ("-c:v", "mpeg2video", "-g", 15, "-bf", 2, "-q:v", 2, "-c:a", "mp2"), (0, 0, 0)),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s of pictures and a tone that rises all the time."""
    folder = tmp_path_factory.mktemp("whole")
    picture = film(folder / "picture.mkv", 12, "-c:v", "ffv1", size=(160, 96))
    ffmpeg("-i", picture, *chirp(12, 48000), "-c:v", "copy", "-c:a", "pcm_s16le", folder / "whole.mkv")
    return folder / "whole.mkv"


def join(path: Path, whole: Path, codecs: tuple[object, ...], starts: tuple[float, ...]) -> Path:
    pieces = [path.with_suffix(f".{i}{path.suffix}") for i in range(len(starts))]
    for i, (piece, start) in enumerate(zip(pieces, starts, strict=True)):
        ffmpeg("-ss", 4 * i, "-t", 4, "-i", whole, *codecs, "-output_ts_offset", start, piece)
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


@pytest.mark.parametrize(
    "name", [n if n == "one behind another" else pytest.param(n, marks=pytest.mark.slow) for n in JOINS]
)
def test_stretches_of_several_clocks_follow_one_another(name: str, tmp_path: Path, whole: Path) -> None:
    ending, codecs, starts = JOINS[name]
    path = join(tmp_path / f"joined.{ending}", whole, codecs, starts)
    assert probe_media(path).duration_ms == pytest.approx(12_000, abs=150)
    assert probe_sound(path)[2] == pytest.approx(12_000, abs=150)
    right = read_audio(whole)
    for found in (read_audio(path), read_waveform(path)):
        assert abs(len(found) - len(right)) <= 3 * LAG
        assert misfit(found[:56_000], right[:56_000], LAG) < 0.05
        assert misfit(found[136_000:184_000], right[136_000:184_000], 3 * LAG) < 0.05
    for cut in ((1000, 2500), (9000, 10_500)):
        heard = right[16 * cut[0] : 16 * cut[1]]
        clip = decode_clip(path, *cut)
        assert misfit(read_audio(path, *cut), heard, 3 * LAG) < 0.05
        assert misfit(clip.waveform, heard, 3 * LAG) < 0.05
        rows = [grey(reference_rows(whole, (160, 96), (cut[0] + off, cut[1] + off))[0]) for off in range(-160, 161, 40)]
        assert min(np.abs(grey(clip.frames_2d)[0] - row[0]).mean() for row in rows) < 5
        assert len(clip.frames_3d) in (36, 37)


def test_a_rate_that_changes_with_the_clock_costs_no_time(tmp_path: Path, whole: Path) -> None:
    path, rates = tmp_path / "rates.ts", (22050, 48000, 22050)
    pieces = [("-ss", 4 * i, "-t", 4, "-i", whole, *X264, "-ar", rate, "-c:a", "aac") for i, rate in enumerate(rates)]
    path.write_bytes(b"".join(ffmpeg(*piece, "-f", "mpegts", "-") for piece in pieces))
    priming_ms = 1000 * sum(1024 / rate for rate in rates)
    assert probe_media(path).duration_ms == pytest.approx(12_000 + priming_ms, abs=100)
    with audio_chunks(path) as chunks:
        found = np.concatenate(list(chunks))
    assert chunks.describe() is None
    assert 0 <= lag(found[144_000:168_000], read_audio(whole), 9000) <= 16 * (priming_ms + 50)


def test_sound_that_overlaps_where_recordings_meet_is_no_new_clock(tmp_path: Path, whole: Path) -> None:
    path, sound_ends = tmp_path / "overlap.ts", ("-af", "apad=pad_dur=0.3", "-c:a", "mp2")
    pieces = [("-ss", 4 * i, "-t", 4, "-i", whole, *X264, *sound_ends, "-output_ts_offset", 4 * i) for i in range(2)]
    path.write_bytes(b"".join(ffmpeg(*piece, "-f", "mpegts", "-") for piece in pieces))
    assert probe_media(path).duration_ms == pytest.approx(8300, abs=100)
    assert len(decode_clip(path, 5000, 7000).frames_2d) == 2


def test_many_links_of_opus_add_nothing_of_their_own(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "chain.ogg"
    path.write_bytes(ffmpeg("-t", 1, "-i", whole, *OPUS, "-f", "ogg", "-") * 20)
    assert probe_media(path).duration_ms == 20_000
    assert len(read_audio(path)) == 320_000


def test_a_link_of_other_streams_is_told(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "chain.ogv"
    path.write_bytes(b"".join(ffmpeg("-t", 2, "-i", whole, *link, "-f", "ogg", "-") for link in (THEORA, OPUS)))
    with pytest.raises(MediaError, match="a link of other streams begins at byte"):
        read_audio(path)


@pytest.mark.parametrize("muxer", ["flac", "matroska"])
def test_where_clocks_are_not_followed_what_is_lost_is_told(muxer: str, tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "joined"
    path.write_bytes(ffmpeg("-t", 4, "-i", whole, *FLAC, "-f", muxer, "-") * 2)
    with audio_chunks(path) as chunks:
        list(chunks)
    assert chunks.waveform.num_unheard == pytest.approx(64_000, abs=LAG)
    assert chunks.describe() is not None


def test_a_slide_is_on_the_screen_until_the_next_one_in_joined_recordings(tmp_path: Path) -> None:
    path, twin = tmp_path / "slides.ts", film(tmp_path / "twin.mp4", 40, rate=10, hold=100, size=(64, 48))
    data = b""
    for i in range(2):
        slides = film(tmp_path / f"{i}.mkv", 20, "-c:v", "ffv1", rate=Fraction(1, 10), size=(64, 48), first=2 * i)
        data += ffmpeg("-i", slides, *chirp(20, 48000), *X264, "-g", 1, "-c:a", "mp2", "-f", "mpegts", "-")
    path.write_bytes(data)
    for cut in ((4000, 6000), (24_000, 26_000)):
        found, right = (grey(decode_clip(each, *cut).frames_2d) for each in (path, twin))
        assert np.abs(found - right).mean() < 5


def test_a_gap_of_less_than_an_hour_is_missing_time(tmp_path: Path, whole: Path) -> None:
    assert LEAST_FORWARD_S == 3600
    path = join(tmp_path / "gap.ts", whole, JOINS["one behind another"][1], (0, 64))
    assert probe_media(path).duration_ms == pytest.approx(68_000, abs=150)
    assert decode_clip(path, 3000, 5000).missing_sound_ms == pytest.approx(1000, abs=50)


VORBIS, OPUS, FLAC = ("-vn", "-c:a", "libvorbis"), ("-vn", "-c:a", "libopus"), ("-vn", "-c:a", "flac")
THEORA = ("-c:v", "libtheora", "-q:v", 10, "-c:a", "libvorbis")
LINKS: dict[str, tuple[tuple[object, ...], tuple[object, ...]]] = {
    "vorbis": (VORBIS, VORBIS),
    "opus": (OPUS, OPUS),
    "flac": (FLAC, FLAC),
    "vorbis of another rate": ((*VORBIS, "-ar", 22050), VORBIS),
    "flac of another rate": (FLAC, (*FLAC, "-ar", 44100)),
    "opus of more channels": (OPUS, (*OPUS, "-ac", 2)),
    "another codec": (FLAC, VORBIS),
    "with pictures": (THEORA, (*THEORA, "-vf", "scale=320:192")),
}


@pytest.mark.parametrize("name", LINKS)
def test_links_of_a_chain_of_ogg_follow_one_another(name: str, tmp_path: Path, whole: Path) -> None:
    links = [tmp_path / f"link_{i}.ogg" for i in range(2)]
    for i, link in enumerate(links):
        ffmpeg("-ss", 6 * i, "-t", 6, "-i", whole, *LINKS[name][i], link)
    path, right = tmp_path / "chain.ogg", read_audio(whole)
    path.write_bytes(b"".join(link.read_bytes() for link in links))
    assert probe_media(path).duration_ms == pytest.approx(12_000, abs=50)
    for found in (read_audio(path), read_waveform(path)):
        assert misfit(found[:88_000], right[:88_000], LAG) < 0.05
        assert misfit(found[104_000:184_000], right[104_000:184_000], LAG) < 0.05
    assert misfit(read_audio(path, 8000, 10_000), right[128_000:160_000], LAG) < 0.05
    if name == "with pictures":
        found, seen = (grey(decode_clip(each, 8000, 10_000).frames_3d) for each in (path, whole))
        assert len(found) == len(seen)
        assert np.median(np.abs(found - seen)) < 5


@pytest.mark.parametrize("others", [("0:256", "1:300"), ("0:300", "1:301")], ids=["of sound", "of both"])
def test_stretches_of_other_streams_keep_their_place_and_length(
    others: tuple[str, str], tmp_path: Path, whole: Path
) -> None:
    data = b""
    for i, ids in enumerate((("0:256", "1:257"), others, ("0:256", "1:257"))):
        cut = ("-ss", 4 * i, "-t", 4, "-i", whole, *X264, "-g", 25, "-c:a", "mp2")
        data += ffmpeg(*cut, "-streamid", ids[0], "-streamid", ids[1], "-f", "mpegts", "-")
    path = tmp_path / "joined.ts"
    path.write_bytes(data)
    assert probe_media(path).duration_ms == pytest.approx(12_000, abs=150)
    heard = read_audio(whole)[16 * 9000 : 16 * 10_500]
    assert misfit(decode_clip(path, 9000, 10_500).waveform, heard, 3 * LAG) < 0.05
    assert misfit(read_audio(path, 9000, 10_500), heard, 3 * LAG) < 0.05
