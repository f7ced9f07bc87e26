"""What this machine has and lacks for each command, and the command that mends it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from datasets.schemas import TABLES
from datasets.tables import list_parts, read_run
from extract.media import ffmpeg_path
from extract.media_store import prepare_media_root
from extract.speech.segmentation import check_speech
from flows.config import Config
from flows.machinery.findings import Check, Finding, MachineError, Severity
from flows.machinery.forecast import forecast_curation
from flows.machinery.prefect_checks import check_left_servers, check_prefect, check_runner
from flows.machinery.runners import stages_on_ray

_TIMEOUT_S = 20
_DRIVER = Path("/sys/module/nvidia/version")
_CLOCK_SLACK = timedelta(hours=1)


def examine(command: str, config: Config) -> list[Finding]:
    """All findings for a command, in the order of `CHECKS`."""
    return [check(config) for check in CHECKS[command]]


def require(command: str, config: Config) -> None:
    """Stop a run in its first second when something that it needs is missing.

    Raises:
        MachineError: names each fault and what mends it; warnings are `doctor`'s alone.
    """
    faults = [finding for finding in examine(command, config) if finding.severity is Severity.ERROR]
    if faults:
        raise MachineError("\n".join(f"{fault.check}: {fault.found}; {fault.mend}" for fault in faults))


def check_root(config: Config) -> Finding:
    """Can the root be written?"""
    found = partial(Finding, "root")
    if "://" in config.root:
        return found(Severity.OK, f"{config.root}: tables on an object store, tried when the run starts")
    folder = _nearest_folder(Path(config.root))
    if not os.access(folder, os.W_OK):
        return found(Severity.ERROR, f"{folder} cannot be written", f"chmod u+w {folder}, or choose another --root")
    return found(Severity.OK, f"{config.root} can be written")


def check_media_folder(config: Config) -> Finding:
    """Is there a local folder for media, and does it tell upper from lower case?"""
    found = partial(Finding, "media folder")
    if "://" in config.root and config.run.media_root is None:
        mend = "--set run.media_root=FOLDER"
        return found(Severity.ERROR, f"{config.root} is no local folder, and media are local files", mend)
    folder = _media_folder(config)
    try:
        prepare_media_root(_nearest_folder(folder))
    except (ValueError, OSError) as error:
        return found(Severity.ERROR, str(error), "--set run.media_root=FOLDER on another disk")
    return found(Severity.OK, str(folder))


def check_disk(config: Config) -> Finding:
    """Is there room for the planned run?"""
    found = partial(Finding, "disk")
    folder = _nearest_folder(_media_folder(config))
    free = shutil.disk_usage(folder).free
    if free < config.download.min_free_bytes:
        mend = "free some, or choose another folder: --set run.media_root=FOLDER"
        return found(Severity.ERROR, f"{free / 1e9:.1f} GB free on {folder}, the least to leave free is more", mend)
    forecast = forecast_curation(config).set_index("what")["amount"]
    needed = min(forecast["GB of media"], config.download.max_total_bytes / 1e9) + forecast["GB of features"]
    told = f"{free / 1e9:.0f} GB free on {folder}, the planned run needs about {needed:.0f} GB (assumed yields)"
    if free / 1e9 < needed:
        return found(Severity.WARNING, told, "--set run.max_videos=N, or a larger disk")
    return found(Severity.OK, told)


def check_ffmpeg(_: Config) -> Finding:
    """Does the ffmpeg program run?"""
    found = partial(Finding, "ffmpeg")
    try:
        command = [ffmpeg_path(), "-version"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return found(Severity.ERROR, f"does not run: {error}", "make setup")
    return found(Severity.OK, told.splitlines()[0].split(" Copyright")[0])


def check_javascript(_: Config) -> Finding:
    """Is there a JavaScript runtime, which YouTube's players need?"""
    found = partial(Finding, "JavaScript runtime")
    runtime = Path(sys.executable).with_name("deno")
    if runtime.exists():
        return found(Severity.OK, "deno, of this environment")
    if shutil.which("node"):
        return found(Severity.OK, f"node: {shutil.which('node')}")
    return found(Severity.WARNING, "neither deno nor node: YouTube gives few formats without one", "make setup")


def check_speech_weights(config: Config) -> Finding:
    """Are the speech network's weights here, with the right sha256, and the library's environment where asked for?"""
    found = partial(Finding, "speech weights")
    # The GPU that a cluster's worker uses need not be in this machine.
    here = {"device": "cpu"} if stages_on_ray(config) else {}
    try:
        check_speech(config.speech.model_copy(update=here))
    except ValueError as error:
        told, _, mend = str(error).rpartition(": ")
        return found(Severity.ERROR, told, mend)
    return found(Severity.OK, "sha256 as published")


def check_encoder_weights(config: Config) -> Finding:
    """Are the files of the encoders' weights here?"""
    from features.encoders.networks import ENCODERS
    from features.settings import UNTRAINED

    found = partial(Finding, "encoder weights")
    kinds = ("2d",) if list_parts(config.root, "pairs") else ("2d", "3d")  # photographs have no motion
    told = []
    for field, name in ((f"weights_{kind}", getattr(config.features, f"encoder_{kind}")) for kind in kinds):
        weights = getattr(config.features, field)
        mend = f'--set features.{field}=FILE, or "untrained" for a trial'
        if weights is None and name in ENCODERS and ENCODERS[name].default_weights is None:
            return found(Severity.ERROR, f"{name} has no published download and features.{field} names no file", mend)
        if weights not in (None, UNTRAINED) and not Path(weights).is_file():
            return found(Severity.ERROR, f"features.{field}: no file {weights}", mend)
        told.append(f"{name}: {weights or 'published, fetched when first used'}")
    return found(Severity.OK, "; ".join(told))


def check_checkpoint(config: Config) -> Finding:
    """Is the model to start from here?"""
    found = partial(Finding, "first checkpoint")
    path = config.train.init_checkpoint
    if path is None:
        return found(Severity.OK, "none: training starts from random weights")
    if not Path(path).is_file():
        return found(Severity.ERROR, f"no file {path}", "--set train.init_checkpoint=FILE")
    return found(Severity.OK, path)


def check_gpu(config: Config) -> Finding:
    """Is there a GPU, with which driver, and one where it is asked for?"""
    import torch

    found = partial(Finding, "GPU")
    elsewhere = config.features.device if stages_on_ray(config) else None
    devices = (config.features.device, config.train.device, config.evaluate.device)
    asked = [name for name in devices if "cuda" in name and name != elsewhere]
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return found(Severity.OK, f"{names}, {_versions()}")
    if asked:
        told = f"device {asked[0]!r} is asked for, and torch sees none; {_versions()}"
        return found(Severity.ERROR, told, 'nvidia-smi shows what the driver sees; device = "auto" takes what there is')
    return found(Severity.OK, "none: the CPU computes, see docs/gpu.md for what a GPU would save")


def _versions() -> str:
    import torch

    driver = f"driver {_DRIVER.read_text().strip()}" if _DRIVER.is_file() else "no NVIDIA driver"
    return f"{driver}, torch is for CUDA {torch.version.cuda}"


def check_clock(config: Config) -> Finding:
    """Is it later than what this root has on record?"""
    found = partial(Finding, "clock")
    runs = [run for name in TABLES if (run := read_run(config.root, name))]
    times = [datetime.fromisoformat(run["recorded_at"]) for run in runs if "recorded_at" in run]
    latest, now = max(times, default=datetime.min.replace(tzinfo=UTC)), datetime.now(UTC)
    if latest > now + _CLOCK_SLACK:
        told = f"it is {now:%F %H:%M} UTC here, and the root has a run of {latest:%F %H:%M} UTC"
        return found(Severity.ERROR, told, "set the clock: requests are counted by the hour")
    return found(Severity.OK, f"{now:%F %H:%M} UTC")


def check_destination_folders(config: Config) -> Finding:
    """Can the folders be written that releases are sent to?"""
    found = partial(Finding, "destination folders")
    places = [place for place in config.schedules.publish_to if "://" not in place]
    for folder in (_nearest_folder(Path(place)) for place in places):
        if not os.access(folder, os.W_OK):
            return found(Severity.ERROR, f"{folder} cannot be written", f"chmod u+w {folder}, or choose another --to")
    return found(Severity.OK, ", ".join(places) or "none")


def check_hub(config: Config) -> Finding:
    """Is there a token for the Hub? It is never printed."""
    from huggingface_hub import get_token

    found = partial(Finding, "Hub token")
    if get_token() is None:
        severity = _severity_where_used("hf", config)
        return found(severity, "none: publish --to hf://… cannot write", "hf auth login, or HF_TOKEN")
    return found(Severity.OK, "there")


def check_s3(config: Config) -> Finding:
    """Are there credentials for S3? They are never printed."""
    from botocore.session import get_session

    found = partial(Finding, "S3 credentials")
    credentials = get_session().get_credentials()
    if credentials is None:
        mend = "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        severity = _severity_where_used("s3", config)
        return found(severity, "none: publish --to s3://… and roots on S3 cannot be used", mend)
    return found(Severity.OK, f"there, by {credentials.method}")


def _severity_where_used(protocol: str, config: Config) -> Severity:
    """What lacking access to a kind of place is worth: an error to a run that is going to send something there."""
    is_used = any(place.startswith(f"{protocol}://") for place in config.schedules.publish_to)
    return Severity.ERROR if is_used else Severity.WARNING


_CURATE = (
    check_runner,
    check_root,
    check_media_folder,
    check_disk,
    check_ffmpeg,
    check_javascript,
    check_speech_weights,
    check_clock,
)
_FEATURIZE = (check_runner, check_root, check_encoder_weights, check_gpu)
_REGENERATE = tuple(check for check in _CURATE if check not in (check_runner, check_speech_weights))
_TRAIN = (check_root, check_checkpoint, check_gpu)
_PUBLISH = (check_root, check_destination_folders, check_hub, check_s3)


def _union(*groups: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(dict.fromkeys(check for group in groups for check in group))


CHECKS: dict[str, tuple[Check, ...]] = {
    "curate": _CURATE,
    "check-availability": (check_root, check_javascript, check_clock),
    "regenerate": _REGENERATE,
    "pairs": (check_root,),
    "featurize": _FEATURIZE,
    "pretrain": _TRAIN,
    "finetune": _TRAIN,
    "evaluate": (check_root, check_gpu),
    "experiment": (check_gpu,),
    "publish": _PUBLISH,
    "takedown": (check_root,),
    "housekeeping": (check_prefect, check_left_servers),
    "pipeline": _union(_CURATE, _FEATURIZE, _TRAIN),
    "all": _union(_CURATE, _FEATURIZE, _TRAIN, _PUBLISH, (check_prefect, check_left_servers)),
}
"""What each command needs."""


def _media_folder(config: Config) -> Path:
    return Path(config.run.media_root or Path(config.root) / "media_files")


def _nearest_folder(path: Path) -> Path:
    """The path itself or the nearest parent that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
