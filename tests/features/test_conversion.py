"""A network is converted once a machine, whoever asks and however often; what is kept is whole or not there."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from features.encoders import conversion
from features.encoders.encoder import load_encoder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "curation-networks"


@pytest.fixture
def written(monkeypatch):
    """Names of the networks that were converted; each is a few bytes."""
    names = []

    def write(name, weights, folder):
        names.append(name)
        (folder / "network.xml").write_text(name)
        shape = '{"dim": 1, "num_frames": 1, "crop": false}'
        (folder / "network.json").write_text(f'{{"shape": {shape}, "sha256": "s"}}')
        return conversion._read(folder)

    monkeypatch.setattr(conversion, "convert", write)
    return names


def ask(name="net", weights=None):
    with conversion.converted(name, weights) as (path, _, _):
        return path.read_text()


def test_of_many_that_ask_at_once_one_converts(cache, written):
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == ["net"]


def test_another_network_or_a_file_of_weights_that_changed_is_converted_anew(cache, written, tmp_path):
    weights = tmp_path / "weights.pth"
    for content in ("a", "a", "ab"):
        if not weights.exists() or weights.read_text() != content:
            weights.write_text(content)
        ask("net", str(weights))
    ask("other")
    assert written == ["net", "net", "other"]


def test_a_conversion_that_failed_leaves_nothing(cache, monkeypatch):
    def fail(name, weights, folder):
        (folder / "network.xml").write_text("half")
        raise ValueError("weights do not fit")

    monkeypatch.setattr(conversion, "convert", fail)
    with pytest.raises(ValueError, match="do not fit"):
        ask()
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_where_nothing_can_be_kept_it_is_converted_for_this_process(written, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [ask(), ask()] == ["net", "net"] and written == ["net", "net"]


@pytest.mark.slow
def test_a_kept_network_gives_the_rows_that_it_gave(cache, monkeypatch):
    windows = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    first = load_encoder("efficientnet_lite0", "untrained", "openvino", "cpu")(windows)
    monkeypatch.setattr(conversion, "convert", None)
    again = load_encoder("efficientnet_lite0", "untrained", "openvino", "cpu")(windows)
    assert np.array_equal(first, again)


def test_openvinos_maker_is_not_told_of_a_conversion(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "openvino_telemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'told')!r}, 'w').close()\nraise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    path, _, _ = conversion.convert("torchvision/squeezenet1_1", "untrained", tmp_path)
    assert path.is_file() and not (tmp_path / "told").exists()


KILLED = """
import os, signal
from features.encoders import conversion
def write(name, weights, folder):
    (folder / "network.bin").write_bytes(bytes(9))
    os.kill(os.getpid(), signal.SIGKILL)
conversion.convert = write
with conversion.converted("net", None):
    pass
"""


def test_what_a_killed_conversion_left_goes_with_the_next(cache, written):
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL and list(cache.glob("*/network.bin"))
    assert ask() == "net"
    assert not list(cache.glob("*/network.bin")) and len(list(cache.iterdir())) == 2  # the network, and its lock
