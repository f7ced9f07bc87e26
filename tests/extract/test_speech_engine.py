"""The fast engine's parts against plain references, on signals made here."""

import hashlib
import json
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from datasets.outcomes import DeviceError
from datasets.wheels import WEIGHTS_DIR
from extract.speech import network as speech_network
from extract.speech import patches as speech_patches
from extract.speech.engine import _torch_threads, segment_features
from extract.speech.front_end import SpeechFeatures, compute_features
from extract.speech.labels import decode_states, find_runs, gate_energy, label_margins
from extract.speech.layers import PATCH_STEP
from extract.speech.network import check_device, load_network
from extract.speech.patches import measure_patches, patch_of_labels, score_patches
from extract.speech.weights import WEIGHTS
from tests import fake_cuda

GOLDEN = Path(__file__).parents[1] / "golden" / "speech"
needs_weights = pytest.mark.skipif(not (WEIGHTS_DIR / WEIGHTS["smn"][0]).is_file(), reason="needs `make weights`")


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def load(name, device="cpu"):
    file_name, sha256 = WEIGHTS[name]
    return load_network(WEIGHTS_DIR / file_name, sha256, device)


def make_signal(seconds=20, seed=7):
    """Bursts of noise, chords and chirps between pauses, in 16-bit steps; the same on every machine."""
    random = np.random.Generator(np.random.PCG64(seed))
    parts = []
    for index in range(seconds):
        time = np.arange(16000) / 16000
        tone = sum(np.sin(2 * np.pi * pitch * time * (1 + 0.2 * time)) for pitch in random.integers(80, 3000, 3))
        hiss = random.integers(-1000, 1000, 16000) / 1000
        parts.append([0.2 * tone, 0.3 * hiss, 0.1 * tone + 0.05 * hiss, np.zeros(16000)][index * 7 // 3 % 4])
    return (np.round(np.concatenate(parts) * 32767 / 2) / 32768).astype(np.float32)


@pytest.mark.parametrize("chunk_samples", [401, 7777, 160_000])
def test_features_do_not_depend_on_the_chunks(chunk_samples):
    signal = make_signal(5)
    whole = compute_features([signal])
    cut = compute_features(signal[start : start + chunk_samples] for start in range(0, len(signal), chunk_samples))
    np.testing.assert_allclose(cut.log_mel, whole.log_mel, atol=1e-5)
    assert np.array_equal(cut.log_energy, whole.log_energy)
    assert cut.num_samples == whole.num_samples == 80000


@pytest.mark.parametrize(("num_samples", "num_frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_a_frame_each_10_ms_where_25_ms_fit(num_samples, num_frames):
    features = compute_features([np.ones(num_samples, np.float32)])
    assert features.log_mel.shape == (num_frames, 21)
    assert features.log_energy.shape == (num_frames,)


def test_silence_has_no_energy():
    log_energy = compute_features([np.zeros(16000, np.float32)]).log_energy
    assert gate_energy(log_energy).tolist() == [False] * 49


def brute_force(scores, exponent):
    """The best path by trying all of them."""
    num_steps, num_states = scores.shape
    paths = np.array(np.meshgrid(*[range(num_states)] * num_steps, indexing="ij")).reshape(num_steps, -1).T
    totals = scores[np.arange(num_steps), paths].sum(axis=1)
    totals -= (paths[:, 1:] != paths[:, :-1]).sum(axis=1) * exponent * np.log(10)
    return paths, totals


@settings(max_examples=40)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 3)), elements=st.floats(-20, 0, width=32)),
    st.floats(0, 5),
)
def test_decoded_path_is_the_best_of_all(scores, exponent):
    paths, totals = brute_force(scores, exponent)
    found = decode_states(scores, exponent)
    score = totals[(paths == found).all(axis=1)][0]
    assert score == pytest.approx(totals.max())


@settings(max_examples=40)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 3)), elements=st.floats(-20, 0, width=32)),
    st.floats(0, 5),
    st.floats(0, 1),
)
def test_margin_is_the_loss_of_the_best_other_path(scores, exponent, error_per_step):
    paths, totals = brute_force(scores, exponent)
    best = decode_states(scores, exponent)
    totals = totals + (paths != best).sum(axis=1) * error_per_step
    best_total = brute_force(scores, exponent)[1].max()
    expected = [best_total - totals[paths[:, step] != best[step]].max() for step in range(len(scores))]
    np.testing.assert_allclose(label_margins(scores, exponent, error_per_step), expected, atol=1e-9)


def test_runs_cover_everything():
    assert find_runs(np.array([1, 1, 0, 2, 2])) == [(0, 2), (2, 3), (3, 5)]
    assert find_runs(np.array([], bool)) == []


def test_labels_near_the_ends_take_the_outer_patches():
    assert patch_of_labels(40, 4).tolist() == [0] * 18 + [1, 2] + [3] * 20


def features_of(bands):
    return SpeechFeatures(bands, np.zeros(len(bands), np.float32), 160 * len(bands), float(bands.min()))


def test_patches_are_measured_alike_in_every_block(monkeypatch):
    bands = np.random.default_rng(2).normal(3, 2, (500, 21)).astype(np.float32)
    bands[300, 4] = -np.inf
    whole = measure_patches(features_of(bands))
    monkeypatch.setattr(speech_patches, "STATISTICS_BLOCK", 50)
    cut = measure_patches(features_of(bands))
    for values, expected in [(cut.means, whole.means), (cut.deviations, whole.deviations)]:
        np.testing.assert_allclose(values, expected, atol=1e-6)
    windows = np.lib.stride_tricks.sliding_window_view(bands, (68, 21))[::2, 0]
    assert np.array_equal(cut.is_finite, np.isfinite(windows).all(axis=(1, 2)))
    np.testing.assert_allclose(cut.means[:100], windows[:100].mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(cut.deviations[:100], windows[:100].std(axis=(1, 2)), atol=1e-5)


@needs_weights
@pytest.mark.parametrize("name", ["smn", "sm"])
def test_a_group_of_equal_patches_scores_as_each_alone(name):
    # A periodic signal: every patch is the same, so sharing the normalisation changes nothing.
    bands = np.tile(np.random.default_rng(1).normal(size=(2, 21)).astype(np.float32), (120, 1))
    patches = measure_patches(features_of(bands))
    wanted = np.ones(len(patches.means), bool)
    alone, shared = (score_patches([patches], [wanted], load(name), size)[0] for size in (1, 16))
    # The first and last pooling windows of a patch see one neighbour's frame more.
    np.testing.assert_allclose(shared, alone, atol=0.05 if name == "smn" else 1e-4)


@needs_weights
def test_digital_silence_inside_a_patch_gives_no_opinion():
    signal = make_signal(4)
    signal[16000:17600] = 0
    patches = measure_patches(compute_features([signal]))
    scores = score_patches([patches], [np.ones(len(patches.means), bool)], load("smn"), 16)[0]
    assert not patches.is_finite.all()
    assert (scores[~patches.is_finite] == 0.5).all()
    assert np.isfinite(scores).all()


@needs_weights
@pytest.mark.parametrize("name", ["smn", "sm"])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_labels_equal_the_librarys_own(name, exact, device):
    signal = make_signal()
    golden = json.loads((GOLDEN / f"signal_{name}.json").read_text())
    assert hashlib.sha256((signal * 32768).astype("<i2").tobytes()).hexdigest() == golden["sha256"]
    (found,) = segment_features([compute_features([signal])], load(name, device), name, exact)
    assert [list(segment) for segment in found] == golden["segments"]


@needs_weights
def test_labels_are_the_same_where_one_batch_goes_over_while_another_is_computed(monkeypatch):
    monkeypatch.setattr(speech_network, "GPU_FRAMES_PER_BATCH", 4096)
    fake_cuda.install(monkeypatch)
    file_name, sha256 = WEIGHTS["smn"]
    network = load_network.__wrapped__(WEIGHTS_DIR / file_name, sha256, "cuda:0")
    golden = json.loads((GOLDEN / "signal_smn.json").read_text())
    (found,) = segment_features([compute_features([make_signal()])], network, "smn", exact=False)
    assert [list(segment) for segment in found] == golden["segments"]


@needs_weights
@pytest.mark.parametrize("room", [5, 1])
def test_a_batch_for_which_a_device_has_no_room_is_halved_and_nothing_of_it_is_kept(monkeypatch, room):
    run, sizes, computed = speech_network.run_layers, [], []

    def run_in_little_room(layers, x, step):
        assert all(values() is None for values in computed)
        sizes.append(len(x))
        if len(x) > room:
            on_the_way = x + 1
            computed.append(weakref.ref(on_the_way))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(layers, x, step)

    groups = np.random.default_rng(4).normal(size=(6, 100, 21)).astype(np.float32)
    expected = next(load("smn").predict([groups], PATCH_STEP, rough=False))
    monkeypatch.setattr(speech_network, "run_layers", run_in_little_room)
    np.testing.assert_allclose(next(load("smn").predict([groups], PATCH_STEP, rough=False)), expected, atol=1e-5)
    assert sizes[0] == 6 and max(sizes[1:]) == 3


@needs_weights
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out"), torch.AcceleratorError("CUDA error: launch")])
def test_a_device_that_fails_is_no_files_fault(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(speech_network, "run_layers", fail)
    with pytest.raises(DeviceError, match=r"cpu (has no room .*, not even for one group|fails: CUDA error: launch)"):
        segment_features([compute_features([make_signal(2)])], load("smn"), "smn", exact=False)


@needs_weights
def test_scores_that_are_not_finite_are_no_labels(monkeypatch):
    run = speech_network.run_layers
    monkeypatch.setattr(speech_network, "run_layers", lambda *given: run(*given) * torch.nan)
    with pytest.raises(ArithmeticError, match="not finite on cpu"):
        segment_features([compute_features([make_signal(2)])], load("smn"), "smn", exact=False)


@needs_weights
@pytest.mark.parametrize("device", DEVICES)
def test_files_in_shared_batches_get_the_labels_of_each_alone(device):
    signals = [make_signal(12, seed=1), np.zeros(32000, np.float32), make_signal(1), make_signal(15), np.zeros(9)]
    files = [compute_features([signal.astype(np.float32)]) for signal in signals]
    network = load("smn", device)
    together = segment_features(files, network, "smn", exact=False)
    assert together == [segment_features([file], network, "smn", exact=False)[0] for file in files]
    assert [found[-1][2] if found else 0 for found in together] == [11980, 1980, 980, 14980, 0]


@needs_weights
@pytest.mark.parametrize("seed", range(6))
def test_sounds_that_end_at_once_get_the_labels_of_the_exact_setting(seed):
    # Where one sound follows another without a pause, large groups of patches are off by the most.
    signal = make_signal(14, seed)
    signal = signal[np.random.default_rng(seed).integers(0, 9000) :]
    features = [compute_features([signal])]
    assert segment_features(features, load("smn"), "smn", False) == segment_features(features, load("smn"), "smn", True)


@needs_weights
@pytest.mark.parametrize("name", ["smn", "sm"])
def test_rough_scores_are_near_the_exact_ones(name):
    network = load(name)
    groups = np.random.default_rng(4).normal(size=(6, 100, 21)).astype(np.float32)
    rough, exact = (next(network.predict([groups], PATCH_STEP, rough)) for rough in (True, False))
    np.testing.assert_allclose(rough, exact, atol=0.03)


def test_the_front_end_wakes_no_other_threads():
    # numpy's BLAS wakes one on every core for a small product: more CPU than the whole front end.
    signal = make_signal(60)
    compute_features([signal])
    before = time.thread_time(), time.process_time()
    compute_features([signal])
    own, all_threads = time.thread_time() - before[0], time.process_time() - before[1]
    assert all_threads < 1.3 * own


def test_a_device_that_is_not_there_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r'speech.device = "cuda:99" .* set "cpu"') as error:
        check_device("cuda:99")
    assert "\n" not in str(error.value)


def test_files_scored_at_once_leave_torchs_threads_as_they_were():
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        before = first.submit(torch.get_num_threads).result()
        outer, inner = _torch_threads(before + 1), _torch_threads(before + 2)
        first.submit(outer.__enter__).result()
        second.submit(inner.__enter__).result()
        first.submit(outer.__exit__, None, None, None).result()
        second.submit(inner.__exit__, None, None, None).result()
    with ThreadPoolExecutor(1) as third:
        assert third.submit(torch.get_num_threads).result() == before


def test_wrong_weights_are_refused(tmp_path):
    path = tmp_path / "weights.hdf5"
    path.write_bytes(b"not these")
    with pytest.raises(ValueError, match="delete it and run `make weights`"):
        load_network(path, WEIGHTS["smn"][1])


def test_missing_weights_name_the_command(tmp_path):
    with pytest.raises(ValueError, match="run `make weights`"):
        load_network(tmp_path / "none.hdf5", WEIGHTS["smn"][1])
