"""Make an export of a release of a root: beside, sealed, and only then named."""

import shutil
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

from datasets.files import name_folder, no_room_is_of, sha256_of, write_bytes
from datasets.releases.cards import fill_template
from datasets.releases.exports import TERMS, export_path, seal_export, verify_export
from datasets.releases.layout import CARD_FILE, SUMS_FILE, read_manifest, release_path
from datasets.releases.settings import ExportFormat
from datasets.releases.shards import ReleaseError
from flows.finding.search_page import write_search_page

# Of the extra `export`; lhotse loads torch.
_WRITERS = {"webdataset": ("samples", "write_samples"), "lhotse": ("cuts", "write_cuts")}


def check_has_writers(forms: Iterable[ExportFormat]) -> None:
    """Raise ModuleNotFoundError where the library of a format is not installed: before a release is built for it."""
    for form in forms:
        if form in _WRITERS and find_spec(form) is None:
            raise ModuleNotFoundError(f"No module named {form!r}", name=form)


def export_release(root: str, version: str, form: ExportFormat, checkpoint: Path | None = None) -> Path:
    """The export of a release, made unless it is there.

    Args:
        root: a local root.
        version: of one of its releases.
        form: the layout.
        checkpoint: for a search page: the AVLnet by which it finds clips that look alike.

    Returns:
        Its folder.

    Raises:
        ReleaseError: what is there is damaged; or a search page of a release without words, without a checkpoint.
    """
    release, target = Path(release_path(root, version)), export_path(root, form, version)
    if target.exists():
        if problems := verify_export(target):
            raise ReleaseError(f"{target} is damaged: {problems[0]}; delete it, and publish again")
        return target
    folder = export_path(root, form, ".building")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest, library = read_manifest(release), {}
    splits = {split: row["clips"] for split, row in manifest["splits"].items()}
    if form == "search-page":
        write_search_page(str(release), folder, checkpoint)
    else:
        module, function = _WRITERS[form]
        getattr(import_module(f"flows.exporting.{module}"), function)(release, folder, splits)
        library = {form: version_of(form)}
    for name in TERMS:
        with no_room_is_of(folder / name):
            shutil.copyfile(release / name, folder / name)
    card = fill_template(Path(__file__).parent / "card.md.jinja", manifest | {"form": form, "splits": splits})
    write_bytes(folder / CARD_FILE, card)
    told = {"format": form, "name": manifest["name"], "version": version, "splits": splits, "made_with": library}
    seal_export(folder, told | {"release_sums_sha256": sha256_of(release / SUMS_FILE)})
    name_folder(folder, target)
    return target
