"""The GPU of this machine, and whether torch can use it: a check like those of `checks`."""

import importlib.util
import os
import runpy
import shutil
from functools import partial
from pathlib import Path

from features.encoders.engines import has_gpu
from flows.config import Config
from flows.machinery.checks import Finding, Severity
from flows.machinery.runners import stages_on_ray

_DRIVER = Path("/sys/module/nvidia/version")


def check_gpu(config: Config) -> Finding:
    """Is there a GPU, with which driver, and one where it is asked for? torch is loaded where there is a driver."""
    found = partial(Finding, "GPU")
    elsewhere = config.features.device if stages_on_ray(config) else None
    devices = (config.features.device, config.train.device, config.evaluate.device)
    asked = [name for name in devices if "cuda" in name and name != elsewhere]
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    is_here = not is_hidden and (_DRIVER.is_file() or shutil.which("nvidia-smi") is not None)
    if is_here:
        import torch

        if has_gpu():  # the driver counts its GPUs also where it is too old for torch
            names = map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
            return found(Severity.OK, f"{', '.join(names)}, {_versions()}")
    if asked or is_here:
        told = (f"device {asked[0]!r} is asked for, and " if asked else "") + f"torch sees none; {_versions()}"
        mend = 'nvidia-smi shows what the driver sees; device = "auto" takes what there is'
        return found(Severity.ERROR if asked else Severity.WARNING, told, mend)
    return found(Severity.OK, "none: the CPU computes, see docs/gpu.md for what a GPU would save")


def _versions() -> str:
    driver = f"driver {_DRIVER.read_text().strip()}" if _DRIVER.is_file() else "no NVIDIA driver"
    # Only this file of torch, which as a whole takes seconds to load.
    [folder] = importlib.util.find_spec("torch").submodule_search_locations  # type: ignore[union-attr, misc]
    return f"{driver}, torch is for CUDA {runpy.run_path(f'{folder}/version.py')['cuda']}"
