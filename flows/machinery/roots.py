"""Is what a command was given a dataset root? If not, which one near it may have been meant."""

from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from datasets.schemas import TABLES
from datasets.suggestions import did_you_mean
from datasets.tables import RUN_FILE, list_parts
from flows.config import ConfigError

_MOST_NAMED = 3
_MOST_LOOKED_AT = 200


def has_tables(root: str | Path) -> bool:
    """True for a folder or URL that holds rows of any table."""
    return any(list_parts(root, name) for name in TABLES)


def check_has_tables(root: str) -> None:
    """What only reads a root, a folder or URL, asks first: zeros about a folder that was mistyped look like an answer.

    Raises:
        ConfigError: no table is there; names the roots that lie near.
    """
    if has_tables(root):
        return
    near = list_roots_near(root)
    mend = (
        f"near it are {', '.join(near[:_MOST_NAMED])}" if near else "`python -m flows curate --root FOLDER` makes one"
    )
    if "://" not in root and not Path(root).exists():
        meant = did_you_mean(root, near) or f"; {mend}"
        raise ConfigError(f"{root} is no dataset root, there is no such folder{meant}")
    raise ConfigError(f"{root} is no dataset root, it holds no tables; {mend}")


def list_roots_near(root: str) -> list[str]:
    """Local roots within `root`, in its nearest folder that exists, and above: as the command line would name them."""
    if "://" in root:
        return []
    path = Path(root)
    existing = next(folder for folder in (path, *path.parents) if folder.is_dir())
    found = []
    for folder in dict.fromkeys((existing, path.parent)):
        with suppress(OSError):
            names = sorted(entry.name for entry in folder.iterdir())
            # Those named alike first, for a folder may hold thousands.
            alike = get_close_matches(path.name, names, _MOST_LOOKED_AT)
            found += [folder / name for name in (*alike, *names[:_MOST_LOOKED_AT])]
    places = dict.fromkeys([*found, *path.parents])
    return [str(p) for p in places if p != path and any((p / name / RUN_FILE).is_file() for name in TABLES)]
