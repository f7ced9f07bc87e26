"""Checkpoint files: a plain state dict with the original's keys, and a separate one to resume from."""

import logging
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.files import open_whole
from datasets.pickle_opcodes import UNREADABLE
from model.avlnet import AVLNet

# What torch raises for a file that is none of its own.
_UNREADABLE = (*UNREADABLE, OSError, struct.error)
RESUME_FILE = "resume.pt"
_WRAPPERS = ("net", "state_dict", "model_state_dict", "model")
_MOST_WRAPPERS = 5
"""One in the other: a file may also say that it holds itself."""
_MOST_NAMED = 8
_OWN_PARTS = {"DAVEnet", "DAVEnet_projection", "GU_audio", "GU_video"}
logger = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A file that is not a checkpoint of this model; the message says in what."""


def write_whole(path: Path, content: Any) -> None:
    """`torch.save` that leaves the whole file or none."""
    with open_whole(path) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # On a full disk torch closes its archive while it fails, and tells of that instead.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def read_whole(path: Path) -> Any:
    """Tensors and plain values of a file; nothing in it is executed.

    Raises:
        CheckpointError: no such file, or not a file of tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    # torch writes its zip files uncompressed, and reads any: a thousandth of a file's size would fill the memory.
    try:
        with zipfile.ZipFile(path) as archive:
            is_stored = all(item.compress_type == zipfile.ZIP_STORED for item in archive.infolist())
    except (zipfile.BadZipFile, *_UNREADABLE):  # torch says what is wrong with it, or reads its older format
        is_stored = True
    if not is_stored:
        raise CheckpointError(f"{path} is compressed, which no checkpoint of torch is: do not trust this file")
    with warnings.catch_warnings(action="ignore"):  # of what torch finds odd; it is judged below
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except _UNREADABLE as error:
            try:  # mmap needs the zip format; files older than torch 1.6 have another
                return torch.load(path, map_location="cpu", weights_only=True)
            except _UNREADABLE:
                reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                raise CheckpointError(f"{path} is not a checkpoint of tensors only: {reason}") from None


def find_state(folder: Path, identity: str, epochs: int) -> tuple[Path, dict[str, Any]] | None:
    """(folder, state) to go on from: the folder's own, else the longest of the same training's with fewer epochs.

    Raises:
        ValueError: the folder's own is of another training or a longer one, or cannot be gone on from.
    """
    path = folder / RESUME_FILE
    if path.exists():
        state = read_whole(path)
        if not isinstance(state, dict) or state.get("identity") != identity:
            raise ValueError(f"{folder} holds a training of other settings or clips: choose another folder")
        if (num_done := len(state["history"])) > epochs:
            raise ValueError(
                f"{folder} holds a training of {num_done} epochs, more than {epochs}: choose another folder"
            )
        if not _is_finite(state):
            raise CheckpointError(f"{path} holds numbers that are not finite: remove it to train anew")
        return folder, state
    found: list[tuple[Path, dict[str, Any]]] = []
    for path in sorted(folder.parent.glob(f"*/{RESUME_FILE}")):
        try:
            state = read_whole(path)
        except CheckpointError:
            continue
        if isinstance(state, dict) and state.get("identity") == identity and state["epochs"] < epochs:
            found.append((path.parent, state))
    return max((one for one in found if _is_finite(one[1])), key=lambda one: int(one[1]["epochs"]), default=None)


def _is_finite(held: Any) -> bool:
    if isinstance(held, Tensor):
        return bool(torch.isfinite(held).all())
    inner = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else ()
    return all(map(_is_finite, inner))


def load_avlnet(path: str | Path, mask_padding: bool = False, video_dim: int | None = None) -> AVLNet:
    """The model of a checkpoint, its sizes taken from the file; what the weights were wrapped in is logged.

    Args:
        path: of the checkpoint.
        mask_padding: see `AVLNet`.
        video_dim: of the features that it is to take (`check_video_dim`); any when not given.

    Raises:
        CheckpointError: the file is no state dict of the bimodal AVLnet; missing and unexpected keys are named.
    """
    path = Path(path)
    state, wrapping = _unwrap(read_whole(path))
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise CheckpointError(
            f"{path} holds no state dict of tensors: give a .pth of the model, not one to resume from"
        )
    with torch.device("meta"):
        model = AVLNet(**_sizes(path, state), mask_padding=mask_padding)
    expected = model.state_dict()
    uncounted = [key for key in expected if key.endswith("num_batches_tracked") and key not in state]
    state.update({key: torch.tensor(0) for key in uncounted})
    if uncounted:
        wrapping.append(f"{len(uncounted)} num_batches_tracked, which older versions of torch have not, are 0")
    _check_state(path, expected, state)
    model.load_state_dict({key: value.contiguous() for key, value in state.items()}, assign=True)
    if wrapping:
        logger.info("%s: %s", path, "; ".join(wrapping))
    for parameter in model.DAVEnet.batchnorm1.parameters():
        parameter.requires_grad_(False)
    if video_dim is not None:
        check_video_dim(path, model, video_dim)
    return model.float()


def _unwrap(held: Any) -> tuple[Any, list[str]]:
    """The state dict that a training's own checkpoint holds, and what was taken off."""
    taken_off = []
    # The original's amp_checkpoint.pt has net, optimizer, amp; others wrap in other words, one in the other.
    for _ in range(_MOST_WRAPPERS):
        names = [name for name in _WRAPPERS if isinstance(held, dict) and isinstance(held.get(name), dict)]
        if not names:
            break
        others = [str(key)[:30] for key in held if key != names[0]]
        taken_off.append(f"its {names[0]} is taken" + (f", {_few(others)} left" if others else ""))
        held = held[names[0]]
    # DataParallel, torch.compile and classes around the model put their own word before each name.
    for _ in range(_MOST_WRAPPERS):
        if not (isinstance(held, dict) and all(isinstance(key, str) for key in held)):
            break
        words, inner = {key.partition(".")[0] for key in held}, {part for key in held for part in key.split(".")[1:]}
        if len(words) > 1 or words & _OWN_PARTS or not inner & _OWN_PARTS:
            break
        word = f"{words.pop()}."
        taken_off.append(f'"{word[:30]}" is taken off the names')
        held = {key.removeprefix(word): value for key, value in held.items()}
    return dict(held) if isinstance(held, dict) else held, taken_off


def check_video_dim(path: str | Path, model: AVLNet, video_dim: int) -> None:
    """Refuse a checkpoint whose video head does not fit the features.

    Raises:
        CheckpointError: says both sizes and what to do.
    """
    if model.video_dim == video_dim:
        return
    if (model.video_dim, video_dim) == (4096, 2048):
        raise CheckpointError(
            f"{path} is bimodal: its video head takes 2D and 3D features (4096 values), images have only the 2D ones "
            "(2048). The authors published no weights of the 2D-only variant; `python -m flows pretrain --features 2d` "
            "makes them"
        )
    raise CheckpointError(
        f"{path} takes video features of {model.video_dim} values, the clips have {video_dim}: it was trained with "
        "another encoder or set of features (4096 is ResNet 2D+3D, 2048 is 2D only, as made by pretrain --features 2d)"
    )


def _sizes(path: Path, state: dict[str, Tensor]) -> dict[str, Any]:
    keys = ["DAVEnet.conv1.weight", *(f"DAVEnet.layer{stage}.0.conv1.weight" for stage in range(1, 5))]
    head = "GU_video.fc.weight"
    missing = [key for key in (*keys, head) if key not in state]
    if missing:
        raise CheckpointError(
            f"{path} is not an AVLnet checkpoint: missing {_few(missing)}, it has {_few(list(state))}"
        )
    odd = [key for key in (*keys, head) if state[key].ndim < 2 or 0 in state[key].shape]
    if odd or state[head].ndim != 2:
        raise CheckpointError(f"{path}: not the weights of a layer: {_few(odd or [head])}")
    embedding_dim, video_dim = state[head].shape
    return {"embedding_dim": embedding_dim, "video_dim": video_dim, "widths": [len(state[key]) for key in keys]}


def _check_state(path: Path, expected: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(f"{path} does not fit AVLnet: missing {_few(missing)}; unexpected {_few(unexpected)}")
    for key, value in expected.items():
        if value.shape != state[key].shape:
            raise CheckpointError(f"{path}: {key} must be {list(value.shape)}, got {list(state[key].shape)}")
        # A tensor may claim any shape over one number, which a conversion would then fill the memory with.
        found, is_float = state[key], value.is_floating_point()
        is_plain = found.layout == torch.strided and found.device.type == "cpu"
        if not is_plain or found.nbytes > found.untyped_storage().nbytes() or found.is_floating_point() != is_float:
            raise CheckpointError(f"{path}: {key} must be a plain tensor of {'floats' if is_float else 'integers'}")
        if not torch.isfinite(found).all():
            raise CheckpointError(f"{path}: {key} holds numbers that are not finite: its training went wrong")


def _few(keys: list[str]) -> str:
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return (", ".join(keys[:_MOST_NAMED]) or "nothing") + more
