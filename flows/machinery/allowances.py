"""What this machine grants a process, where it grants less than a run needs: a check like those of `checks`."""

import resource

from flows.config import Config
from flows.machinery.checks import Finding, Severity

_ADDRESS_SPACE = 8_000_000_000
"""Bytes. curate was seen to map 6.2 GB, featurize 3.0: of libraries and stacks of threads, most of it never touched."""


def check_address_space(_: Config) -> Finding:
    """May a process map what the networks' libraries map, which is far more than they use?"""
    allowed, _most = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or allowed >= _ADDRESS_SPACE:
        return Finding("address space", Severity.OK, "enough")
    told = f"{allowed / 1e9:.1f} GB are allowed, the networks' libraries need {_ADDRESS_SPACE / 1e9:.0f}"
    return Finding("address space", Severity.ERROR, told, "ulimit -v unlimited (memory itself is used far less)")
