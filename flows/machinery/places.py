"""Can files be made at a place? Tried, since permissions do not tell: a superuser may write anywhere but in /proc."""

import re
import tempfile
from pathlib import Path

from datasets.files import check_place
from datasets.releases.layout import SUMS_FILE

_HUB = re.compile(r"hf://datasets/[\w.-]+/[\w.-]+")


def nearest_folder(path: Path) -> Path:
    """The path itself or the nearest parent that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def why_not_writable(place: str) -> str | None:
    """What keeps a folder from being made or filled, in words; None where nothing does. Leaves nothing behind.

    Of a URL only its form is looked at: whether it can be written is seen when it is.
    """
    try:
        check_place(place)
    except ValueError as error:
        return str(error)
    if "://" in place:
        is_hub = place.startswith("hf://") and not _HUB.fullmatch(place.rstrip("/"))
        return f"{place}: a place on the Hub is hf://datasets/OWNER/NAME" if is_hub else None
    folder = nearest_folder(Path(place))
    if not folder.is_dir():
        return f"{folder} is a file, not a folder"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror})"


def why_not_published_to(place: str, root: str) -> str | None:
    """What keeps releases of a root from being sent to a place, in words; None where nothing does."""
    if (problem := why_not_writable(place)) or "://" in place:
        return problem
    folder = Path(place).resolve()
    if "://" not in root and folder.is_relative_to(Path(root).resolve()):
        return f"{place} lies in the root {root}, whose tables and releases it would change"
    return f"{place} is a release, which never changes" if (folder / SUMS_FILE).exists() else None
