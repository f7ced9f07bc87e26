"""Is every file of a release there, listed, and what was published, and nothing besides?

SHA256SUMS lists every file. manifest.json lists the shards once more, run.json the other papers, and the manifest the
facts of run.json: so a file and its line cannot be changed without a third that says so. All of them changed together
are found by a signature alone (datasets.releases.signatures).
"""

import hashlib
import json
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from datasets.files import is_local, join_path, read_json, sha256_of, write_bytes
from datasets.outside_text import one_line
from datasets.releases.bill import BILL_FILE
from datasets.releases.layout import MANIFEST_FILE, PAPERS, RUN_JSON, SIGNATURE_FILE, SUMS_FILE, is_inside

MAX_PAPER_BYTES = 1 << 30
"""Papers are read whole; a manifest has some hundred bytes a shard, and a name for each clip that a family lacks."""
# What the Hub, and its client beside a downloaded copy, add; no reader of a release looks at them.
_NOT_OURS = (SUMS_FILE, SIGNATURE_FILE, ".gitattributes")
_OF_THE_HUBS_CLIENT = re.compile(r"\.cache/huggingface/(\.gitignore|CACHEDIR\.TAG|.+\.(metadata|lock|incomplete))")
# What papers and shards of strangers make Python and Arrow raise.
UNFIT = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    OSError,
    RecursionError,
    EOFError,
    tarfile.TarError,
    zlib.error,
    pa.ArrowException,
)
_LINE = re.compile(r"([0-9a-f]{64})  (.+)\n")
_SUM_OF_NOTHING = hashlib.sha256().hexdigest()


def sum_files(folder: Path, leave_out: Container[str] = ()) -> dict[str, str]:
    """{path within the folder: sha256} of its files; hidden ones, a signature and those of `leave_out` aside."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    hidden = {name for name in paths if name.startswith(".") or name == SIGNATURE_FILE}
    return {name: sha256_of(path) for name, path in paths.items() if name not in leave_out and name not in hidden}


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write SHA256SUMS: a line a file, sorted by path."""
    lines = [f"{digest}  {path}\n" for path, digest in sorted(sums.items())]
    write_bytes(folder / SUMS_FILE, "".join(lines).encode())


def sum_facts(run: Mapping[str, Any]) -> str:
    """sha256 of what run.json says beside the sums of the papers; the manifest holds it."""
    facts = {name: value for name, value in run.items() if name not in ("papers", "config")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_sums(release: str | Path) -> dict[str, str]:
    """{path: sha256} of a release's SHA256SUMS; empty without one. What `check_list` finds in it is left out."""
    return {path: digest for digest, path in _read_lines(release) if digest and is_inside(path)}


def _read_lines(release: str | Path) -> list[tuple[str, str]]:
    """(sha256, path) of each line; a line that is none has an empty sum."""
    fs, base = fsspec.core.url_to_fs(str(release))
    try:
        text = fs.cat_file(join_path(base, SUMS_FILE)).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    matches = [(_LINE.fullmatch(line), line) for line in re.split(r"(?<=\n)", text) if line]
    return [(match.group(1), match.group(2)) if match else ("", line) for match, line in matches]


def run_checks(place: str, checks: Iterable[Callable[[str], Iterable[str]]]) -> list[str]:
    """What the first check that finds anything finds, one line each, fit for a terminal: the next may need it whole."""
    problems: list[str] = []
    try:
        for check in checks:
            for problem in check(place) if not problems else ():
                problems.append(one_line(problem))  # one by one: the next may not be found without an error
    except UNFIT as error:
        problems.append(one_line(f"{place}: its papers do not fit together: {type(error).__name__}: {error}"))
    return problems


def check_place(place: str) -> Iterator[str]:
    """What lies in a release or an export that cannot be read, or not to its end; to be asked before anything is."""
    for path, what in _list_files(place)[1].items():
        yield f"{one_line(path)}: {what}"


def check_seals(release: str) -> Iterator[str]:
    """What does not hold, the list's own faults first, then file by file."""
    yield from check_list(release, PAPERS)
    sums = read_sums(release)
    for path in sums:
        if not path.startswith("data/") and path not in (*PAPERS, BILL_FILE):
            yield f"{one_line(path)}: no paper that a release has"
    problems = list(check_files(release, sums, _second_sums(release)))
    yield from problems or _check_second_sums(release, sums)


def check_list(place: str, papers: Sequence[str]) -> Iterator[str]:
    """What does not hold of SHA256SUMS itself.

    Args:
        place: folder or URL of a release or of an export.
        papers: what it has to list.
    """
    lines = _read_lines(place)
    if not lines:
        yield f"{SUMS_FILE}: missing or empty: the release is not complete"
        return
    for digest, path in lines:
        if not digest:
            yield f"{SUMS_FILE}: not a sum and a name: {one_line(path)!r}"
        elif not is_inside(path):
            yield f"{SUMS_FILE}: names a file outside of the release: {one_line(path)!r}"
        elif digest == _SUM_OF_NOTHING:
            yield f"{one_line(path)}: empty, and no published file is"
    names = [path for _, path in lines]
    for path, times in Counter(names).items():
        if times > 1:
            yield f"{SUMS_FILE}: names {one_line(path)} more than once"
    if names != sorted(names):
        yield f"{SUMS_FILE}: not in the order of its names"
    for paper in papers:
        if paper not in names:
            yield f"{SUMS_FILE}: does not list {paper}, which has to be there"


def check_files(release: str, sums: Mapping[str, str], second: Mapping[str, tuple[str, int | None]]) -> Iterator[str]:
    """Every listed file against its sum, and what lies there without being listed.

    Args:
        release: folder or URL.
        sums: {path: sha256} by its SHA256SUMS.
        second: {path: (sha256, bytes if they are told)} by its other papers, which tell whether a file or its sum was
            changed; a file of another size is not read, as it may be a terabyte of holes.
    """
    fs, base = fsspec.core.url_to_fs(release)
    there, _ = _list_files(release)
    for path in sums:
        if path not in there:
            yield f"{path}: missing"
    for path in (path for path in sums if path in there):
        told, told_bytes = second.get(path, (None, None))
        is_of_its_size = None in (told_bytes, there[path]) or there[path] == told_bytes
        digest = sha256_of(join_path(base, path), fs) if is_of_its_size else None
        if digest != sums[path]:
            # Where the second list agrees with the file, the first is what changed.
            yield f"{SUMS_FILE if digest is not None and digest == told else path}: not the bytes that were published"
    for path in sorted(set(there) - set(sums)):
        if path not in _NOT_OURS and not _OF_THE_HUBS_CLIENT.fullmatch(path):
            yield f"{one_line(path)}: not in {SUMS_FILE}"


def _list_files(place: str) -> tuple[dict[str, int | None], dict[str, str]]:
    """({path: bytes, if told} of the files below a folder or URL, {path: why not} of what is not to be opened)."""
    fs, local = fsspec.core.url_to_fs(place)
    base, strange = local.rstrip("/"), dict[str, str]()
    if not is_local(fs):
        found = fs.find(base, detail=True)
        sizes = {path.removeprefix(base).lstrip("/"): told.get("size") for path, told in found.items()}
    else:
        sizes = {}
        for folder, folders, names in os.walk(base):
            for entry in (Path(folder) / name for name in (*folders, *names)):
                name = entry.relative_to(base).as_posix()
                if entry.is_symlink():
                    strange[name] = "a link, and only files are published"
                elif entry.is_file():
                    sizes[name] = entry.stat().st_size
                elif not entry.is_dir():
                    strange[name] = "a pipe, socket or device, and only files are published"
                elif not f"{name}/".startswith(".cache/huggingface/") and not any(entry.iterdir()):
                    strange[name] = "an empty folder, and only files are published"
    large = {
        path: size for path, size in sizes.items() if (size or 0) > MAX_PAPER_BYTES and not path.startswith("data/")
    }
    return sizes, strange | {path: f"{size:,} bytes are no paper" for path, size in large.items()}


def _second_sums(release: str) -> dict[str, tuple[str, int | None]]:
    """What manifest.json and run.json say of the other files: (sha256, bytes); nothing where they are damaged."""
    try:
        shards = read_json(f"{release}/{MANIFEST_FILE}")["files"]
        papers = read_json(f"{release}/{RUN_JSON}")["papers"].items()
        return {
            **{file["path"]: (file["sha256"], file["bytes"]) for file in shards},
            **{path: (digest, None) for path, digest in papers},
        }
    except UNFIT:
        return {}


def read_object(path: str) -> dict[str, Any]:
    """An object of JSON; raises ValueError for a name that stands twice in one, of which each reader takes another."""

    def take_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in it")
        return found

    with fsspec.open(path, "rb") as opened:
        found = json.load(opened, object_pairs_hook=take_once)
    if not isinstance(found, dict):
        raise TypeError("it is none")
    return found


def _check_second_sums(release: str, sums: Mapping[str, str]) -> Iterator[str]:
    """The two lists of the same files against each other, although every file is what the first says."""
    for name in (name for name in sums if name.endswith(".json")):
        try:
            read_object(f"{release}/{name}")
        except UNFIT as error:
            yield f"{name}: is no object of JSON: {error}"
            return
    second = _second_sums(release)
    for path in sorted({*sums, *map(str, second)} - {RUN_JSON}):
        if path not in second:
            yield f"{path}: in {SUMS_FILE}, and neither in {MANIFEST_FILE} nor in {RUN_JSON}"
        elif path not in sums:
            yield f"{one_line(path)}: in {MANIFEST_FILE} or {RUN_JSON}, and not in {SUMS_FILE}"
        elif sums[path] != second[path][0]:
            where = MANIFEST_FILE if path.startswith("data/") else RUN_JSON
            yield f"{path}: not the bytes that were published: {SUMS_FILE} and {where} have other sums of it"
    manifest = read_json(f"{release}/{MANIFEST_FILE}")
    has_facts = "run_sha256" in manifest or manifest.get("release_format") != 1
    if has_facts and manifest.get("run_sha256") != sum_facts(read_json(f"{release}/{RUN_JSON}")):
        yield f"{RUN_JSON}: not what {MANIFEST_FILE} says it held"
