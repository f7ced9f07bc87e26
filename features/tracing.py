"""Networks of torch as OpenVINO's files, by tracing; for processes that do nothing else."""

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_traced(network: nn.Module, example: torch.Tensor, shape: list[int], path: Path) -> None:
    """Write a network to `path` (.xml, its weights beside it), as it runs on `example`.

    OpenVINO's converter tells its maker of each use, without asking, by a package that need not be there: in this
    process it is not.

    Args:
        shape: of the inputs that the network takes from then on; -1 where any size will do.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # what makes an import of it fail
    import openvino

    with warnings.catch_warnings(), torch.no_grad():  # tracing is deprecated; exporting takes three times as long
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        converted = openvino.convert_model(trace(network, example, check_trace=False), example_input=example)
    converted.reshape(shape)
    openvino.save_model(converted, path, compress_to_fp16=False)
