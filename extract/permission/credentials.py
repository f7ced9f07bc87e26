"""What a media file says itself of training on it: the training and data mining assertion of its Content Credentials.

Sources: C2PA 1.4 (c2pa.training-mining) and, in its place since, CAWG's Training and Data Mining Assertion 1.1
(cawg.training-mining). Anybody may reserve, so no signature is verified and nothing is fetched for it; and what was
fetched to be read is permitted by nothing that it says.
"""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extract.permission.signals import Signal

FROM_FILE = "c2pa"
"""Where such a signal comes from, beside the places of a host."""
_LABELS = ("c2pa.training-mining", "cawg.training-mining")
_USES = {f"{by}.{use}" for by in ("c2pa", "cawg") for use in ("ai_training", "ai_generative_training", "data_mining")}
_RESERVED = ("notAllowed", "constrained")


def can_read() -> bool:
    """Whether the package that reads them is installed."""
    return importlib.util.find_spec("c2pa") is not None


def read_reservations(path: Path) -> list[Signal]:
    """Kinds of training and mining that a file, or what it was made of, reserves.

    None without the package c2pa, a manifest, or one that it can read: what cannot be read says nothing.
    """
    if not can_read():
        return []
    import c2pa

    unverified = {"verify": {"verify_after_reading": False, "remote_manifest_fetch": False}}
    try:
        with c2pa.Context(c2pa.Settings.from_dict(unverified)) as context, c2pa.Reader(path, context=context) as reader:
            manifests = json.loads(reader.json())["manifests"].values()
            return list(dict.fromkeys(signal for manifest in manifests for signal in _read_assertions(manifest)))
    except (c2pa.C2paError, ValueError, LookupError, RecursionError, OSError):
        return []


def _read_assertions(manifest: dict[str, Any]) -> Iterator[Signal]:
    """The assertions' data are a stranger's, of any form. A second assertion of a label is LABEL__1."""
    for assertion in manifest.get("assertions", []):
        data = assertion["data"] if assertion["label"].partition("__")[0] in _LABELS else None
        entries = data.get("entries") if isinstance(data, dict) else None
        for use, said in entries.items() if isinstance(entries, dict) else ():
            if use in _USES and isinstance(said, dict) and said.get("use") in _RESERVED:
                yield Signal(FROM_FILE, True, f"{use}: {said['use']}")
