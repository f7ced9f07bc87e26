"""A release's bill of materials: the packages it was made with, in CycloneDX's format, the same for the same lock."""

import re
from typing import Any

from datasets.releases.shards import ReleaseError

BILL_FILE = "sbom.cdx.json"
"""Releases older than it have none."""
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def make_bill(lock: str) -> dict[str, Any]:
    """CycloneDX 1.6 of the packages that a lock file pins, in the order of their names; no time, no random number.

    Raises:
        ReleaseError: a lock that pins nothing.
    """
    pins = sorted({(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in _PIN.findall(lock)})
    if not pins:
        raise ReleaseError("the lock file pins no package: make it anew by `make lock`")
    purls = [f"pkg:pypi/{name}@{version}" for name, version in pins]
    components = [
        {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}
        for (name, version), purl in zip(pins, purls, strict=True)
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
