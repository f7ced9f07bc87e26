"""What each command needs of this machine."""

from collections.abc import Iterable

from flows.config import Config, ConfigError
from flows.machinery.allowances import check_address_space
from flows.machinery.checks import (
    Check,
    Finding,
    MachineError,
    Severity,
    check_checkpoint,
    check_clock,
    check_destinations,
    check_disk,
    check_encoder_weights,
    check_ffmpeg,
    check_hub,
    check_javascript,
    check_left_servers,
    check_media_folder,
    check_prefect,
    check_root,
    check_runner,
    check_s3,
    check_speech_weights,
)
from flows.machinery.gpus import check_gpu

DIVIDED = ("featurize", "transcribe")
"""Commands that may do one part of a root."""
_passed: set[tuple[str, str]] = set()
"""Checks and configurations that came out well in this process: a flow need not ask again what its command asked."""


def examine(command: str, config: Config) -> list[Finding]:
    """All findings for a command, in the order of `CHECKS`."""
    return [check(config) for check in CHECKS[command]]


def require(command: str, config: Config, is_served: bool = True) -> None:
    """Stop a run in its first second when something that it needs is missing.

    Args:
        command: one of `CHECKS`.
        config: the whole configuration.
        is_served: False where no Prefect server was started yet.

    Raises:
        ConfigError: a part of a root is asked of a command that goes over the whole.
        MachineError: names each fault and what mends it; warnings are `doctor`'s alone.
    """
    if config.run.part and command not in DIVIDED:
        told = f"run.part = {config.run.part!r}: {command} goes over the whole root; parts are for"
        raise ConfigError(f"{told} {' and '.join(DIVIDED)}, so leave it out")
    settings = config.model_dump_json()
    checks = CHECKS[command] if is_served else _OWN[command]
    new = [check for check in checks if (check.__name__, settings) not in _passed]
    found = {check.__name__: check(config) for check in new}
    stop_for(found.values())
    _passed.update((name, settings) for name in found)


def stop_for(findings: Iterable[Finding]) -> None:
    """Raise MachineError where there is an error among findings: a line each, with what mends it."""
    if faults := [finding for finding in findings if finding.severity is Severity.ERROR]:
        raise MachineError("\n".join(f"{fault.check}: {fault.found}; {fault.mend}" for fault in faults))


_CURATE = (
    check_runner,
    check_address_space,
    check_root,
    check_media_folder,
    check_disk,
    check_ffmpeg,
    check_javascript,
    check_speech_weights,
    check_clock,
)
_FEATURIZE = (check_runner, check_address_space, check_root, check_encoder_weights, check_gpu)
_REGENERATE = (check_root, check_media_folder, check_disk, check_ffmpeg, check_javascript, check_clock)
_TRAIN = (check_address_space, check_root, check_checkpoint, check_gpu)
_PUBLISH = (check_root, check_destinations, check_hub, check_s3)


def _union(*groups: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(dict.fromkeys(check for group in groups for check in group))


_OWN: dict[str, tuple[Check, ...]] = {
    "curate": _CURATE,
    "check-availability": (check_root, check_javascript, check_clock),
    "regenerate": _REGENERATE,
    "pairs": (check_root,),
    "import-original": (check_root,),
    "export-original": (),
    "featurize": _FEATURIZE,
    "transcribe": (check_root, check_media_folder),
    "describe": (check_root, check_media_folder),
    "agree": (check_root,),
    "pretrain": _TRAIN,
    "finetune": _TRAIN,
    "evaluate": (check_root, check_gpu),
    "experiment": (check_gpu,),
    "ablate": (check_root, check_gpu),
    "publish": (check_root,),
    "publish-when-enough": _PUBLISH,
    "takedown": (check_root,),
    "housekeeping": (check_prefect, check_left_servers),
    "pipeline": _union(_CURATE, _FEATURIZE, _TRAIN),
    "all": _union(_CURATE, _FEATURIZE, _TRAIN, _PUBLISH, (check_prefect, check_left_servers)),
}
CHECKS = {command: _union(checks, (check_prefect,)) for command, checks in _OWN.items()}
"""What each command needs. Prefect comes last, whose server may still be starting."""
