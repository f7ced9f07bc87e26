"""Exports of a release: read back by their own libraries, sealed, the same twice, gone with what was taken down."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import minisign
import numpy as np
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from datasets.erasure import withdraw_release
from datasets.files import read_json, write_json
from datasets.outcomes import OK
from datasets.releases.build import build_release, is_new
from datasets.releases.exports import export_path, seal_export, verify_export
from datasets.releases.layout import read_manifest, read_shards, release_path
from datasets.releases.settings import PublishSettings
from datasets.releases.verify import verify_place, verify_root
from datasets.tables import list_parts, make_table, read_table, write_part
from flows.__main__ import app
from flows.config import Config
from flows.destinations import send_release
from flows.exporting.build import export_release
from flows.machinery.run import Run
from flows.stages.publish import check_exports
from tests.flows.open_exports import digest
from tests.needs import READERS_PYTHON, needs_readers
from tests.small_tables import FACTS, RUN, make_root

TOP = Path(__file__).parents[2]
SETTINGS = PublishSettings(name="small", tiny_clips=2, small_clips=4, clips_per_shard=3)
FORMATS = ("webdataset", "lhotse")
ODD = 'He said: "</script>"\n玉ねぎ\tを\\切る \U0001f9c5 \x07'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A released root with words of two clips, one clip without 3D features, and its exports."""
    root = make_spoken_root(tmp_path_factory.mktemp("exports") / "root")
    clip_ids = sorted(read_table(root, "clips", ["clip_id"])["clip_id"].to_pylist())
    paths, rows = list_parts(root, "features_3d"), read_table(root, "features_3d")
    write_part(root, "features_3d", rows.filter(pc.not_equal(rows["clip_id"], clip_ids[1])))
    for path in paths:
        Path(path).unlink()
    build(root)
    for form in FORMATS:
        export_release(root, "1.0.0", form)
    return root


def make_spoken_root(folder):
    root = make_root(folder)
    clips = read_table(root, "clips", ["clip_id", "video_id"]).sort_by("clip_id").to_pylist()
    said = {"language": "ja", "confidence": 0.5, "engine": "list"}
    words = [{**clips[0], "text": ODD, **said, **OK}, {**clips[4], "text": "切る", **said, **OK}]
    write_part(root, "transcripts", make_table("transcripts", words, recipe="words", run_id="test"))
    return root


def build(root):
    return build_release(root, SETTINGS, RUN, date(2026, 11, 24), FACTS)


@pytest.fixture
def copy(root, tmp_path):
    return str(shutil.copytree(root, tmp_path / "copy"))


def open_with(form, folder):
    script = TOP / "tests" / "flows" / "open_exports.py"
    command = [sys.executable, "-P", script, form, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def read_release(root):
    """{split: {clip_id: {array: digest}}} of the release's shards, by pyarrow alone."""
    release = release_path(root, "1.0.0")
    found = {"train": {}, "val": {}, "test": {}}
    split_of = {row["clip_id"]: row["split"] for row in read_shards(release).to_pylist()}
    kinds = {"features_2d": "f2", "features_3d": "f2", "log_mel": "f4"}
    for clip_id, split in split_of.items():
        found[split][clip_id] = {}
    for family, kind in kinds.items():
        for row in read_shards(release, family).to_pylist():
            found[split_of[row["clip_id"]]][row["clip_id"]][family] = digest(np.array(row["values"], kind))
    for row in read_shards(release, "pooled").to_pylist():
        for name in ("pooled_2d", "pooled_3d"):
            found[split_of[row["clip_id"]]][row["clip_id"]][name] = digest(np.array(row[name], "f4"))
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_its_own_library_reads_every_clip_and_number_of_an_export_back(root, form):
    found = open_with(form, export_path(root, form, "1.0.0"))
    arrays = ("features_2d", "features_3d", "log_mel", "pooled_2d", "pooled_3d")
    told = {
        split: {c: {n: v for n, v in clip.items() if n in arrays} for c, clip in clips.items()}
        for split, clips in found.items()
    }
    assert told == read_release(root)
    rows = {row["clip_id"]: row for row in read_shards(release_path(root, "1.0.0")).to_pylist()}
    first = read_shards(release_path(root, "1.0.0"), "transcripts").sort_by("clip_id").to_pylist()[0]
    for split, clips in found.items():
        for clip_id, clip in clips.items():
            known = {name: value for name, value in rows[clip_id].items() if value is not None}
            assert known.items() <= clip["facts"].items() and clip["facts"]["split"] == split
            times = [known["start_ms"] + 1000 * row for row in range(6)]
            assert clip["facts"]["features_2d_row_start_ms"] == times
    spoken = found["train"][first["clip_id"]]
    text = spoken["facts"]["transcript"]["text"] if form == "webdataset" else spoken["text"][0]
    assert text == ODD


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_made_again_has_the_same_bytes(root, copy, form):
    first, second = (export_path(place, form, "1.0.0") for place in (root, copy))
    shutil.rmtree(second)
    assert export_release(copy, "1.0.0", form) == second
    assert (first / "SHA256SUMS").read_bytes() == (second / "SHA256SUMS").read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_the_code_of_an_exports_card_runs(root, form):
    folder = export_path(root, form, "1.0.0")
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 6, done.stderr


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_that_was_cut_short_is_not_there_and_is_made_anew(copy, form, monkeypatch):
    target = export_path(copy, form, "1.0.0")
    shutil.rmtree(target)
    with monkeypatch.context() as patch:
        patch.setattr("flows.exporting.build.seal_export", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export_release(copy, "1.0.0", form)
    assert not target.exists() and verify_root(copy) == []
    assert verify_export(export_release(copy, "1.0.0", form)) == [] and not list(target.parent.glob(".*"))


def test_a_search_page_is_an_export_which_holds_the_words(copy):
    folder = export_release(copy, "1.0.0", "search-page")
    assert verify_root(copy) == [] and verify_place(folder) == []
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "切る" in text and "</script>\\n" not in text


def test_a_search_page_finds_what_looks_alike_where_a_model_was_trained_on_its_clips(copy, tmp_path):
    import torch

    from model.avlnet import AVLNet

    torch.save(AVLNet(16, 10, (8, 8, 8, 16, 16)).state_dict(), tmp_path / "avlnet.pth")
    text = (export_release(copy, "1.0.0", "search-page", tmp_path / "avlnet.pth") / "index.html").read_text("utf-8")
    assert 'data-size="16"' in text


def test_a_withdrawn_release_takes_its_exports_along(copy):
    withdraw_release(copy, "1.0.0", "the owner asked", None)
    assert not list(Path(copy, "exports").rglob("*.tar")) and not list(Path(copy, "exports").rglob("*.json"))


def test_verify_finds_what_was_changed_in_an_export(copy):
    for form in FORMATS:
        folder = export_path(copy, form, "1.0.0")
        assert verify_place(folder) == []
        archive = sorted((folder / "data").rglob("*.tar"))[0]
        whole = archive.read_bytes()
        archive.write_bytes(whole[:-1] + b"?")
        named = archive.relative_to(folder).as_posix()
        assert verify_place(folder) == [f"{named}: not the bytes that were published"]
        assert f"export {form} 1.0.0: {named}: not the bytes that were published" in verify_root(copy)
        archive.write_bytes(whole)
        (folder / "data" / "more").write_text("")
        assert verify_place(folder) == ["data/more: not in SHA256SUMS"]


def test_verify_finds_a_sealed_export_with_a_video_in_two_splits_or_one_that_was_taken_down(copy):
    folder = export_path(copy, "webdataset", "1.0.0")
    told = json.loads((folder / "export.json").read_text())
    (folder / "SHA256SUMS").unlink()
    (folder / "export.json").unlink()
    twice = folder / "data" / "val-00002-of-00002.tar"
    shutil.copyfile(folder / "data" / "test-00000-of-00002.tar", twice)
    seal_export(folder, {name: value for name, value in told.items() if name != "files"})
    problems = verify_place(folder)
    assert "says 3 clips of val, the archives hold 5" in problems[0] and "has a video of another split" in problems[1]


def reseal(folder, **other):
    told = json.loads((folder / "export.json").read_text()) | other
    for name in ("SHA256SUMS", "export.json"):
        (folder / name).unlink()
    seal_export(folder, {name: value for name, value in told.items() if name != "files"})


def name_a_file_twice(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    (folder / "SHA256SUMS").write_text("".join(f"{line}\n" for line in [lines[0], *lines]))


def add_member(name, kind=tarfile.REGTYPE):
    """Another member at the end of the first archive, everything sealed anew."""

    def tamper(folder):
        with tarfile.open(min(folder.rglob("*.tar")), "a") as archive:
            clip_id = archive.getnames()[0].partition(".")[0]
            member = tarfile.TarInfo(name.replace("CLIP", clip_id))
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        reseal(folder)

    return tamper


def change_cuts(change):
    """Other lines of cuts, everything sealed anew."""

    def tamper(folder):
        path = min(folder.rglob("cuts.*.gz"))
        cuts = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        path.write_bytes(gzip.compress("".join(f"{json.dumps(cut)}\n" for cut in change(cuts)).encode()))
        reseal(folder)

    return tamper


def spoil_cuts(content):
    return lambda folder: (min(folder.rglob("cuts.*.gz")).write_bytes(content), reseal(folder))


COMMAND = {"id": "x", "sampling_rate": 16000, "sources": [{"type": "command", "channels": [0], "source": "id"}]}
CUT_TAMPERS = {
    "a cut less": (change_cuts(lambda cuts: cuts[1:]), "not the clips of its archives"),
    "a cut twice": (change_cuts(lambda cuts: [*cuts, cuts[0]]), "not the clips of its archives"),
    "a cut of another clip": (
        change_cuts(lambda cuts: [{**cuts[0], "id": "stranger"}, *cuts[1:]]), "not the clips of its archives"),
    "a cut that runs a command": (
        change_cuts(lambda cuts: [{**cuts[0], "recording": COMMAND}, *cuts[1:]]), "names a place beside"),
    "a cut that opens a file": (
        change_cuts(lambda cuts: [{**cut, "features": {**cut["features"], "storage_path": "/etc"}} for cut in cuts]),
        "names a place beside"),
    "a cut without an end": (spoil_cuts(gzip.compress(bytes(1 << 24))), "a cut of more than"),
    "cuts cut short": (spoil_cuts(gzip.compress(b"{}" * 9000)[:-20]), "do not fit together"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CUT_TAMPERS)
def test_a_tamper_of_cuts_is_found(copy, kind):
    tamper, words = CUT_TAMPERS[kind]
    folder = export_path(copy, "lhotse", "1.0.0")
    tamper(folder)
    problems = verify_place(folder)
    assert any(words in problem for problem in problems), problems


TAMPERS = {
    **{f"{kind} in an archive": (add_member(name, of), "no file of a clip, or there twice") for kind, name, of in (
        ("a link", "CLIP.more.npy", tarfile.SYMTYPE), ("a device", "CLIP.more.npy", tarfile.CHRTYPE),
        ("a pickle", "CLIP.pyd", tarfile.REGTYPE), ("a name twice", "CLIP.json", tarfile.REGTYPE),
        ("a way out", "../../etc/CLIP.json", tarfile.REGTYPE))},
    "a paper emptied": (lambda folder: ((folder / "LICENSE").write_text(""), reseal(folder)), "LICENSE: empty"),
    "a version that is none": (lambda folder: reseal(folder, version="\x1b[2J"), "a version is three numbers"),
    "a name twice": (name_a_file_twice, "more than once"),
    "a paper gone, everything sealed anew": (
        lambda folder: ((folder / "LICENSE").unlink(), reseal(folder)), "does not list LICENSE"),
    "a program beside, everything sealed anew": (
        lambda folder: ((folder / "setup.py").write_text("more"), reseal(folder)), "setup.py: no file of an export"),
    "clips of no split, everything sealed anew": (lambda folder: reseal(folder, splits={}), "says None clips of"),
    "the archives gone, everything sealed anew": (
        lambda folder: (shutil.rmtree(folder / "data"), reseal(folder)), "the archives hold 0"),
    "of a format that is none": (lambda folder: reseal(folder, format="zip"), "do not fit together"),
    "posing as a page": (lambda folder: reseal(folder, format="search-page"), "no file of an export as search-page"),
    **{f"a pipe in the place of {name}": (
        lambda folder, name=name: ((folder / name).unlink(), os.mkfifo(folder / name)), f"{name}: a pipe")
       for name in ("SHA256SUMS", "export.json")},
}  # fmt: skip


@pytest.mark.parametrize("kind", TAMPERS)
def test_a_tamper_of_an_export_is_found(copy, kind):
    tamper, words = TAMPERS[kind]
    folder = export_path(copy, "webdataset", "1.0.0")
    tamper(folder)
    problems = verify_place(folder)
    assert any(words in problem for problem in problems), problems


def test_the_setting_for_exports_makes_no_new_release(root):
    assert not is_new(root, SETTINGS.model_copy(update={"exports": ("lhotse",)}))
    assert "exports" not in read_manifest(release_path(root, "1.0.0"))["publish"]


def test_an_export_is_sent_and_a_place_holds_either_it_or_the_release(root, tmp_path):
    away = tmp_path / "away"
    send_release(export_path(root, "webdataset", "1.0.0"), "1.0.0", str(away))
    assert verify_place(away) == [] and verify_place(away / "1.0.0") == []
    with pytest.raises(ValueError, match="another release of that version"):
        send_release(Path(release_path(root, "1.0.0")), "1.0.0", str(away))


def test_publish_makes_the_format_that_is_asked_for_and_those_of_its_settings(tmp_path, prefect_server):
    root, away = make_spoken_root(tmp_path / "root"), tmp_path / "away"
    command = ["publish", "--root", root, "--set", 'publish.exports=["webdataset"]', "--format", "search-page"]
    asked = CliRunner().invoke(app, [*command, "--dry-run"])
    assert "webdataset, search-page" in asked.output and not (tmp_path / "root" / "exports").exists()
    done = CliRunner().invoke(app, [*command, "--to", str(away)])
    assert done.exit_code == 0, done.output
    assert f"search-page: {root}/exports/search-page/1.0.0\n" in done.output
    assert verify_root(root) == [] and export_path(root, "webdataset", "1.0.0").is_dir()
    for place in (away, away / "1.0.0", export_path(root, "webdataset", "1.0.0")):
        checked = CliRunner().invoke(app, ["verify", str(place)])
        assert checked.exit_code == 0, checked.output
    assert (away / "1.0.0" / "index.html").is_file()


def test_a_signed_release_has_signed_exports_and_a_root_is_whole_by_its_key(tmp_path, prefect_server):
    root, keys = make_spoken_root(tmp_path / "root"), minisign.KeyPair.generate()
    (tmp_path / "own.key").write_bytes(bytes(keys.secret_key))
    (tmp_path / "own.pub").write_bytes(bytes(keys.public_key))
    publish = ["publish", "--root", root, "--format", "search-page"]
    assert CliRunner().invoke(app, publish).exit_code == 0
    unsigned = CliRunner().invoke(app, ["verify", root, "--key", str(tmp_path / "own.pub")])
    assert unsigned.stderr.count("SHA256SUMS.minisig: missing") == 2
    done = CliRunner().invoke(app, [*publish, "--sign", str(tmp_path / "own.key"), "--to", str(tmp_path / "away")])
    assert done.exit_code == 0, done.output
    for place in (root, export_path(root, "search-page", "1.0.0"), tmp_path / "away"):
        checked = CliRunner().invoke(app, ["verify", str(place), "--key", str(tmp_path / "own.pub")])
        assert checked.exit_code == 0, checked.output
    export = export_path(root, "search-page", "1.0.0")
    (export / "index.html").write_text("others")
    told = read_json(export / "export.json")
    for name in ("export.json", "SHA256SUMS"):
        (export / name).unlink()
    seal_export(export, told)
    assert verify_place(export) == [] and len(verify_place(export, keys.public_key)) == 1


def test_a_format_whose_library_is_not_installed_is_one_line_before_anything_is_built(
    copy, prefect_server, monkeypatch
):
    monkeypatch.setattr("flows.exporting.build.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["publish", "--root", copy, "--format", "lhotse"])
    assert done.exit_code == 3 and "make setup-export" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("more", [["--dry-run"], []])
def test_a_search_page_with_nothing_to_search_by_is_one_line_before_anything_is_built(tmp_path, prefect_server, more):
    root = make_root(tmp_path / "root")
    command = ["publish", "--root", root, "--set", 'publish.exports=["search-page"]', *more]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 3 and "transcribe" in done.stderr and done.stderr.count("\n") == 1, done.output
    assert not (tmp_path / "root" / "releases").exists()


def test_a_search_page_that_is_there_needs_nothing_until_another_release_does(tmp_path):
    root = make_root(tmp_path / "root")
    build(root)
    write_json(export_path(root, "search-page", "1.0.0") / "export.json", {})
    run = Run(Config(root=root, publish=SETTINGS), "test", only_looks=True)
    check_exports(run, ("search-page",))
    changed = run.config.model_copy(update={"publish": SETTINGS.model_copy(update={"clips_per_shard": 2})})
    with pytest.raises(ValueError, match="needs words or a checkpoint"):
        check_exports(replace(run, config=changed), ("search-page",))


@pytest.mark.slow
@needs_readers
def test_the_hubs_viewer_opens_and_streams_a_release_and_its_webdataset(root, tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    script = TOP / "tests" / "flows" / "stream_release.py"
    found = {}
    for place in (Path(release_path(root, "1.0.0")), export_path(root, "webdataset", "1.0.0")):
        command = [READERS_PYTHON, "-P", script]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found |= json.loads(done.stdout.splitlines()[-1])
    of_split = {"train": 6, "val": 3, "test": 3}
    families = ("metadata", "pooled", "features_2d", "log_mel")
    assert {name: found[name] for name in (*families, "default")} == dict.fromkeys((*families, "default"), of_split)
    assert found["features_3d"] == {"train": 5, "val": 3, "test": 3}
    assert found["transcripts"] == {"train": 2}  # two clips of six have words, and none of another split
