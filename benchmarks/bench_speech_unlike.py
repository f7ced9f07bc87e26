"""Sound unlike the recordings of ../shared/media, for bench_speech.py: 52 minutes in ten files, the same every time.

Voices of eSpeak NG in many languages and of Open JTalk at other pitches and speeds; music synthesised in five ways; a
crowd; tones, clicks, sweeps and silence; echo, clipping and whispering levels; and seven codecs at 8 to 48 kHz.
"""

import csv
import subprocess
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pyopenjtalk
import scipy.signal
from scipy.io import wavfile

from benchmarks.bench_speech_mixes import FOLDER, Sound
from demo.espeak import speak_espeak
from demo.sound import SAMPLING_RATE as DEMO_RATE
from demo.sound import music, sizzle
from demo.voices import speak
from extract.media import SAMPLING_RATE, ffmpeg_path

SECONDS = 312
"""Of each file: above the 5 minutes from which each must agree on its own."""
Random = np.random.Generator
ENCODINGS = {
    "japanese_voices": ("opus", ["-ar", "48000", "-c:a", "libopus", "-b:a", "16k"]),
    "european_voices": ("mp3", ["-ar", "22050", "-c:a", "libmp3lame", "-b:a", "24k"]),
    "asian_voices": ("m4a", ["-ar", "44100", "-ac", "2", "-c:a", "aac", "-b:a", "48k"]),
    "crowd": ("mp3", ["-ar", "32000", "-c:a", "libmp3lame", "-b:a", "32k"]),
    "frying": ("webm", ["-ar", "48000", "-ac", "2", "-c:a", "libopus", "-b:a", "64k"]),
    "five_musics": ("flac", ["-ar", "44100", "-ac", "2", "-c:a", "flac"]),
    "voice_over_music": ("ogg", ["-ar", "48000", "-c:a", "libvorbis", "-b:a", "64k"]),
    "tones_and_silence": ("wav", ["-ar", "8000", "-c:a", "pcm_mulaw"]),
    "echo_and_clipping": ("amr", ["-ar", "8000", "-c:a", "libopencore_amrnb", "-b:a", "12.2k"]),
    "singing": ("m4a", ["-ar", "24000", "-c:a", "aac", "-b:a", "32k"]),
}


def write_unlike(directory: Path) -> list[Path]:
    """Write each sound in its encoding; returns the paths."""
    japanese, english = _read_sentences()
    sounds: dict[str, Callable[[Random], Sound]] = {
        "japanese_voices": lambda r: read_aloud(japanese, ["ja", "ja+f2", "ja+m3", "ja+f4", "ja+croak"], r),
        "european_voices": lambda r: read_aloud(
            english, ["en-us", "de+f1", "fr", "es+m4", "en-us+whisper", "ru+f3"], r
        ),
        "asian_voices": lambda r: read_aloud(japanese, ["cmn", "ja+m7", "ko+f2", "yue", "vi+f3"], r),
        "crowd": lambda r: make_crowd(english, r),
        "frying": lambda r: fry(japanese, r),
        "five_musics": play_five_musics,
        "voice_over_music": lambda r: talk_over_music(english, r),
        "tones_and_silence": lambda r: make_signals(japanese, r),
        "echo_and_clipping": lambda r: spoil(read_aloud(japanese, ["ja+f5", "ja+m1"], r), r),
        "singing": sing,
    }
    paths = []
    for seed, (name, make) in enumerate(sounds.items()):
        suffix, options = ENCODINGS[name]
        paths.append(directory / f"{name}.{suffix}")
        _encode(make(np.random.default_rng(seed)), paths[-1], options)
    return paths


def _read_sentences() -> tuple[list[str], list[str]]:
    with (FOLDER / "text" / "yc2_frame_ja_en.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    # eSpeak NG's Japanese reads kana only.
    return [pyopenjtalk.g2p(row["ja"], kana=True) for row in rows], [row["en"] for row in rows]


def _encode(sound: Sound, path: Path, options: list[str]) -> None:
    plain = path.with_suffix(".source.wav")
    wavfile.write(plain, SAMPLING_RATE, (np.clip(sound, -1, 1) * 32767).astype(np.int16))
    command = [ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-bitexact", "-i", str(plain), *options, str(path)]
    subprocess.run(command, check=True, timeout=120)
    plain.unlink()


def _fill(pieces: Iterator[Sound], seconds: float = SECONDS) -> Sound:
    """Pieces one after the other until the time is up."""
    found: list[Sound] = []
    missing = round(seconds * SAMPLING_RATE)
    while missing > 0:
        found.append(next(pieces)[:missing])
        missing -= len(found[-1])
    return np.concatenate(found).astype(np.float32)


def _to_rate(sound: Sound, rate: int) -> Sound:
    return np.asarray(scipy.signal.resample_poly(sound, SAMPLING_RATE, rate), np.float32)


def _seconds(duration_s: float) -> Sound:
    return (np.arange(round(duration_s * SAMPLING_RATE)) / SAMPLING_RATE).astype(np.float32)


def _silence(duration_s: float) -> Sound:
    return 0 * _seconds(duration_s)


def speak_sentences(texts: list[str], voices: list[str], random: Random) -> Iterator[Sound]:
    """Sentences in voices that take turns, at other speeds, pitches and levels, with pauses of 0.1 to 2.5 s."""
    for text, voice in zip(cycle(random.permutation(texts)), cycle(voices), strict=False):
        wave, rate = speak_espeak(str(text), voice, int(random.integers(110, 230)), int(random.integers(20, 80)))
        if len(wave) == 0:
            continue
        level = 10 ** (random.uniform(-35, -3) / 20) / np.abs(wave).max()
        yield _to_rate(wave, rate) * np.float32(level)
        yield _silence(random.choice([0.1, 0.3, 0.5, 0.8, 2.5]))


def read_aloud(texts: list[str], voices: list[str], random: Random) -> Sound:
    """Sentences over the hiss of a quiet room."""
    sound = _fill(speak_sentences(texts, voices, random))
    return sound + np.float32(0.0005) * random.standard_normal(len(sound)).astype(np.float32)


def make_crowd(texts: list[str], random: Random) -> Sound:
    """Six voices at once; for each half minute one of them comes to the front, or none."""
    voices = ["en-us", "es+f2", "fr+m3", "it+f4", "nl", "pl+f1"]
    crowd = np.stack([_fill(speak_sentences(texts, [voice], random)) for voice in voices])
    front = np.repeat(random.integers(0, 9, SECONDS // 30 + 1), 30 * SAMPLING_RATE)[: crowd.shape[1]]
    gains = np.where(np.arange(6)[:, None] == front, 1.0, 0.25).astype(np.float32)
    return np.asarray((crowd * gains).sum(axis=0), np.float32)


def fry(texts: list[str], random: Random) -> Sound:
    """Open JTalk's voice at other pitches and speeds, over a frying pan that comes and goes."""

    def sentences() -> Iterator[Sound]:
        for text in cycle(random.permutation(texts)):
            voice = f"mei:{random.integers(-6, 7)}:{random.uniform(0.7, 1.5):.2f}"
            yield _to_rate(speak(str(text), voice), DEMO_RATE)
            yield _silence(random.uniform(0.1, 3))

    voice = _fill(sentences())
    pan = _to_rate(sizzle(SECONDS * 1000, random), DEMO_RATE)
    return voice + pan * np.repeat(random.choice([0, 0.3, 1, 3], SECONDS // 12), 12 * SAMPLING_RATE)


def play_notes(instrument: Callable[[float, float, Random], Sound], random: Random, seconds: float) -> Sound:
    """A walk over a pentatonic scale, notes of 0.15 to 0.6 s."""

    def notes() -> Iterator[Sound]:
        place = 0
        while True:
            place = int(np.clip(place + random.integers(-2, 3), -7, 7))
            pitch = 330 * 2 ** (([0, 2, 4, 7, 9][place % 5] + 12 * (place // 5)) / 12)
            yield instrument(pitch, random.choice([0.15, 0.3, 0.6]), random)

    return _fill(notes(), seconds)


def _pluck(pitch: float, seconds: float, random: Random) -> Sound:
    """Karplus-Strong string."""
    period = round(SAMPLING_RATE / pitch)
    burst = np.zeros(round(seconds * SAMPLING_RATE))
    burst[:period] = random.uniform(-0.5, 0.5, len(burst[:period]))
    taps = np.zeros(period + 2)
    taps[0], taps[period : period + 2] = 1, -0.498
    return np.asarray(scipy.signal.lfilter([1], taps, burst), np.float32)


def _bell(pitch: float, seconds: float, _: Random) -> Sound:
    """Frequency modulation."""
    t = _seconds(seconds)
    return np.asarray(0.3 * np.exp(-4 * t) * np.sin(6.28 * pitch * t + 3 * np.sin(6.28 * 1.4 * pitch * t)), np.float32)


def _organ(pitch: float, seconds: float, _: Random) -> Sound:
    """Held harmonics with a tremolo."""
    t = _seconds(seconds)
    tones = sum(np.sin(6.28 * pitch * k * t) / k for k in (0.5, 1, 2, 3, 4))
    return np.asarray(0.1 * tones * (1 + 0.3 * np.sin(36 * t)), np.float32)


def _drum(pitch: float, seconds: float, random: Random) -> Sound:
    """A falling tone, or a burst of noise."""
    t = _seconds(seconds)
    if random.random() < 0.5:
        return np.asarray(0.7 * np.exp(-12 * t) * np.sin(6.28 * 60 * t + 8 * np.exp(-30 * t)), np.float32)
    return np.asarray(0.3 * np.exp(-30 * t) * random.standard_normal(len(t)), np.float32)


def _saw(pitch: float, seconds: float, _: Random) -> Sound:
    """A filtered saw tooth with a drum's attack, as of electronic music."""
    t = _seconds(seconds)
    wave = scipy.signal.lfilter([0.2], [1, -0.8], scipy.signal.sawtooth(6.28 * pitch / 2 * t))
    return np.asarray(0.3 * wave * np.exp(-2 * t), np.float32)


INSTRUMENTS = (_pluck, _bell, _organ, _drum, _saw)


def play_five_musics(random: Random) -> Sound:
    """Each instrument alone, then two together, 26 s at a time, between short silences; and the demo's chords."""

    def pieces() -> Iterator[Sound]:
        for instrument, other in zip(cycle(INSTRUMENTS), cycle(INSTRUMENTS[2:] + INSTRUMENTS[:1]), strict=False):
            yield play_notes(instrument, random, 13)
            yield _silence(0.7)
            yield play_notes(instrument, random, 13) + play_notes(other, random, 13)
            yield _to_rate(music(6000, random), DEMO_RATE)

    return _fill(pieces())


def talk_over_music(texts: list[str], random: Random) -> Sound:
    """A voice over each kind of music in turn, which gets louder by the minute."""
    voice = _fill(speak_sentences(texts, ["en-us+f3", "de+m2"], random))
    background = _fill(play_notes(instrument, random, 15) for instrument in cycle(INSTRUMENTS))
    return voice + background * np.linspace(0.02, 0.8, len(voice), dtype=np.float32)


def make_signals(texts: list[str], random: Random) -> Sound:
    """Tones, sweeps, clicks, noises, a constant and silences, with sentences between them."""
    sentences = speak_sentences(texts, ["ja+f1"], random)

    def pieces() -> Iterator[Sound]:
        while True:
            t = _seconds(random.uniform(0.3, 6))
            pitch = random.uniform(80, 3500)
            noise = random.standard_normal(len(t))
            signals = [
                0.3 * np.sin(6.28 * pitch * t),
                0.3 * np.sin(6.28 * (100 + 400 * t) * t),
                0.5 * (np.arange(len(t)) % 4000 < 20),
                0.05 * noise,
                0.02 * np.cumsum(noise) / np.sqrt(len(t)),
                0.001 * noise,
                np.full(len(t), 0.2),
                0.2 * np.sin(6.28 * 697 * t) + 0.2 * np.sin(6.28 * 1336 * t),
                0 * t,
            ]
            yield np.asarray(signals[random.integers(len(signals))], np.float32)
            if random.random() < 0.4:
                yield next(sentences)

    return _fill(pieces())


def spoil(sound: Sound, random: Random) -> Sound:
    """The first third in a stone hall, the second clipped, the last 40 dB down."""
    hall = random.standard_normal(SAMPLING_RATE) * np.exp(-7 * _seconds(1))
    first, second, last = np.array_split(sound, 3)
    echo = 0.15 * scipy.signal.fftconvolve(first, hall)[: len(first)]
    return np.concatenate([first + echo, np.clip(8 * second, -0.5, 0.5), 0.01 * last]).astype(np.float32)


def sing(random: Random) -> Sound:
    """Vowels on notes, with vibrato, alone and over an organ."""

    def note(pitch: float, seconds: float, _: Random) -> Sound:
        t = _seconds(3 * seconds)
        phase = 6.28 * (pitch / 2 * t + 0.6 * np.sin(6.28 * 5.5 * t))
        wave = scipy.signal.sawtooth(phase) * np.minimum(1, 20 * t)
        for formant in [(700, 1200), (400, 2000), (300, 800)][round(pitch) % 3]:
            wave = wave + 3 * scipy.signal.lfilter(*scipy.signal.iirpeak(formant, 6, SAMPLING_RATE), wave)
        return np.asarray(0.06 * wave, np.float32)

    voice = play_notes(note, random, SECONDS)
    organ = play_notes(_organ, random, SECONDS)
    return voice + organ * np.repeat(random.choice([0, 0.3, 1], SECONDS // 12), 12 * SAMPLING_RATE)
