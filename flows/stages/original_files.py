"""The authors' own files into a root, and a root's clips into files that their code reads."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from prefect import flow

from datasets.files import sha256_of
from datasets.settings import recipe_of
from datasets.tables import read_run
from datasets.tombstones import is_tombstoned, read_tombstones
from flows.config import Config, ConfigError
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run

# `model` loads torch, which takes seconds: it is imported where there is something to read or write.
TABLES_WRITTEN = ("clips", "log_mel", "pooled", "splits")
_NAMES = {"train": "train", "val": "val", "valid": "val", "dev": "val", "eval": "test", "test": "test"}
_FILE = re.compile(r"(?:(train|val|test)=)?(.+)", re.DOTALL)


@flow(name="import-original")
@prepared("import-original")
def import_original(config: Config, files: tuple[str, ...]) -> list[str]:
    """Tables clips, splits, log_mel and pooled from the authors' pickles; a finished import is not done again.

    Args:
        config: of its fields the root counts, and how many clips a part holds.
        files: PATH, whose name says the split (train; val or dev; eval or test), or SPLIT=PATH.

    Returns:
        Lines that say what was read, and what one should know of it.

    Raises:
        ValueError: a file of no split or that cannot be read, vectors of several sizes, or a root with other clips.
    """
    with open_run(config) as run:
        return import_files(run, files)


def import_files(run: Run, files: tuple[str, ...]) -> list[str]:
    """What the flow does: the tables of these files, unless the root has them; never beside those of others."""
    splits = [split_of(name) for name in files]
    if not splits:
        raise ConfigError("no file: name the authors' pickles, such as youcook_japanese_train.pkl")
    for _, path in splits:
        if not Path(path).is_file():
            raise ValueError(f"no file {path}: unpack the authors' archive, and name its pickles")
    recipe = recipe_of("original", [[split, sha256_of(path)] for split, path in splits])
    found = {table: told["recipe"] for table in TABLES_WRITTEN if (told := read_run(run.root, table))}
    if set(found.values()) - {recipe}:
        raise ValueError(f"{run.root} holds other clips: name all files in one command, and a root of their own")
    if set(found) == set(TABLES_WRITTEN):
        return [f"{run.root} has the clips of these files already"]
    run.begin()
    return list(_import(run, splits, recipe))


def split_of(name: str) -> tuple[str, str]:
    """(split, path) of PATH or SPLIT=PATH.

    Raises:
        ConfigError: a file whose name says no split, or two.
    """
    match = _FILE.fullmatch(name)
    given, path = match.groups() if match else (None, name)
    words = re.split(r"[^a-z]+", Path(path).stem.lower())
    named = {given} if given else {_NAMES[word] for word in words if word in _NAMES}
    if len(named) != 1:
        raise ConfigError(f"{path}: its name must say train, val or eval, or put it in front: test={path}")
    return named.pop(), path


def _import(run: Run, splits: Sequence[tuple[str, str]], recipe: str) -> Iterator[str]:
    """Features file by file, then the splits, so that half an import is none."""
    from model.originals.clips import name_apart, read_clips, tables_of_clips

    tombstones, taken = read_tombstones(run.root), set[str]()
    videos: dict[str, set[str]] = defaultdict(set)
    drawn: list[pa.Table] = []
    sizes: dict[tuple[int, int], str] = {}
    for split, path in splits:
        read = read_clips(path)
        kept = [clip for clip in read if not is_tombstoned(tombstones, "video", clip.video_id)]
        clips = name_apart(kept, taken)
        sizes[len(read[0].pooled["2d"]), len(read[0].pooled["3d"])] = path
        if len(sizes) > 1:
            raise ValueError(f"features of several sizes cannot be in one root: {sizes}")
        most = run.config.run.clips_per_batch
        for start in range(0, len(clips), most):
            made = tables_of_clips(clips[start : start + most], split)
            drawn.append(made.pop("splits"))
            for name, table in made.items():
                run.write(name, table, recipe)
        videos[split] |= {clip.video_id for clip in clips}
        yield f"{split}: {len(clips):,} clips of {len({clip.video_id for clip in clips}):,} videos from {path}"
        if len(kept) < len(read):
            yield f"{len(read) - len(kept)} clips of videos that were taken down are left out"
    run.write("splits", pa.concat_tables(drawn), recipe)
    for table in TABLES_WRITTEN:
        run.record(table, recipe)
    names = sorted(videos)
    for first, second in [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]:
        if both := videos[first] & videos[second]:
            yield f"{len(both)} videos are in {first} and in {second}, such as {min(both)}: not a clean test"


@flow(name="export-original")
@prepared("export-original")
def export_original(config: Config, out: str) -> list[str]:
    """Each split's clips as a pickle that the authors' loader reads.

    Returns:
        The files written: OUT/clips_train.pkl and so on.

    Raises:
        ValueError: no split has features.
    """
    from model.data import has_split, load_clips
    from model.originals.clips import write_pickle

    paths = []
    for split in ("train", "val", "test"):
        if has_split(config.root, split):
            clips = load_clips(config.root, split)
            half = load_clips(config.root, split, ("2d",)).video_dim
            paths.append(f"{out}/clips_{'eval' if split == 'test' else split}.pkl")
            write_pickle(clips, half, paths[-1])
    if not paths:
        raise ValueError(f"{config.root} has no clips: name a root with features, or a release")
    return paths
