"""Videos and channels that were taken down: known by their hashes alone, and never fetched again.

Whoever holds an id can ask whether it was taken down; nobody can read the ids out of the list. The hash has no salt, so
that a published list works on any root: it does not hide an id from someone who tries all the ids he knows.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import make_table, read_table, write_part

Kind = Literal["video", "channel"]


def hash_id(kind: Kind, identifier: str) -> str:
    """SHA-256 of kind and id, 64 hexadecimal digits: what stands for a tombstoned id wherever a row needs one."""
    return hashlib.sha256(f"{kind}:{identifier}".encode()).hexdigest()


def read_tombstones(root: str | Path) -> frozenset[str]:
    """The hashed ids of everything that was taken down, videos and channels."""
    return frozenset(read_table(root, "tombstones", ["hashed_id"])["hashed_id"].to_pylist())


def is_tombstoned(tombstones: Collection[str], kind: Kind, identifier: str | None) -> bool:
    """True if the id, or an id that is already hashed, was taken down; no id was not."""
    return identifier is not None and (identifier in tombstones or hash_id(kind, identifier) in tombstones)


def hide_id(tombstones: Collection[str], video_id: str) -> str:
    """A video's id, or the hash of one that was taken down, so that no table names it again."""
    return hash_id("video", video_id) if is_tombstoned(tombstones, "video", video_id) else video_id


def check_why(why: str, identifiers: Iterable[str]) -> None:
    """Raise ValueError for a reason that says nothing, or that names an id."""
    if not why.strip() or not set(identifiers).isdisjoint(re.findall(r"[\w-]+", why)):
        raise ValueError(f"why must say why, without an id of what is taken down, got {why!r}")


def add_tombstones(root: str | Path, kind: Kind, identifiers: Iterable[str], why: str, run_id: str = "") -> int:
    """Write tombstones for ids that have none yet.

    Args:
        root: the dataset root.
        kind: what the ids name.
        identifiers: plain ids; only their hashes are written.
        why: for people, at most 500 characters; must not name the id.

    Returns:
        How many are new. The reason and time of the others stay as they are.

    Raises:
        ValueError: `why` is empty or contains an id.
    """
    identifiers = set(identifiers)
    check_why(why, identifiers)
    known = read_tombstones(root)
    hashes = sorted({hash_id(kind, identifier) for identifier in identifiers} - known)
    columns = {"kind": kind, "why": why[:500], "tombstoned_at": datetime.now(UTC), **OK}
    rows = [{"hashed_id": hashed, **columns} for hashed in hashes]
    write_part(root, "tombstones", make_table("tombstones", rows, recipe=recipe_of("tombstones"), run_id=run_id))
    return len(rows)
