"""What `--from` names, as settings: a folder of media files, or a list of videos."""

import json
from pathlib import Path

from datasets.files import check_place
from datasets.suggestions import did_you_mean
from extract.clip_lists import LIST_SUFFIXES
from extract.sources import YOUTUBE_HOSTS, is_allowed_url
from flows.config import ConfigError


def settings_of_place(place: str, column: str | None = None, clips: str | None = None) -> list[str]:
    """Words of `--set` that make a folder or a list the source.

    Args:
        place: a folder, local or an fsspec URL; or a list by its suffix.
        column: of a list: the one that names the videos.
        clips: "given": the list's own times are the clips.

    Raises:
        ConfigError: no such place, or an option that says nothing of a folder.
    """
    try:
        check_place(place)
    except ValueError as error:
        raise ConfigError(f"--from: {error}") from error
    suffix, is_local = Path(place).suffix.lower(), "://" not in place
    if is_allowed_url(place, YOUTUBE_HOSTS):
        raise ConfigError(f"--from {place}: is neither folder nor list: write addresses into a .txt, one a line")
    if suffix in LIST_SUFFIXES and not is_local:
        raise ConfigError(f"--from {place}: a list is a file of this machine: copy it here first")
    if suffix in LIST_SUFFIXES and Path(place).is_file():
        chosen = {"source.name": "ids", "source.ids_file": place, "source.column": column}
        words = [f"{name}={json.dumps(value)}" for name, value in chosen.items() if value is not None]
        return [*words, *(["clips.given=true"] if clips == "given" else [])]
    if is_local and not Path(place).is_dir():
        raise ConfigError(_explain(Path(place), suffix))
    if column or clips:
        given = "--column" if column else "--clips"
        raise ConfigError(f"{given} is for a list ({', '.join(LIST_SUFFIXES)}), and --from {place} is a folder")
    return ['source.name="folder"', f"source.folder={json.dumps(place)}"]


def _explain(place: Path, suffix: str) -> str:
    if place.is_file():
        told = f"ends in {suffix or 'nothing'}, and a list ends in one of {', '.join(LIST_SUFFIXES)}"
        return f"--from {place}: {told}; of media files name the folder: --from {place.parent}"
    beside = [str(path) for path in place.parent.iterdir()] if place.parent.is_dir() else []
    return f"--from {place}: there is no such folder or list{did_you_mean(str(place), beside)}"
