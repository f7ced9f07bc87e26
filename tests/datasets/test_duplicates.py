"""Copies of a video are found by their sound, and nothing else is."""

import random
import subprocess
import wave

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.splits.duplicates import DuplicateSettings, bit_error_rate, find_duplicates
from extract.media import ffmpeg_path, make_fingerprint
from extract.sound import read_audio

DEFAULTS = DuplicateSettings()
SECONDS = 40


def write_wave(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32000).astype("<i2").tobytes())


def play_melody(seed, seconds=SECONDS):
    """Decaying notes of random height, length and colour, with some noise."""
    rng = np.random.default_rng(seed)
    notes, num_samples = [], 0
    while num_samples < seconds * 16000:
        t = np.arange(int(16000 * rng.uniform(0.12, 0.5))) / 16000
        hz = 110 * 2 ** (rng.integers(0, 36) / 12)
        tone = sum(np.sin(2 * np.pi * hz * k * t) * rng.uniform(0.1, 1) / k for k in range(1, 6))
        notes.append(tone * np.exp(-3 * t) * 0.25 + rng.normal(0, 0.01, len(t)))
        num_samples += len(t)
    return np.concatenate(notes)[: seconds * 16000]


def encode(source, target, *options):
    command = [ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target


def read_fingerprint(path):
    return {"duration_ms": len(read_audio(path)) // 16, "fingerprint": make_fingerprint(path, 120_000, audio_track=0)}


def make_table(rows):
    types = {"video_id": pa.string(), "duration_ms": pa.int64(), "fingerprint": pa.binary()}
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def group(rows, settings=DEFAULTS):
    """Videos that hang together by pairs of copies, by the smallest id of each group."""
    groups = []
    for pair in find_duplicates(make_table(rows), settings).to_pylist():
        touched = [group for group in groups if not group.isdisjoint(pair.values())]
        groups = [group for group in groups if group not in touched] + [set(pair.values()).union(*touched)]
    return {min(group): group for group in groups}


@pytest.fixture(scope="module")
def fingerprints(tmp_path_factory):
    """Two melodies, three copies of the first and one of the second, silence and a held tone."""
    folder = tmp_path_factory.mktemp("sounds")
    write_wave(folder / "one.wav", play_melody(1))
    write_wave(folder / "two.wav", play_melody(2))
    write_wave(folder / "silence.wav", np.zeros(SECONDS * 16000))
    write_wave(folder / "tone.wav", np.sin(np.arange(SECONDS * 16000) * 0.2) / 2)
    one, two = folder / "one.wav", folder / "two.wav"
    paths = {
        "one": one,
        "one-mp3": encode(one, folder / "one.mp3", "-b:a", "64k"),
        "one-low": encode(one, folder / "one.m4a", "-b:a", "32k", "-af", "volume=0.5"),
        # Half a fingerprint item beside the original's raster: the worst case.
        "one-trimmed": encode(one, folder / "trimmed.m4a", "-ss", "3.06", "-b:a", "64k"),
        "two": two,
        "two-mp3": encode(two, folder / "two.mp3", "-b:a", "48k"),
        "silence": folder / "silence.wav",
        "silence-mp3": encode(folder / "silence.wav", folder / "silence.mp3"),
        "tone": folder / "tone.wav",
        "tone-mp3": encode(folder / "tone.wav", folder / "tone.mp3"),
    }
    return [{"video_id": name, **read_fingerprint(path)} for name, path in paths.items()]


def test_copies_are_grouped_and_nothing_else_is(fingerprints):
    assert group(fingerprints) == {"one": {"one", "one-mp3", "one-low", "one-trimmed"}, "two": {"two", "two-mp3"}}


def test_measured_rates_lie_far_from_the_limit(fingerprints):
    items = {row["video_id"]: np.frombuffer(row["fingerprint"], "<u4") for row in fingerprints}
    for copy in ("one-mp3", "one-low", "one-trimmed"):
        assert bit_error_rate(items["one"], items[copy], DEFAULTS) < 0.1
    assert bit_error_rate(items["one"], items["two"], DEFAULTS) > 0.35


def test_a_copy_of_quite_another_length_is_not_grouped(fingerprints):
    rows = [row for row in fingerprints if row["video_id"] in ("one", "one-mp3")]
    rows[1] = {**rows[1], "duration_ms": rows[0]["duration_ms"] + 15_001}
    assert group(rows) == {}
    rows[1] = {**rows[1], "duration_ms": rows[0]["duration_ms"] + 15_000}
    assert group(rows) == {"one": {"one", "one-mp3"}}


def test_a_start_cut_by_more_than_the_limit_is_not_grouped(fingerprints):
    rows = [row for row in fingerprints if row["video_id"] in ("one", "one-trimmed")]
    assert group(rows, DuplicateSettings(max_offset_ms=2_000)) == {}


def test_common_silence_around_unlike_sound_ties_nothing():
    """Nine tenths of both fingerprints are one constant item, yet what sounds differs."""
    rng = np.random.default_rng(0)
    silence = np.full(800, 0x12345678, np.uint32)
    rows = [
        {"video_id": name, "duration_ms": 120_000, "fingerprint": np.r_[silence, noise].tobytes()}
        for name, noise in (("a", random_items(rng, 100)), ("b", random_items(rng, 100)))
    ]
    assert group(rows) == {}


def test_absent_short_and_torn_fingerprints_are_in_no_group():
    items = random_items(np.random.default_rng(0), 300).tobytes()
    contents = {"a": None, "b": None, "c": b"", "d": b"", "e": items[:20], "f": items[:20], "g": items[:-1]}
    assert group([{"video_id": k, "duration_ms": 1000, "fingerprint": v} for k, v in contents.items()]) == {}
    assert group([{"video_id": k, "duration_ms": None, "fingerprint": items} for k in "ab"]) == {}
    assert group([]) == {}


def test_hundreds_of_copies_are_one_group():
    rng = np.random.default_rng(0)
    items = random_items(rng, 900)
    rows = [
        {"video_id": f"v{n:03d}", "duration_ms": 300_000 + n, "fingerprint": flip_bits(rng, items, 0.03).tobytes()}
        for n in range(300)
    ]
    assert group(rows) == {"v000": {row["video_id"] for row in rows}}


@pytest.mark.slow
def test_fingerprints_of_more_than_2_gb_are_searched():
    """One chunk named again and again: binary arrays end at 2 GB, tables do not."""
    rng = np.random.default_rng(0)
    long = rng.integers(0, 1 << 32, 1 << 22, dtype=np.uint32).tobytes()
    copied = random_items(rng, 300).tobytes()
    chunk = pa.array([long] * 8, pa.binary())
    fingerprints = pa.chunked_array([pa.array([copied]), *[chunk] * 17, pa.array([copied])])
    assert fingerprints.nbytes > 1 << 31
    table = pa.table(
        {
            "video_id": [f"v{number:03d}" for number in range(len(fingerprints))],
            "duration_ms": [1000, *range(100_000, 100_000 + 136 * 20_000, 20_000), 1000],
            "fingerprint": fingerprints,
        }
    )
    assert find_duplicates(table, DEFAULTS).to_pylist() == [{"video_id": "v000", "copy_id": "v137"}]


def random_items(rng, num_items):
    return rng.integers(0, 1 << 32, num_items, dtype=np.uint32)


def flip_bits(rng, items, share):
    flips = np.packbits(rng.random((len(items), 32)) < share, axis=1).view("<u4")[:, 0]
    return items ^ flips


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 25), st.randoms(use_true_random=False))
def test_pairs_do_not_depend_on_the_order_of_rows_or_on_chunks(seed, num_videos, shuffler):
    rng = np.random.default_rng(seed)
    sources = [random_items(rng, rng.integers(1, 400)) for _ in range(4)]
    rows = [
        {
            "video_id": f"v{n}",
            "duration_ms": int(rng.integers(100_000, 120_000)),
            "fingerprint": flip_bits(rng, random.Random(n + seed).choice(sources), 0.03).tobytes(),
        }
        for n in range(num_videos)
    ]
    expected = find_duplicates(make_table(rows), DEFAULTS)
    shuffler.shuffle(rows)
    chunked = pa.concat_tables([make_table(rows[:3]), make_table(rows[3:])])
    assert find_duplicates(chunked, DEFAULTS).to_pylist() == expected.to_pylist()


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(0, 200), st.integers(-150, 150), st.floats(0, 0.5))
def test_the_bit_error_rate_is_symmetric(seed, num_items, shift, noise):
    rng = np.random.default_rng(seed)
    first = random_items(rng, num_items)
    second = flip_bits(rng, np.roll(first, shift), noise)
    rate = bit_error_rate(first, second, DEFAULTS)
    assert rate == bit_error_rate(second, first, DEFAULTS)
    assert 0 <= rate <= 1
