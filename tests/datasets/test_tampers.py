"""What somebody may do to a release between its publisher and its reader, one row a kind; `verify` must find each."""

import hashlib
import json
import os
import shutil
from datetime import date
from pathlib import Path

import minisign
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from datasets.ids import make_clip_id
from datasets.releases.build import build_release, seal_release
from datasets.releases.layout import PAPERS, release_path
from datasets.releases.settings import PublishSettings
from datasets.releases.shards import FAMILIES
from datasets.releases.signatures import read_public_key, sign_release
from datasets.releases.verify import verify_place, verify_release, verify_root
from datasets.tombstones import hash_id
from tests.small_tables import FACTS, RUN, make_root, video_name

SETTINGS = PublishSettings(name="small", tiny_clips=2, small_clips=4, clips_per_shard=3)
SHARD = "data/pooled/train-00000-of-00003.parquet"
METADATA = "data/metadata/train-00000-of-00003.parquet"
FEATURES = "data/features_2d/train-00000-of-00003.parquet"
LOG_MEL = "data/log_mel/train-00000-of-00003.parquet"
KEY = minisign.KeyPair.generate()


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    root = make_root(tmp_path_factory.mktemp("tampered") / "root")
    build_release(root, SETTINGS, RUN, date(2026, 11, 24), FACTS)
    release = Path(release_path(root, "1.0.0"))
    sign_release(release, KEY.secret_key)
    return release


@pytest.fixture
def release(signed, tmp_path):
    return Path(shutil.copytree(signed, tmp_path / "copy"))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit_json(release, name, edit):
    value = json.loads((release / name).read_text())
    edit(value)
    (release / name).write_text(json.dumps(value))


def edit_lines(release, edit):
    """SHA256SUMS as a list of lines, to change in place."""
    lines = (release / "SHA256SUMS").read_text().splitlines()
    edit(lines)
    (release / "SHA256SUMS").write_text("".join(f"{line}\n" for line in lines))


def renew_line(release, name):
    edit_lines(release, lambda lines: lines.__setitem__(slice(None), [
        f"{sha256(release / name)}  {name}" if line.endswith(f"  {name}") else line for line in lines
    ]))  # fmt: skip


def drop_line(release, name):
    edit_lines(release, lambda lines: lines.remove(next(line for line in lines if line.endswith(f"  {name}"))))


def reseal(release):
    """All that the shards and papers say of each other renewed, as whoever wants to be believed would do."""

    def renew(manifest):
        for file in manifest["files"]:
            path = release / file["path"]
            file |= {"sha256": sha256(path), "bytes": path.stat().st_size, "rows": pq.read_metadata(path).num_rows}
        for family, told in manifest["families"].items():
            own = [file for file in manifest["files"] if file["family"] == family]
            told |= {key: sum(file[key] for file in own) for key in ("rows", "bytes")}

    edit_json(release, "manifest.json", renew)
    run = json.loads((release / "run.json").read_text())
    for name in ("run.json", "SHA256SUMS"):
        (release / name).unlink()
    seal_release(release, {name: value for name, value in run.items() if name != "papers"})


def edit_shard(release, path, edit):
    table = pq.read_table(release / path, partitioning=None)
    pq.write_table(edit(table), release / path, use_dictionary=False, compression="zstd")


def append(name, renewed=False):
    def tamper(release):
        with (release / name).open("ab") as file:
            file.write(b" ")
        if renewed:
            renew_line(release, name)

    return tamper


def append_with_line_dropped(name):
    def tamper(release):
        append(name)(release)
        drop_line(release, name)

    return tamper


def remove_with_line(name):
    def tamper(release):
        (release / name).unlink()
        drop_line(release, name)

    return tamper


def add(name, listed=False):
    def tamper(release):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text("more")
        if listed:
            edit_lines(release, lambda lines: lines.append(f"{sha256(release / name)}  {name}"))

    return tamper


def link(name, target):
    def tamper(release):
        shutil.move(release / name, release.parent / "elsewhere")
        (release / name).symlink_to(target(release))

    return tamper


def pipe(name):
    def tamper(release):
        (release / name).unlink(missing_ok=True)
        os.mkfifo(release / name)

    return tamper


def line(edit):
    return lambda release: edit_lines(release, edit)


def resealed(path, edit):
    def tamper(release):
        edit_shard(release, path, edit)
        reseal(release)

    return tamper


def manifest(edit):
    """Another manifest, with everything sealed anew."""

    def tamper(release):
        edit_json(release, "manifest.json", edit)
        reseal(release)

    return tamper


def drop_family(family):
    def tamper(release):
        shutil.rmtree(release / "data" / family)

        def forget(told):
            told["families"].pop(family)
            told["files"] = [file for file in told["files"] if file["family"] != family]

        edit_json(release, "manifest.json", forget)
        reseal(release)

    return tamper


def replace_column(name, change):
    return lambda table: table.set_column(table.column_names.index(name), name, change(table[name]))


def carry_what_was_taken_down(release):
    (release / "tombstones.tsv").write_text(f"kind\thash\nvideo\t{hash_id('video', video_name(0))}\n")
    reseal(release)


def paper_resealed(name, edit):
    def tamper(release):
        edit_json(release, name, edit)
        reseal(release)

    return tamper


def spoil(number):
    """The first number of a column's vectors, however deep they lie, in place of what it was."""

    def change(values):
        rows = inner = values.to_pylist()
        while isinstance(inner[0], list):
            inner = inner[0]
        inner[0] = number
        return pa.array(rows, values.type)

    return change


def take_first(value):
    return lambda values: pa.array([value, *values.to_pylist()[1:]], values.type)


def as_format_1(release):
    edit_shard(release, SHARD, lambda table: table.slice(1))
    edit_json(release, "manifest.json", lambda told: told.update(release_format=1))
    reseal(release)


def rewrite(name, change):
    return lambda release: (release / name).write_bytes(change((release / name).read_bytes()))


def paper_rewritten(name, text):
    def tamper(release):
        (release / name).write_text(text)
        reseal(release)

    return tamper


def swap_shards(release):
    one, other = release / SHARD, release / "data/pooled/train-00001-of-00003.parquet"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    reseal(release)


def drop_split(release):
    for path in release.glob("data/*/val-*.parquet"):
        path.unlink()

    def forget(told):
        told["files"] = [file for file in told["files"] if file["split"] != "val"]
        told["splits"].pop("val")
        for tier in told["tiers"].values():
            tier.pop("val")

    edit_json(release, "manifest.json", forget)
    reseal(release)


def add_listed_everywhere(name):
    """A file that no release has, in every list that names files."""

    def tamper(release):
        add(name)(release)
        reseal(release)

    return tamper


def as_another_family(release):
    shutil.copytree(release / "data/pooled", release / "data/others")
    metadata = {"table": "others", "schema_version": pq.read_schema(release / SHARD).metadata[b"schema_version"]}

    def name_it(told):
        told["families"]["others"] = told["families"]["pooled"] | {"made": {}}
        for file in [file for file in told["files"] if file["family"] == "pooled"]:
            path = file["path"].replace("pooled", "others")
            edit_shard(release, path, lambda table: table.replace_schema_metadata(metadata))
            told["files"].append(file | {"family": "others", "path": path})

    edit_json(release, "manifest.json", name_it)
    reseal(release)


def edit_shards(release, edit):
    """The train shards of every family, as the list of their tables, changed alike."""
    for family in FAMILIES:
        paths = sorted((release / "data" / family).glob("train-*.parquet"))
        tables = edit([pq.read_table(path, partitioning=None) for path in paths])
        for path, table in zip(paths, tables, strict=True):
            pq.write_table(table, path, use_dictionary=False, compression="zstd")
    reseal(release)


def move_a_clip_to_the_next_shard(release):
    edit_shards(release, lambda tables: [
        tables[0].slice(0, len(tables[0]) - 1),
        pa.concat_tables([tables[0].slice(len(tables[0]) - 1), tables[1]]),
        *tables[2:],
    ])  # fmt: skip


def exchange_clips_of_two_shards(release):
    def exchange(tables):
        whole = pa.concat_tables(tables)
        first, second = len(tables[0]), len(tables[1])
        order = [first, *range(1, first), 0, *range(first + 1, len(whole))]
        parts = [whole.take(order).slice(0, first), whole.take(order).slice(first, second)]
        return [*(part.sort_by("clip_id") for part in parts), *tables[2:]]

    edit_shards(release, exchange)


def shorten_first(values):
    rows = values.to_pylist()
    return pa.array([rows[0][:-1], *rows[1:]], values.type)


def halve_the_first_sound(table):
    values = table["values"].to_pylist()
    values[0] = values[0][:300]
    frames = [len(rows) for rows in values]
    for name, new in (("values", values), ("num_frames", frames)):
        table = replace_column(name, lambda old, new=new: pa.array(new, old.type))(table)
    return table


def change_times(change):
    """The times of the first clip's rows."""

    def tamper(values):
        first, *others = values.to_pylist()
        return pa.array([change(first), *others], values.type)

    return resealed(FEATURES, replace_column("row_start_ms", tamper))


def say_a_name_twice(release):
    (release / "croissant.json").write_text('{"name": "other", ' + (release / "croissant.json").read_text()[1:])
    reseal(release)


def forget_what_run_json_said(release):
    edit_json(release, "run.json", lambda run: run.update(code_version="other"))
    edit_json(release, "manifest.json", lambda told: told.pop("run_sha256"))
    reseal(release)


TAMPERS = {
    **{f"{name} changed": (append(name), name) for name in (*PAPERS, SHARD)},
    **{f"{name} changed, its line renewed": (append(name, True), name) for name in (*PAPERS, SHARD)
       if name not in ("manifest.json", "run.json")},
    **{f"{name} changed, its line dropped": (append_with_line_dropped(name), name) for name in (*PAPERS, SHARD)},
    **{f"{name} gone with its line": (remove_with_line(name), name) for name in (*PAPERS, SHARD)},
    "a fact of run.json changed, its line renewed": (
        lambda release: (edit_json(release, "run.json", lambda run: run.update(code_version="other")),
                         renew_line(release, "run.json")), "run.json"),
    "the manifest changed, its line renewed": (
        lambda release: (edit_json(release, "manifest.json", lambda told: told.update(name="other")),
                         renew_line(release, "manifest.json")), "manifest.json"),
    "a paper gone": (lambda release: (release / "LICENSE").unlink(), "LICENSE: missing"),
    "SHA256SUMS gone": (lambda release: (release / "SHA256SUMS").unlink(), "SHA256SUMS: missing"),
    "SHA256SUMS empty": (lambda release: (release / "SHA256SUMS").write_text(""), "SHA256SUMS: missing or empty"),
    "a file beside": (add("notes.txt"), "notes.txt: not in SHA256SUMS"),
    "a hidden file beside": (add(".hidden"), ".hidden: not in SHA256SUMS"),
    "a file within data": (add("data/pooled/extra.parquet"), "extra.parquet: not in SHA256SUMS"),
    "a file in a new folder": (add("more/setup.py"), "more/setup.py: not in SHA256SUMS"),
    "a file whose name differs by case alone": (add("readme.md"), "readme.md: not in SHA256SUMS"),
    "a program beside, listed": (add("setup.py", listed=True), "setup.py: in SHA256SUMS, and neither"),
    "a name of control characters": (add("\x1b[2Jx"), "\\x1b[2Jx: not in SHA256SUMS"),
    "a shard that is a link out": (link(SHARD, lambda release: release.parent / "elsewhere"), f"{SHARD}: a link"),
    "a paper that is a link within": (link("LICENSE", lambda release: release / "README.md"), "LICENSE: a link"),
    "a folder that is a link": (link("data/pooled", lambda release: release.parent / "elsewhere"), "pooled: a link"),
    "a link to nowhere": (lambda release: (release / "x").symlink_to("nowhere"), "x: a link"),
    "a pipe in a shard's place": (pipe(SHARD), f"{SHARD}: a pipe"),
    "a pipe beside": (pipe("pipe"), "pipe: a pipe"),
    "a folder in a paper's place": (
        lambda release: ((release / "LICENSE").unlink(), (release / "LICENSE").mkdir()), "LICENSE: an empty folder"),
    "a name twice": (line(lambda lines: lines.append(lines[0])), "more than once"),
    "a name twice, with another sum": (line(lambda lines: lines.insert(0, "0" * 64 + lines[0][64:])), "more than once"),
    "a line that is none": (line(lambda lines: lines.append("hello")), "not a sum and a name"),
    "a short sum": (line(lambda lines: lines.__setitem__(0, lines[0][1:])), "not a sum and a name"),
    "a name out of the release": (line(lambda lines: lines.append("0" * 64 + "  ../x")), "outside of the release"),
    "an absolute name": (line(lambda lines: lines.append("0" * 64 + "  /etc/hosts")), "outside of the release"),
    "a name that chains another file system": (
        line(lambda lines: lines.append("0" * 64 + "  x::file:///etc/hosts")), "outside of the release"),
    "a sum of another file": (line(lambda lines: lines.__setitem__(3, "0" * 64 + lines[3][64:])), "not the bytes"),
    "a row dropped from one family": (resealed(SHARD, lambda table: table.slice(1)), "data/pooled: lacks 1 clips"),
    "a row dropped from metadata": (resealed(METADATA, lambda table: table.slice(1)), "does not have"),
    "a row twice": (resealed(SHARD, lambda table: pa.concat_tables([table, table.slice(0, 1)])), "each once"),
    "rows in another order": (resealed(SHARD, lambda table: table.take([1, 0])), "not in order"),
    "ids of two clips swapped": (
        resealed(SHARD, replace_column("clip_id", lambda ids: ids.take(pa.array([1, 0])))), "not in order"),
    "a clip of another video": (
        resealed(SHARD, replace_column("video_id", lambda ids: pa.array(["stranger-01"] * len(ids)))), "other videos"),
    "other times than the id says": (
        resealed(METADATA, replace_column("end_ms", lambda ms: pc.add(ms, 1))), "its own video and times"),
    "a clip moved to another split": (
        resealed(METADATA, replace_column("split", lambda split: pa.array(["test"] * len(split)))), "another split"),
    "a column dropped": (resealed(SHARD, lambda table: table.drop_columns("pooled_3d")), "other columns"),
    "a column added": (resealed(SHARD, lambda table: table.append_column("x", table["clip_id"])), "other columns"),
    "a column of another type": (
        resealed(METADATA, replace_column("speech_ms", lambda ms: ms.cast(pa.int32()))), "other columns"),
    "another recipe in a shard": (
        resealed(SHARD, lambda table: table.replace_schema_metadata({"table": "pooled"})), "made otherwise"),
    "an empty shard": (resealed(SHARD, lambda table: table.slice(0, 0)), "lacks 2 clips"),
    "shards swapped": (swap_shards, "does not have"),
    **{f"the family {family} dropped": (drop_family(family), family) for family in FAMILIES},
    "a split dropped": (drop_split, "splits.certificate.json"),
    "other counts of a split": (
        manifest(lambda told: told["splits"]["train"].update(clips=1)), "manifest.json: says"),
    "other tiers": (manifest(lambda told: told["tiers"]["tiny"].update(train=2)), "tiers"),
    "another recipe in the manifest": (
        manifest(lambda told: told["families"]["pooled"]["made"].update(recipe="x")), "made otherwise"),
    "a file listed twice": (manifest(lambda told: told["files"].append(told["files"][0])), "in order"),
    "a shard of a family that is none": (
        manifest(lambda told: told["files"][0].update(family="other")), "do not fit together"),
    "no files": (manifest(lambda told: told.update(files=[])), "in order"),
    "a clip named as absent that is there": (
        manifest(lambda told: told["families"]["pooled"].update(absent=[make_clip_id(video_name(0), 0, 6000)])),
        "lacks 0 clips"),
    "the certificate says no": (
        paper_resealed("splits.certificate.json", lambda told: told.update(passed=False)), "do not hold"),
    "the certificate of other splits": (
        paper_resealed("splits.certificate.json", lambda told: told["digests"].update(splits="0")),
        "another assignment"),
    "something that was taken down": (carry_what_was_taken_down, "taken down"),
    "a manifest that is no JSON": (
        lambda release: ((release / "manifest.json").write_text("{"), renew_line(release, "manifest.json")),
        "manifest.json"),
    "a manifest nested 200,000 deep": (
        lambda release: ((release / "manifest.json").write_text("[" * 200_000), renew_line(release, "manifest.json")),
        "manifest.json"),
    "line ends of another system": (rewrite("SHA256SUMS", lambda text: text.replace(b"\n", b"\r\n")), "SHA256SUMS: "),
    "sums in capitals": (rewrite("SHA256SUMS", lambda text: text[:64].upper() + text[64:]), "not a sum and a name"),
    "a mark before the first sum": (rewrite("SHA256SUMS", lambda text: b"\xef\xbb\xbf" + text), "not a sum and a name"),
    "a name by another way": (
        rewrite("SHA256SUMS", lambda text: text.replace(b"  README.md", b"  ./README.md")), "not list README.md"),
    "an empty folder": (lambda release: (release / "more").mkdir(), "more: an empty folder"),
    "a folder in the signature's place": (
        lambda release: ((release / "SHA256SUMS.minisig").unlink(), (release / "SHA256SUMS.minisig").mkdir()),
        "an empty folder"),
    "a program among what the hub's client adds": (
        add(".cache/huggingface/download/setup.py"), "setup.py: not in SHA256SUMS"),
    **{f"{number} in {family}": (resealed(path, replace_column(column, spoil(number))), "not of finite numbers")
       for number in (float("nan"), float("inf"))
       for family, path, column in (("pooled", SHARD, "pooled_2d"), ("features 2d", FEATURES, "values"),
                                    ("log mel", LOG_MEL, "values"))},
    "a vector missing": (resealed(SHARD, replace_column("pooled_2d", take_first(None))), "missing, empty"),
    "a clip without a row of values": (resealed(FEATURES, replace_column("values", take_first([]))), "missing, empty"),
    "more speech than the clip is long": (
        resealed(METADATA, replace_column("speech_ms", take_first(10**9))), "of more than its length"),
    "less than no speech": (resealed(METADATA, replace_column("speech_ms", take_first(-1))), "less than no speech"),
    "said to be of the first format, to lack a clip": (as_format_1, "not of the format 1"),
    "of a format to come": (manifest(lambda told: told.update(release_format=99)), "not of the format 99"),
    "a version with colours": (manifest(lambda told: told.update(version="1\x1b[2J")), "a version is three numbers"),
    "another name": (manifest(lambda told: told.update(name="other")), "has two names"),
    "the certificate says no, in a word": (
        paper_resealed("splits.certificate.json", lambda told: told.update(passed="no")), "do not hold"),
    "no table of what was removed": (paper_rewritten("removed.tsv", "nothing\n"), "removed.tsv: is no table"),
    "tombstones swept away": (paper_rewritten("tombstones.tsv", ""), "tombstones.tsv: empty"),
    "a shard cut short": (
        lambda release: (release / SHARD).write_bytes((release / SHARD).read_bytes()[:-9]), "not the bytes"),
    "a program beside, listed everywhere": (add_listed_everywhere("setup.py"), "setup.py: no paper that a release has"),
    "a withdrawal that says nothing, listed everywhere": (
        paper_rewritten("WITHDRAWN.json", "null"), "WITHDRAWN.json: no paper that a release has"),
    **{f"a pipe in the place of {name}": (pipe(name), f"{name}: a pipe")
       for name in ("SHA256SUMS", "SHA256SUMS.minisig", "manifest.json", "run.json", "WITHDRAWN.json")},
    "a withdrawal without an end": (
        lambda release: (release / "WITHDRAWN.json").symlink_to("/dev/zero"), "WITHDRAWN.json: a link"),
    "a list of sums of a terabyte": (
        lambda release: os.truncate(release / "SHA256SUMS", 1 << 40), "SHA256SUMS: 1,099,511,627,776 bytes"),
    "lines in another order": (line(lambda lines: lines.reverse()), "not in the order of its names"),
    "an empty folder that looks like the Hub's": (lambda release: (release / ".cache2").mkdir(), ".cache2: an empty"),
    "a family that no release has": (as_another_family, "which no release has"),
    "a clip moved to the next shard, in every family": (move_a_clip_to_the_next_shard, "not where its sizes say"),
    "clips of two shards exchanged, in every family": (exchange_clips_of_two_shards, "not in order from shard"),
    "more frames than there are": (resealed(LOG_MEL, replace_column("num_frames", take_first(10**6))), "than it says"),
    "fewer frames than there are": (resealed(LOG_MEL, replace_column("num_frames", take_first(1))), "than it says"),
    "a row without its time": (resealed(FEATURES, replace_column("row_start_ms", shorten_first)), "than it says"),
    "a vector of another length": (
        resealed(SHARD, replace_column("pooled_2d", shorten_first)), "vectors of pooled_2d of more than one length"),
    "facts of run.json that nobody vouches for": (forget_what_run_json_said, "run.json: not what"),
    "a check of the certificate that failed": (
        paper_resealed("splits.certificate.json",
                       lambda told: told["checks"]["no clip twice"].update(passed=False)), "do not hold"),
    "a certificate without checks": (
        paper_resealed("splits.certificate.json", lambda told: told.update(checks={})), "do not hold"),
    "a tombstone in capitals": (
        paper_rewritten("tombstones.tsv", f"kind\thash\nvideo\t{hash_id('video', video_name(0)).upper()}\n"),
        "tombstones.tsv: is no table"),
    "a tombstone of no kind": (
        paper_rewritten("tombstones.tsv", f"kind\thash\nvide\t{hash_id('video', video_name(0))}\n"),
        "tombstones.tsv: is no table"),
    "a removal without a hash": (
        paper_rewritten("removed.tsv", "video_hash\treason\tversion\nx\ttombstoned\t1.0.0\n"),
        "removed.tsv: is no table"),
    "posing as an export": (add("export.json"), "export.json: not in SHA256SUMS"),
    "half of a clip's sound, told as if it were all": (resealed(LOG_MEL, halve_the_first_sound), "more or fewer rows"),
    "times of rows that run back": (change_times(lambda times: times[::-1]), "not in order within it"),
    "times of rows outside of their clip": (
        change_times(lambda times: [time + 10**6 for time in times]), "not in order within it"),
    "a time that is missing": (change_times(lambda times: [None, *times[1:]]), "not in order within it"),
    "a channel by its name": (
        resealed(METADATA, replace_column("channel_hash", take_first("UCcook"))), "a channel_hash that no release has"),
    **{f"an address of {kind}": (
        resealed(METADATA, replace_column("url", take_first(url))), "a url that no release has")
       for kind, url in (("this machine", "file:///etc/passwd"), ("a program", "javascript:alert(1)"))},
    "a version that follows a later one": (manifest(lambda told: told.update(previous="9.0.0")), "no version before"),
    "a version that follows itself": (manifest(lambda told: told.update(previous="1.0.0")), "no version before it"),
    "Croissant of another name": (
        paper_resealed("croissant.json", lambda told: told.update(name="other")), "another release"),
    "Croissant of another version": (
        paper_resealed("croissant.json", lambda told: told.update(version="9.0.0")), "another release"),
    "Croissant that is no JSON": (paper_rewritten("croissant.json", "{"), "croissant.json: is no object of JSON"),
    "Croissant that is a list": (paper_rewritten("croissant.json", "[]"), "croissant.json: is no object of JSON"),
    "a paper that says two things": (say_a_name_twice, "croissant.json: is no object of JSON"),
    **{f"{name} emptied": (paper_rewritten(name, ""), f"{name}: empty") for name in ("LICENSE", "README.md")},
    "no end of the last line": (rewrite("SHA256SUMS", lambda text: text[:-1]), "not a sum and a name"),
    "an empty folder where the Hub's client has one": (
        lambda release: (release / ".cache" / "more").mkdir(parents=True), ".cache/more: an empty folder"),
    "a shard of a terabyte": (lambda release: os.truncate(release / SHARD, 1 << 40), f"{SHARD}: not the bytes"),
    "a shard of nothing, listed": (
        lambda release: ((release / SHARD).write_bytes(b""), renew_line(release, SHARD)), SHARD),
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERS)
def test_a_tamper_is_found(release, kind):
    tamper, words = TAMPERS[kind]
    tamper(release)
    problems = verify_place(release)
    assert any(words in problem for problem in problems), problems
    assert all(problem.isprintable() for problem in problems)


def permute_values(release):
    edit_shard(release, SHARD, replace_column("pooled_2d", lambda values: values.take(pa.array([1, 0]))))
    metadata = pq.read_schema(release / "data/pooled/val-00000-of-00002.parquet").metadata
    edit_shard(release, SHARD, lambda table: table.replace_schema_metadata(metadata))
    reseal(release)


def rewrite_the_card(release):
    append("README.md")(release)
    reseal(release)


def another_signature(release):
    (release / "SHA256SUMS.minisig").unlink()
    sign_release(release, minisign.KeyPair.generate().secret_key)


def another_comment(release):
    path = release / "SHA256SUMS.minisig"
    path.write_text(path.read_text().replace("small 1.0.0", "small 9.0.0"))


UNSEEN_BY_SUMS = {
    "values permuted, everything sealed anew": permute_values,
    "the card rewritten, everything sealed anew": rewrite_the_card,
    "signed by somebody else": another_signature,
    "the signature's comment changed": another_comment,
    "the signature gone": lambda release: (release / "SHA256SUMS.minisig").unlink(),
    "the signature damaged": lambda release: (release / "SHA256SUMS.minisig").write_bytes(b"\xff\x00"),
}


@pytest.mark.parametrize("kind", UNSEEN_BY_SUMS)
def test_a_signature_finds_what_the_sums_cannot(release, kind):
    key = read_public_key(KEY.public_key.to_base64().decode())
    assert verify_release(release, key) == verify_release(release) == []
    UNSEEN_BY_SUMS[kind](release)
    assert verify_release(release) == []
    assert verify_release(release, key)[0].startswith("SHA256SUMS.minisig: ")


def test_a_withdrawal_says_its_reason_without_its_colours(release):
    (release / "WITHDRAWN.json").write_text(json.dumps({"version": "1.0.0", "why": "\x1b]0;x\x07\nasked \u202e"}))
    assert verify_release(release) == ["version 1.0.0 was withdrawn: \\x1b]0;x\\x07\\nasked \\u202e"]


def test_a_release_in_the_place_of_another_version_is_found(signed, tmp_path):
    (tmp_path / "latest.json").write_text('{"version": "1.1.0"}')
    shutil.copytree(signed, tmp_path / "1.1.0")
    assert verify_root(tmp_path) == ["manifest.json: says another version than the folder 1.1.0"]
    (tmp_path / "latest.json").write_text('{"version": "../../elsewhere"}')
    assert "names no version" in verify_root(tmp_path)[0]


def test_a_withdrawn_release_that_still_holds_its_shards_is_found_in_its_root(signed, tmp_path):
    root = make_root(tmp_path / "root")
    release = Path(shutil.copytree(signed, release_path(root, "1.0.0")))
    assert verify_root(root) == []
    (release / "WITHDRAWN.json").write_text(json.dumps({"version": "1.0.0", "why": "asked"}))
    assert verify_root(root) == [
        "release 1.0.0: was withdrawn, and more than the note of it is left: run the takedown again"
    ]
    for path in release.iterdir():
        if path.name != "WITHDRAWN.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert verify_root(root) == []


def test_what_the_hub_adds_is_no_tamper(release):
    for name in (".gitattributes", ".cache/huggingface/download/README.md.metadata"):
        add(name)(release)
    assert verify_release(release) == []
