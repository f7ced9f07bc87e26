"""Sound of every kind of file beside ffmpeg's own decode on the container's clock: tables of (file, truth)."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from datasets.media.container import make_graph
from datasets.media.waveforms import Waveform
from datasets.outcomes import MediaError
from datasets.wheels import WEIGHTS_DIR
from extract.container import probe_media
from extract.media import encode_speech
from extract.sound import audio_chunks, read_audio
from extract.speech.segmentation import SpeechSettings, segment_videos
from extract.speech.weights import WEIGHTS
from features.frames import decode_clip
from features.frames.sound import read_waveform
from tests.media.render import ffmpeg, film

Samples = npt.NDArray[np.float32]
TIMED = ("-af", "aresample=async=1:first_pts=0", "-ac", 1, "-ar", 16000, "-f", "s16le", "-")
AAC = ("-c:a", "aac")
LENGTH_TOLERANCE = 800
"""Samples, 50 ms."""
PRIMING = 1600
"""Samples, 100 ms: MPEG-TS has the silence with which encoders begin."""
LAG = 320
"""Samples, 20 ms: containers round the priming of codecs by less."""


def chirp(seconds: float, rate: int = 44100, layout: str = "mono", low: int = 200) -> tuple[object, ...]:
    """A tone that rises by 120 Hz a second: every moment sounds unlike every other."""
    graph = f"aevalsrc=0.4*sin(2*PI*({low}+60*t)*t):s={rate}:d={seconds},aformat=channel_layouts={layout}"
    return "-f", "lavfi", "-i", graph


def timed(path: Path) -> Samples:
    """ffmpeg's own decode on the container's clock; of MPEG-TS it takes the start of the streams that it reads."""
    picture = ("-map", "0:v", "-c:v", "copy", "-f", "null", "/dev/null") if probe_media(path).video_codec else ()
    raw = ffmpeg("-i", path, "-map", "0:a:0", *TIMED, *picture)
    return np.frombuffer(raw, np.int16).astype(np.float32) / 32768


def misfit(found: Samples, right: Samples, most_lag: int = LAG) -> float:
    """Share of the energy that is not as it should be, at the best lag."""
    length = min(len(found), len(right)) - 2 * most_lag
    wanted = right[most_lag : most_lag + length]
    lags = range(-most_lag, most_lag + 1)
    louder = np.sqrt(np.sum(found**2) / np.sum(right**2) * len(right) / len(found))
    errors = [float(np.sum((found[most_lag + lag :][:length] / louder - wanted) ** 2)) for lag in lags]
    return min(errors) / float(np.sum(wanted**2))


def with_picture(folder: Path, name: str, *sound: object, seconds: float = 6) -> Path:
    """`sound`, the input and the codec of it, under pictures of `seconds`."""
    picture = film(folder / f"{Path(name).stem}.picture.mp4", seconds, size=(64, 36), rate=5)
    ffmpeg("-i", picture, *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", folder / name)
    return folder / name


def packets(source: Path, target: Path, change: Callable[[av.Packet, float], av.Packet | None]) -> Path:
    """A copy, each packet of sound as `change(packet, seconds)` gives it."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            kept: av.Packet | None = packet
            if packet.stream.type == "audio":
                kept = change(packet, float(packet.pts * packet.time_base))
            if kept is not None:
                kept.stream = streams[packet.stream.index]
                made.mux(kept)
    return target


def without(first: float, last: float) -> Callable[[av.Packet, float], av.Packet | None]:
    return lambda packet, at: None if first <= at < last else packet


def overwritten(first: float, last: float) -> Callable[[av.Packet, float], av.Packet | None]:
    def change(packet: av.Packet, at: float) -> av.Packet:
        if not first <= at < last:
            return packet
        other = av.Packet(np.random.default_rng(int(at * 1000)).bytes(packet.size))
        other.pts, other.dts, other.time_base, other.duration = (
            packet.pts,
            packet.dts,
            packet.time_base,
            packet.duration,
        )
        return other

    return change


def joined(folder: Path, name: str, *sounds: tuple[object, ...]) -> Path:
    """Three seconds of each sound, one after another, in one MPEG-TS."""
    data = b""
    for i, sound in enumerate(sounds):
        piece = with_picture(folder, f"{name}_{i}.ts", *sound, *AAC, "-output_ts_offset", 3 * i, seconds=3)
        data += piece.read_bytes()
    (folder / f"{name}.ts").write_bytes(data)
    return folder / f"{name}.ts"


def make_late(folder: Path, ending: str) -> Path:
    return with_picture(folder, f"late.{ending}", "-itsoffset", 2, *chirp(4), *AAC)


def make_gap(folder: Path, ending: str) -> Path:
    whole = with_picture(folder, f"whole_{ending}.mp4", *chirp(6), *AAC)
    return packets(whole, folder / f"gap.{ending}", without(1, 3))


def make_edited(folder: Path) -> Path:
    whole = with_picture(folder, "unedited.mp4", *chirp(6), *AAC)
    ffmpeg("-ss", 1.3, "-i", whole, "-c", "copy", folder / "edited.mp4")
    return folder / "edited.mp4"


def make_moved(folder: Path, name: str, offset: float) -> Path:
    return with_picture(folder, name, *chirp(6), *AAC, "-output_ts_offset", offset)


def make_alone(folder: Path, name: str, *codec: object, **sound: object) -> Path:
    ffmpeg(*chirp(5, **sound), *codec, folder / name)  # type: ignore[arg-type]
    return folder / name


FILES: dict[str, Callable[[Path], Path]] = {
    "ordinary": lambda folder: with_picture(folder, "ordinary.mp4", *chirp(6), *AAC),
    "late, mp4": lambda folder: make_late(folder, "mp4"),
    "late, mkv": lambda folder: make_late(folder, "mkv"),
    "late, MPEG-TS": lambda folder: make_late(folder, "ts"),
    "gap, mkv": lambda folder: make_gap(folder, "mkv"),
    "gap, mp4": lambda folder: make_gap(folder, "mp4"),
    "edit list": make_edited,
    "sound shorter than the picture": lambda folder: with_picture(folder, "short.mp4", *chirp(3), *AAC),
    "negative start": lambda folder: make_moved(folder, "negative.mkv", -0.5),
    "live recording, MPEG-TS": lambda folder: make_moved(folder, "live.ts", 7200),
    "live recording, mkv": lambda folder: make_moved(folder, "live.mkv", 10000),
    "33-bit wrap": lambda folder: make_moved(folder, "wrap.ts", 95440),
    "8 kHz": lambda folder: make_alone(folder, "telephone.wav", "-c:a", "pcm_mulaw", rate=8000),
    "Opus, webm": lambda folder: make_alone(folder, "opus.webm", "-c:a", "libopus", rate=48000),
    "Opus, Ogg": lambda folder: make_alone(folder, "opus.ogg", "-c:a", "libopus", rate=48000),
    "Vorbis": lambda folder: make_alone(folder, "vorbis.ogg", "-c:a", "libvorbis"),
    "AAC, no edit list": lambda folder: make_alone(folder, "aac.aac", *AAC),
    "AAC, mkv": lambda folder: make_alone(folder, "aac.mkv", *AAC, layout="stereo"),
    "AAC, fragments": lambda folder: make_alone(folder, "f.mp4", *AAC, "-movflags", "frag_keyframe+empty_moov"),
    "mp3": lambda folder: make_alone(folder, "mp3.mp3"),
    "FLAC, 24 bit": lambda folder: make_alone(folder, "flac.flac", "-sample_fmt", "s32", rate=96000),
    "unsigned 8 bit": lambda folder: make_alone(folder, "u8.wav", "-c:a", "pcm_u8", layout="stereo"),
    "5.1": lambda folder: make_alone(folder, "51.mp4", *AAC, layout="5.1"),
    "7.1": lambda folder: make_alone(folder, "71.mkv", *AAC, layout="7.1"),
}


FAST = ["ordinary", "late, mp4", "gap, mkv", "Opus, webm", "7.1"]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in FILES if name not in FAST]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sound")


@pytest.mark.parametrize("name", FILES)
def test_sound_lies_where_ffmpeg_puts_it(folder: Path, name: str) -> None:
    path = FILES[name](folder)
    found, right = read_audio(path), timed(path)
    assert abs(len(found) - len(right)) <= LENGTH_TOLERANCE
    assert misfit(found, right) < 0.02


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in FILES]
)
def test_features_hear_the_samples_of_the_segmenter(folder: Path, name: str) -> None:
    path = FILES[name](folder)
    found, right = read_waveform(path), read_audio(path)
    assert len(found) == len(right)
    louder = float(found @ right / (right @ right))  # libswresample mixes floats without making room for their sum
    assert np.abs(found / louder - right).max() <= 4 / 32768


CHANGES = {
    "mono to stereo": (chirp(3), chirp(3, layout="stereo", low=900)),
    "stereo to 5.1": (chirp(3, layout="stereo"), chirp(3, layout="5.1", low=900)),
    "44.1 to 48 kHz": (chirp(3), chirp(3, 48000, low=900)),
    "16 to 48 kHz": (chirp(3, 16000), chirp(3, 48000, layout="stereo", low=900)),
    "48 to 22.05 kHz": (chirp(3, 48000), chirp(3, 22050, low=900)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_sound_may_change_its_layout_or_rate(folder: Path, name: str) -> None:
    path = joined(folder, name.replace(" ", "_"), *CHANGES[name])
    first, second = (np.frombuffer(ffmpeg(*sound, *TIMED), np.int16) / np.float32(32768) for sound in CHANGES[name])
    for found in (read_audio(path), decode_clip(path).waveform):
        assert abs(len(found) - 96000) <= 2 * LENGTH_TOLERANCE
        assert misfit(found[3200:44800], first[3200:44800], PRIMING) < 0.05
        assert misfit(found[51200:92800], second[3200:44800], PRIMING) < 0.05
    for found in (read_audio(path, 4000, 5500), decode_clip(path, 4000, 5500).waveform):
        assert abs(len(found) - 24_000) <= 1
        assert misfit(found, second[16_000:40_000], PRIMING) < 0.05


def test_sound_that_comes_back_to_its_rate_goes_on(folder: Path) -> None:
    path = joined(folder, "back", chirp(3, 22050), chirp(3, 48000), chirp(3, 22050))
    right = np.frombuffer(ffmpeg(*chirp(3, 22050), *TIMED), np.int16) / np.float32(32768)
    found = read_audio(path)
    assert abs(len(found) - 144_000) <= 3 * LENGTH_TOLERANCE
    assert misfit(found[99_200:140_800], right[3200:44_800], PRIMING) < 0.05


def test_damaged_packets_are_silence_and_told(folder: Path) -> None:
    whole = with_picture(folder, "undamaged.mp4", *chirp(6), *AAC)
    path = packets(whole, folder / "damaged.mp4", overwritten(1, 3))
    found, right = read_audio(path), timed(whole)
    assert abs(len(found) - len(right)) <= LENGTH_TOLERANCE
    assert misfit(found[51200:], right[51200:]) < 0.05
    with audio_chunks(path) as chunks:
        list(chunks)
    assert 1.5 < chunks.waveform.missing_s <= 2.1
    assert "s of sound missing" in str(chunks.waveform.describe())


def test_a_clip_is_as_long_as_asked_where_the_sound_ends_or_begins_within(folder: Path) -> None:
    short = with_picture(folder, "ends.mp4", *chirp(3), *AAC)
    late = with_picture(folder, "begins.mp4", "-itsoffset", 2, *chirp(4), *AAC)
    for path, cut, missing_ms in ((short, (1000, 5000), 2000), (late, (1000, 5000), 1000), (short, (4000, 6000), 2000)):
        clip = decode_clip(path, *cut)
        assert len(clip.waveform) == 16 * (cut[1] - cut[0])
        assert abs(clip.missing_sound_ms - missing_ms) <= 50


@pytest.mark.skipif(not (WEIGHTS_DIR / WEIGHTS["smn"][0]).is_file(), reason="needs `make weights`")
def test_the_row_of_a_video_says_how_much_sound_is_missing(folder: Path) -> None:
    [(row, _)] = segment_videos([("video", make_gap(folder, "mkv"), None)], SpeechSettings())
    assert row["status"] == "ok" and row["detail"].endswith("of 6.0 s of sound missing")


def two_tracks(path: Path, *flags: object) -> Path:
    """A tone of 440 Hz in stereo, then one of 1000 Hz in 5.1."""
    picture = film(path.with_suffix(".picture.mp4"), 3, size=(64, 36), rate=5)
    tones = [
        f"sine=f={hertz}:d=3,aformat=channel_layouts={layout}" for hertz, layout in ((440, "stereo"), (1000, "5.1"))
    ]
    inputs = [word for tone in tones for word in ("-f", "lavfi", "-i", tone)]
    ffmpeg("-i", picture, *inputs, "-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "copy", *AAC, *flags, path)
    return path


def hertz(samples: Samples) -> int:
    return int(np.argmax(np.abs(np.fft.rfft(samples[8000:40000]))) / 2)


@pytest.mark.parametrize(
    ("flags", "language", "expected"),
    [
        (("-disposition:a:0", "default", "-disposition:a:1", 0), None, 440),
        (("-disposition:a:0", 0, "-disposition:a:1", "default"), None, 1000),
        (("-disposition:a:0", 0, "-disposition:a:1", 0), None, 1000),
        (("-disposition:a:0", "original", "-disposition:a:1", "default+dub"), None, 440),
        (("-disposition:a:0", 0, "-disposition:a:1", "default+dub"), None, 440),
        (("-disposition:a:0", 0, "-disposition:a:1", "visual_impaired"), None, 440),
        (
            ("-metadata:s:a:0", "language=jpn", "-metadata:s:a:1", "language=eng", "-disposition:a:1", "default"),
            "ja",
            440,
        ),
    ],
    ids=["first default", "second default", "most channels", "original", "dub", "description", "language"],
)
def test_every_reader_hears_the_one_track(
    folder: Path, flags: tuple[object, ...], language: str | None, expected: int
) -> None:
    path = two_tracks(folder / "tracks.mkv", *flags)
    track = probe_media(path, language).audio_track
    assert track is not None
    played = folder / "played.mp3"
    played.write_bytes(encode_speech(path, 0, 3000, track))
    heard = (read_audio(path, 0, 3000, track), decode_clip(path, 0, 3000, track).waveform, read_audio(played))
    assert [abs(hertz(samples) - expected) <= 3 for samples in heard] == [True] * 3
    if language is None:
        assert abs(hertz(read_audio(path)) - expected) <= 3 and abs(hertz(decode_clip(path).waveform) - expected) <= 3


def test_the_only_track_needs_no_choice(folder: Path) -> None:
    assert probe_media(make_alone(folder, "only.mp4", *AAC)).audio_track is None


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac", "libopus"])
def test_inverted_channels_are_heard_and_told(folder: Path, codec: str) -> None:
    inverted = ("-af", "pan=stereo|c0=c0|c1=-0.95*c0")
    path = with_picture(folder, f"inverted_{codec}.mkv", *chirp(6, 48000), *inverted, "-c:a", codec)
    right = np.frombuffer(ffmpeg(*chirp(6, 48000), *TIMED), np.int16).astype(np.float32) / 32768
    with audio_chunks(path) as chunks:
        found = np.concatenate(list(chunks))
    clip = decode_clip(path, 1000, 5000)
    assert misfit(found, right) < 0.05
    assert misfit(clip.waveform, right[16000:80000]) < 0.05
    assert "cancel out" in str(chunks.waveform.describe()) and "cancel out" in str(clip.sound_note)


def test_inverted_channels_of_which_vorbis_leaves_a_rest_in_the_sum_are_heard(folder: Path) -> None:
    noise = ("-f", "lavfi", "-i", "anoisesrc=d=4:seed=3:r=48000:a=0.3,lowpass=3000")
    ffmpeg(*noise, "-af", "pan=stereo|c0=c0|c1=-0.95*c0", "-c:a", "libvorbis", folder / "inverted_vorbis.mkv")
    right = np.frombuffer(ffmpeg(*noise, *TIMED), np.int16).astype(np.float32) / 32768
    found = read_audio(folder / "inverted_vorbis.mkv")
    assert misfit(found, right) < 0.1
    assert np.sum(found**2) > 0.8 * np.sum(right**2)


def test_channels_unlike_each_other_are_mixed(folder: Path) -> None:
    noise = "-f", "lavfi", "-i", "anoisesrc=d=4:seed=1:r=44100", "-f", "lavfi", "-i", "anoisesrc=d=4:seed=2:r=44100"
    ffmpeg(*noise, "-filter_complex", "[0][1]join", folder / "unlike.wav")
    with audio_chunks(folder / "unlike.wav") as chunks:
        found = np.concatenate(list(chunks))
    assert chunks.waveform.describe() is None
    assert misfit(found, timed(folder / "unlike.wav")) < 0.001


def test_of_ambisonic_sound_the_channel_of_all_directions_is_heard(folder: Path) -> None:
    spread = "pan=ambisonic 1|c0=c0|c1=0.5*c0|c2=0*c0|c3=-0.7*c0"
    ffmpeg(*chirp(4, 48000), "-af", spread, "-c:a", "libopus", "-mapping_family", 2, folder / "ambisonic.webm")
    right = np.frombuffer(ffmpeg(*chirp(4, 48000), *TIMED), np.int16).astype(np.float32) / 32768
    assert misfit(read_audio(folder / "ambisonic.webm"), right) < 0.05


def test_six_channels_without_places_are_taken_for_what_ffmpeg_takes_them(folder: Path) -> None:
    tones = "|".join(f"0.1*sin(2*PI*{200 * number}*t)" for number in range(1, 7))
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc='{tones}':s=48000:d=2:c=5.1", "-c:a", "pcm_s16le", folder / "six.mkv")
    assert misfit(read_audio(folder / "six.mkv"), timed(folder / "six.mkv")) < 0.001


def test_channels_of_no_known_place_are_mixed_alike(folder: Path) -> None:
    ffmpeg(*chirp(2), "-af", "pan=9 channels|c0=c0|c8=c0", "-c:a", "pcm_s16le", folder / "nine.wav")
    assert 0.05 < np.abs(read_audio(folder / "nine.wav")).max() < 0.2


def test_a_forged_time_stamp_fills_no_memory(folder: Path) -> None:
    def far(packet: av.Packet, at: float) -> av.Packet:
        if at >= 2:
            packet.pts = packet.dts = packet.pts + int(10**7 / packet.time_base)
        return packet

    path = packets(with_picture(folder, "near.mp4", *chirp(4), *AAC), folder / "far.mkv", far)
    assert len(read_audio(path)) < 16000 * 10


def test_sound_whose_times_go_back_by_hours_is_not_held_back_to_its_end() -> None:
    waveform, frame_s = Waveform("s16"), 0.064
    for number in range(200):
        frame = av.AudioFrame.from_ndarray(np.full((1, 1024), 1000, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
        frame.pts = 1024 * number - (7200 * 16000 if number >= 50 else 0)
        waveform.push(frame)
    assert waveform.num_samples / 16000 > 200 * frame_s - 2.5


def test_a_range_without_sound_says_so(folder: Path) -> None:
    path = with_picture(folder, "mostly_mute.mp4", *chirp(1), *AAC)
    with pytest.raises(MediaError, match="decode_failed: no sound"):
        read_audio(path, 3000, 5000)


def test_a_file_without_sound_gives_none(folder: Path) -> None:
    path = film(folder / "mute.mp4", 2, size=(64, 36), rate=5)
    with pytest.raises(MediaError, match="no_audio"):
        read_audio(path)
    with pytest.raises(MediaError, match="no_audio"):
        read_waveform(path)
    assert len(decode_clip(path).waveform) == 0


def test_sound_that_no_filter_takes_is_told_by_its_kind() -> None:
    source = "abuffer=sample_rate=0:sample_fmt=flt:channel_layout=5.1:time_base=1/16000"
    with pytest.raises(MediaError, match=r"sample_rate=0, sample_fmt=flt, channel_layout=5\.1"):
        make_graph([source, "abuffersink"])
