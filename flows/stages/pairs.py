"""Images with spoken captions: metadata files to the table pairs, and where the files of a pair lie."""

from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import flow

from datasets.files import read_json, sha256_of, write_json
from datasets.outcomes import OK, failed
from datasets.places_audio import folders_file, read_places, refuse_repeated
from datasets.settings import recipe_of
from flows.config import Config
from flows.machinery.batches import left_to_do
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run

Row = dict[str, Any]


@flow(name="pairs")
@prepared("pairs")
def fill_pairs(config: Config, retry: tuple[str, ...] = ()) -> None:
    """Table pairs from the metadata files that the configuration names; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again: media_missing, once the files are there.

    Raises:
        ValueError: no metadata file is named, or one that cannot be used.
    """
    with open_run(config, retry) as run:
        write_pairs(run)


def write_pairs(run: Run) -> None:
    """Every pair that the files name and the table lacks, with whether its image and recording are there."""
    settings = run.config.pairs
    if not settings.files:
        raise ValueError("no metadata file: name pairs.train, pairs.val or pairs.test (--set pairs.test=FILE.json)")
    for split, file in settings.files.items():
        if not Path(file).is_file():
            raise ValueError(f"no metadata file {file}: correct pairs.{split}")
    recipe = recipe_of("pairs", settings, {split: sha256_of(Path(file)) for split, file in settings.files.items()})
    rows: list[Row] = []
    folders = {}
    for split, file in settings.files.items():
        pairs, images, sounds = read_places(file, split, settings.language)
        image_folder = settings.images or images
        if image_folder is None:
            raise ValueError(f"{file} names no folder of images: set pairs.images")
        folders[split] = [str(Path(image_folder).resolve()), str(Path(settings.audio or sounds).resolve())]
        for pair, (side, folder) in product(pairs, zip(("image_path", "audio_path"), folders[split], strict=True)):
            pair[side] = pair[side].removeprefix(f"{folder.lstrip('/')}/")  # of a file that holds absolute paths
        rows += pairs
    refuse_repeated(rows, "the splits' files")
    keys = pa.Table.from_pylist(rows, pa.schema([("pair_id", pa.string()), ("split", pa.string())]))
    by_id = {row["pair_id"]: row for row in rows}
    for todo in left_to_do(keys, run, "pairs", recipe).group_by("attempt").aggregate([("pair_id", "list")]).to_pylist():
        run.begin()
        done = []
        for row in (by_id[pair_id] for pair_id in sorted(todo["pair_id_list"])):
            outcome = OK
            for folder, name in zip(folders[row["split"]], (row["image_path"], row["audio_path"]), strict=True):
                path = (Path(folder) / name).resolve()  # no link leads out of the folder
                if not (path.is_relative_to(folder) and path.is_file()):
                    outcome = failed("media_missing", f"no file {name}")
                    break
            done.append({**row, **outcome})
        run.write("pairs", done, recipe, todo["attempt"])
    run.record("pairs", recipe)
    if read_json(folders_file(run.root)) != folders:
        run.begin()
        write_json(folders_file(run.root), folders)
