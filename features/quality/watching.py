"""What packaged models say of a clip, as its pieces go by; each model fails for itself, never the clip."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from datasets.devices import device_errors
from datasets.outcomes import MAX_DETAIL_CHARS
from features.encoders.engines import cpu_options, num_cores
from features.frames.decoded import DecodedClip
from features.kept_networks import keep_network, run_apart
from features.quality.faces import FaceCount
from features.quality.packaged import MODELS
from features.quality.shots import ShotCuts
from features.quality.text import TextArea
from features.quality.voice import VoiceQuality

CODE_VERSION = 1
"""Part of the recipe where there are models: raise it when the code changes what comes out."""
_CONVERTED = "network.xml"
_TIMEOUT_S = 900


class Watcher(Protocol):
    """One model's view of one clip."""

    def add(self, piece: DecodedClip) -> None:
        """Look at a piece; they come in order."""

    def columns(self) -> dict[str, float | None]:
        """Figures of the clip: columns of the table `qualities`."""


class Network:
    """A network on OpenVINO in fp32, a core a caller: values in, the arrays of its outputs out."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        model.reshape(list(shape))
        self._compiled: Any = core.compile_model(model, "CPU", cpu_options(num_cores()))

    def __call__(self, values: npt.NDArray[Any]) -> list[npt.NDArray[np.float32]]:
        """The outputs for one input."""
        request = self._compiled.create_infer_request()
        with device_errors("cpu"):
            request.infer({0: np.ascontiguousarray(values)}, share_inputs=True)
        return [np.array(tensor.data) for tensor in request.output_tensors]


WATCHERS: dict[str, Any] = {"shots": ShotCuts, "faces": FaceCount, "voice": VoiceQuality, "text": TextArea}
"""By the name of the model, class of `Watcher`; its SHAPE is what the network takes, -1 for any length."""


def load_networks(found: Mapping[str, Path]) -> dict[str, Network]:
    """The networks of the models that `find_models` found."""
    return {name: Network(_readable(name, path), WATCHERS[name].SHAPE) for name, path in found.items()}


def _readable(name: str, path: Path) -> Path:
    """The file as OpenVINO reads it; a process of its own converts TransNet V2, so that this one needs no torch."""
    if name != "shots":
        return path

    def convert(folder: Path) -> None:
        done = run_apart("features.quality.shot_network", str(path), str(folder / _CONVERTED), timeout_s=_TIMEOUT_S)
        if done.returncode != 0:
            raise RuntimeError(f"the process that converts {path.name} ended badly: {done.stderr[-500:]}")

    facts = [MODELS[name].sha256, version("openvino"), version("torch")]
    return keep_network(facts, Path(__file__).parent, convert) / _CONVERTED


class Watched:
    """The pieces of a clip on their way to whoever reads them, seen by every network too."""

    def __init__(self, pieces: Iterable[DecodedClip], networks: Mapping[str, Network]) -> None:
        self._pieces = pieces
        self._watchers: dict[str, Watcher] = {name: WATCHERS[name](network) for name, network in networks.items()}
        self._problems: dict[str, str] = {}

    def __iter__(self) -> Iterator[DecodedClip]:
        for piece in self._pieces:
            for name, watcher in self._watchers.items():
                self._attempt(name, watcher.add, piece)
            yield piece

    def columns(self) -> dict[str, Any]:
        """Figures of the models that could say something, and under `detail` why others could not."""
        columns: dict[str, Any] = {}
        for name, watcher in self._watchers.items():
            columns |= self._attempt(name, watcher.columns) or {}
        if self._problems:
            columns["detail"] = "; ".join(f"{name}: {told}" for name, told in self._problems.items())[:MAX_DETAIL_CHARS]
        return columns

    def _attempt(self, name: str, work: Any, *args: Any) -> Any:
        if name in self._problems:
            return None
        try:
            return work(*args)
        except (RuntimeError, ValueError) as error:  # what OpenVINO and NumPy raise
            self._problems[name] = str(error).strip().split("\n")[0][:200]
        return None
