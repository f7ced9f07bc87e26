"""What this machine has and lacks: a check each, and the command that mends what is amiss."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from datasets.schemas import TABLES
from datasets.tables import list_parts, read_run
from extract.media import ffmpeg_path
from extract.media_store import prepare_media_root
from extract.speech.segmentation import check_speech
from features.settings import NO_ENCODER, UNPUBLISHED, UNTRAINED
from flows.config import Config, ConfigError
from flows.machinery.forecast import forecast_curation
from flows.machinery.places import nearest_folder, why_not_published_to, why_not_writable
from flows.machinery.runners import stages_on_ray
from flows.machinery.server import START_A_SERVER, server_address

_TIMEOUT_S = 20
_SERVER_START_S = 180
_CLOCK_SLACK = timedelta(hours=1)


class Severity(IntEnum):
    """How much a finding matters; also what `doctor` ends with."""

    OK = 0
    WARNING = 1
    ERROR = 3


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    severity: Severity
    found: str
    mend: str = ""
    """What to do, best a command."""


class MachineError(ConfigError):
    """This machine lacks what the command needs; one line a fault, with the command that mends it."""


Check = Callable[[Config], Finding]


def check_root(config: Config) -> Finding:
    """Can the root be written?"""
    found = partial(Finding, "root")
    if "://" in config.root:
        return found(Severity.OK, f"{config.root}: tables on an object store, tried when the run starts")
    if problem := why_not_writable(config.root):
        return found(Severity.ERROR, problem, "choose another --root, or chmod u+w it")
    return found(Severity.OK, f"{config.root} can be written")


def check_media_folder(config: Config) -> Finding:
    """Is there a local folder for media, and does it tell upper from lower case?"""
    found = partial(Finding, "media folder")
    if "://" in config.root and config.run.media_root is None:
        mend = "--set run.media_root=FOLDER"
        return found(Severity.ERROR, f"{config.root} is no local folder, and media are local files", mend)
    folder = config.media_root
    try:
        prepare_media_root(nearest_folder(folder))
    except (ValueError, OSError) as error:
        return found(Severity.ERROR, str(error), "--set run.media_root=FOLDER on another disk")
    return found(Severity.OK, str(folder))


def check_disk(config: Config) -> Finding:
    """Is there room for the planned run?"""
    found = partial(Finding, "disk")
    folder = nearest_folder(config.media_root)
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
    found = partial(Finding, "encoder weights")
    kinds = ["2d", *([] if list_parts(config.root, "pairs") else ["3d"])]  # photographs have no motion
    kinds += [] if config.features.encoder_sound == NO_ENCODER else ["sound"]
    told = []
    for kind in kinds:
        field, name = f"weights_{kind}", getattr(config.features, f"encoder_{kind}")
        weights = getattr(config.features, field)
        without = "" if kind == "2d" else f", --set features.encoder_{kind}=none to go without"
        mend = f'--set features.{field}=FILE{without}, or "untrained" for a trial'
        if weights is None and name in UNPUBLISHED:
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


def check_destinations(config: Config) -> Finding:
    """Can the places be written that releases are sent to? Of URLs only the form is looked at."""
    found = partial(Finding, "destinations")
    places = config.schedules.publish_to
    if problems := [problem for place in places if (problem := why_not_published_to(place, config.root))]:
        return found(Severity.ERROR, "; ".join(problems), "choose another --to, or chmod u+w it")
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
    found = partial(Finding, "S3 credentials")
    if importlib.util.find_spec("s3fs") is None:
        severity = _severity_where_used("s3", config)
        return found(severity, "s3fs is not installed: nothing on s3:// can be used", "make setup-s3")
    from botocore.session import get_session

    session, severity = get_session(), _severity_where_used("s3", config)
    is_used = severity is Severity.ERROR or config.root.startswith("s3://")
    if not is_used:  # 169.254.169.254 is asked for a machine's role, and need not be a cloud's
        session.get_component("credential_provider").remove("iam-role")
    credentials = session.get_credentials()
    if credentials is None:
        mend = "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        told = "none" if is_used else "none in variables and files"
        return found(severity, f"{told}: publish --to s3://… and roots on S3 cannot be used", mend)
    return found(Severity.OK, f"there, by {credentials.method}")


def _severity_where_used(protocol: str, config: Config) -> Severity:
    """What lacking access to a kind of place is worth: an error to a run that is going to send something there."""
    is_used = any(place.startswith(f"{protocol}://") for place in config.schedules.publish_to)
    return Severity.ERROR if is_used else Severity.WARNING


def check_prefect(_: Config) -> Finding:
    """Can the Prefect API be reached?"""
    import httpx  # slow to load, and most checks need no network

    found = partial(Finding, "Prefect API")
    address = server_address()
    if address is None:
        return found(Severity.OK, "PREFECT_API_URL is not set: a temporary server starts with work to do, in seconds")
    try:
        # A server of this command's own answers when it has started, on a machine that does much else after a minute.
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            patience = httpx.Timeout(_SERVER_START_S, connect=_TIMEOUT_S)
            client.get(f"{address}/health", timeout=patience).raise_for_status()
            answer = client.get(f"{address.removesuffix('/api')}/ui-settings")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        mend = f"{START_A_SERVER} --host 127.0.0.1, or unset PREFECT_API_URL"
        return found(Severity.ERROR, f"{address} does not answer: {error}", mend)
    # A second server takes PREFECT_API_URL of its environment for its pages, which then show the first one's runs.
    asked = answer.json().get("api_url") if answer.is_success else None
    if asked and urlsplit(asked).port != urlsplit(address).port:
        told = f"the pages of {address} ask another server, {asked}: they show its runs"
        return found(Severity.WARNING, told, f"set PREFECT_UI_API_URL={address} where it starts")
    return found(Severity.OK, f"{address} answers")


def check_left_servers(_: Config) -> Finding:
    """Has a command that was killed left Prefect's temporary server behind? Linux tells, other systems do not."""
    found = partial(Finding, "servers left behind")
    left = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or somebody else's
            is_temporary = b"PREFECT__SERVER_EPHEMERAL=1" in (folder / "environ").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if is_temporary and parent == "1" and b"prefect.server.api.server" in (folder / "cmdline").read_bytes():
                left.append(int(folder.name))
    if left:
        mend = f"kill {' '.join(map(str, sorted(left)))}"
        return found(Severity.WARNING, f"{len(left)} of Prefect's temporary servers outlived their command", mend)
    return found(Severity.OK, "none")


def check_runner(config: Config) -> Finding:
    """Is there what batches on a cluster need: Ray, and a Prefect server that every node reaches?"""
    found = partial(Finding, "task runner")
    if not stages_on_ray(config):
        return found(Severity.OK, "batches are done on this machine")
    if importlib.util.find_spec("prefect_ray") is None:
        return found(
            Severity.ERROR, 'run.runner = "ray" needs prefect-ray, which is not installed', "make setup-cluster"
        )
    if server_address() is None:
        told = 'run.runner = "ray" needs a Prefect server that every node reaches, and PREFECT_API_URL is not set'
        # Whoever reaches a server without a password can start runs.
        mend = (
            f"export PREFECT_SERVER_API_AUTH_STRING=admin:PASSWORD, {START_A_SERVER} --host 0.0.0.0, then on every "
            "node export PREFECT_API_AUTH_STRING=admin:PASSWORD PREFECT_API_URL=http://THIS_MACHINE:4200/api"
        )
        return found(Severity.ERROR, told, mend)
    return found(Severity.OK, f"segment and featurize on Ray ({config.run.ray_address or 'the cluster found here'})")
