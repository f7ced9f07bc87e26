"""What a check of this machine says."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from flows.config import Config, ConfigError


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
