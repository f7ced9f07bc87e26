"""Mistakes that people made in trials: one line says what is wrong, the value, and what to do."""

import os
import re
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from datasets.outcomes import dropped
from datasets.releases.build import build_release
from datasets.releases.settings import PublishSettings
from datasets.splits.draw import SplitError
from datasets.tables import make_table, record_run, write_part
from demo.__main__ import app as demo_app
from extract.clip_lists import ClipListError, read_list
from flows.__main__ import app
from flows.config import Config
from flows.machinery.run import Run
from flows.stages.curate import draw_clips
from tests.small_tables import FACTS, RUN, make_root

TOP = Path(__file__).parents[2]


def told(*words: str, code: int) -> str:
    """The one line of a command that goes wrong."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("error: ").rstrip()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    # Two folders down: what other tests made lies beside the first, and would be named as near.
    return make_root(tmp_path_factory.mktemp("trials") / "roots" / "cooking")


@pytest.mark.parametrize(
    "words",
    [
        *(["status"], ["report"], ["compact"], ["verify"], ["inspect", "video-00000"], ["diff", "ROOT"]),
        *(["featurize"], ["transcribe"], ["describe"], ["agree"], ["finetune"], ["evaluate"], ["ablate"], ["publish"]),
        *(["curate", "--check-availability"], ["takedown", "--video=x", "--why=asked"]),
    ],
)
def test_a_mistyped_root_is_told_with_the_nearest_one(root, words):
    typo = root.replace("cooking", "coking")
    given = [typo] if words[0] in ("verify", "diff") else ["--root", typo]
    line = told(*[root if word == "ROOT" else word for word in words], *given, code=2)
    assert line == f"{typo} is no dataset root, there is no such folder; did you mean {root!r}?"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (" ", "root: a folder or an address is needed, got ' '"),
        ("s4://x/y", "root: no such kind of place as s4://, but s3://"),
        ("s3:/x/y", "root: an address has two slashes: s3://x/y, got 's3:/x/y'"),
    ],
)
def test_what_cannot_be_a_root_is_told_before_anything_is_made(given, why):
    assert told("curate", "--root", given, code=2).startswith(why)


@pytest.mark.parametrize(("given", "why"), [("/proc/nope", "/proc cannot be written"), ("FILE/x", "FILE is a file")])
def test_a_dry_run_of_curate_looks_at_its_root(tmp_path, given, why):
    (tmp_path / "file").write_text("")
    words = [word.replace("FILE", str(tmp_path / "file")) for word in (given, why)]
    assert told("curate", "--dry-run", "--root", words[0], code=2).startswith(f"root: {words[1]}")


@pytest.mark.parametrize(
    ("list_", "words", "why"),
    [
        ("which,start,end\nabcdefghij1,1,4", ["--column", "whihc"], "has no column 'whihc', but which, start, end;"),
        (
            "name,text\nabcdefghij1,x",
            ["--column", "nmae"],
            "has no column 'nmae', but name, text; did you mean 'name'?",
        ),
        ("which,start,end\nabcdefghij1,1,4", [], "it has which, start, end (`curate --column NAME` says which)"),
        ("url,note\nhttps://vimeo.com/1,x", [], "url is the address of no video that is known: 'https://vimeo.com/1'"),
    ],
)
def test_a_list_whose_videos_are_not_found_names_its_columns(tmp_path, list_, words, why):
    (tmp_path / "mine.csv").write_text(list_)
    given = ["curate", "--dry-run", "--root", str(tmp_path / "root"), "--from", str(tmp_path / "mine.csv"), *words]
    assert why in told(*given, code=3)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (" ", "--from: a folder or an address is needed, got ' '"),
        ("https://www.youtube.com/@somebody", "neither folder nor list: write addresses into a .txt, one a line"),
        ("s3://bucket/list.csv", "a list is a file of this machine: copy it here first"),
    ],
)
def test_a_place_that_is_no_source_says_what_to_give_instead(given, why):
    assert why in told("curate", "--dry-run", "--from", given, code=2)


def test_a_part_that_is_none_is_told_without_a_pattern():
    assert told("featurize", "--part", "x", code=2).startswith(
        "run.part: is not written as docs/configuration.md shows"
    )


def test_a_mistyped_file_is_told_with_the_one_meant(root, tmp_path):
    (tmp_path / "listening.csv").write_text("")
    line = told("report", "--root", root, "--listened", str(tmp_path / "listning.csv"), code=3)
    meant = tmp_path / "listening.csv"
    assert line == f"{tmp_path / 'listning.csv'}: No such file or directory; did you mean '{meant}'?"


def test_a_root_in_the_place_of_a_release_is_told_with_its_newest_release(root, tmp_path):
    for version in ("1.9.0", "1.10.0"):
        (tmp_path / "mine" / "releases" / version).mkdir(parents=True)
    newest = tmp_path / "mine" / "releases" / "1.10.0"
    for place in (tmp_path / "mine", newest.parent, newest.with_name("1.11.0")):
        for words in (["search", str(place), "x"], ["am-i-in", str(place), "--video", "x"]):
            assert told(*words, code=3).endswith(f"it has no manifest.json; the newest near it is {newest}")
    assert told("search", root, "x", code=3).endswith("`python -m flows publish` makes one of a root")


@pytest.mark.parametrize(
    ("given", "why"),
    [("lits.csv", "did you mean '{}/list.csv'?"), ("tset={}/list.csv", "before = stands train, val or")],
)
def test_a_mistyped_list_is_told_with_the_one_meant_and_a_mistyped_split_with_those_there_are(tmp_path, given, why):
    (tmp_path / "list.csv").write_text("video_id\nabcdefghij1")
    with pytest.raises(ClipListError, match=re.escape(why.format(tmp_path))):
        read_list(given.format(tmp_path) if "=" in given else tmp_path / given)


def test_splits_that_cannot_be_drawn_name_what_was_lost_and_what_mends_it(tmp_path):
    rows = [{"video_id": f"v{number}", "source": "folder", **dropped("wrong_language", "en")} for number in range(8)]
    write_part(str(tmp_path), "videos", make_table("videos", rows, recipe="r", run_id="x"))
    record_run(str(tmp_path), "videos", "r", {})
    with pytest.raises(SplitError, match=r"; lost to wrong_language 8 \(selection\.language says which") as error:
        draw_clips(Run(Config(root=str(tmp_path)), "run"))
    assert "\n" not in str(error.value)


def test_a_demo_in_a_place_that_cannot_be_a_root_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert told("demo", "--root", str(tmp_path / "file"), code=2).startswith(f"root: {tmp_path / 'file'} is a file")


def test_the_nearest_root_is_found_among_hundreds_of_folders(tmp_path):
    for number in range(250):
        (tmp_path / f"a{number}").mkdir()
    meant = make_root(tmp_path / "cooking")
    assert told("status", "--root", str(tmp_path / "coking"), code=2).endswith(f"did you mean {meant!r}?")


def test_a_folder_that_holds_roots_names_them(root):
    above = str(Path(root).parent)
    assert told("status", "--root", above, code=2).endswith(f"it holds no tables; near it are {root}")


def test_what_no_root_lies_near_says_how_one_is_made(tmp_path):
    assert told("status", "--root", str(tmp_path / "x" / "y"), code=2).endswith("curate --root FOLDER` makes one")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("clips.bridge_gap=3", "clips.bridge_gap_ms"),
        ("bridge_gap_ms=3", "clips.bridge_gap_ms"),
        ("clip.min_ms=3", "clips.min_ms"),
        ("source.nme=ids", "source.name"),
    ],
)
def test_a_mistyped_setting_is_told_with_the_one_meant_and_who_said_it(given, meant):
    line = told("curate", "--config", "configs/demo.toml", "--set", given, code=2)
    name = given.partition("=")[0]
    assert f"no such field (--set {name}), got" in line and line.endswith(f"did you mean {meant!r}?")
    assert "demo.toml" not in line


def test_a_mistyped_setting_of_a_file_names_the_file(tmp_path):
    (tmp_path / "own.toml").write_text("[clips]\nbridge_gap = 3\n")
    line = told("status", "--config", str(tmp_path / "own.toml"), "--set", "clips.min_ms=5000", code=2)
    assert f"no such field in {tmp_path / 'own.toml'}, got 3" in line and "--set" not in line


@pytest.mark.parametrize("given", ["clips.max_ms=1", "selection.language=12", "schedules.timezone=Asia/Tokio"])
def test_a_wrong_value_is_told_without_the_librarys_words_and_once(given):
    line = told("curate", "--set", given, code=2)
    assert "Value error" not in line and line.count("got ") == 1


def test_a_mistyped_list_of_queries_is_told_with_the_one_meant():
    line = told("curate", "--dry-run", "--set", "search.queries=japanse_cooking", code=3)
    assert line.endswith("did you mean 'japanese_cooking'?")


@pytest.mark.parametrize(
    "words",
    [
        ["curate"],
        ["curate", "--dry-run"],
        ["pipeline"],
        ["pairs"],
        ["transcribe"],
        ["describe"],
        ["regenerate", "x.csv"],
    ],
)
def test_a_mistyped_reason_is_told_before_any_work(words):
    line = told(*words, "--retry", "network,bot_chek", code=2)
    assert line == "--retry: no row can have the reason 'bot_chek'; did you mean 'bot_check'?"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/proc/nope", "/proc cannot be written"),
        ("s4://bucket", "no such kind of place as s4://, but s3://"),
        ("s3:/bucket", "an address has two slashes: s3://bucket"),
        (" ", "a folder or an address is needed"),
        ("hf://cook/small", "hf://datasets/OWNER/NAME"),
        ("{root}/releases", "lies in the root"),
        ("{release}", "is a release, which never changes"),
    ],
)
def test_a_dry_run_of_publish_looks_at_its_destination(root, place, why, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "planted")
    (tmp_path / "SHA256SUMS").touch()
    place = place.format(root=root, release=tmp_path)
    assert why in told("publish", "--root", root, "--to", place, "--dry-run", code=2)


def test_what_every_command_cannot_do_without_is_told_in_one_line():
    commands = get_command(app).commands
    lacking = {name for name, command in commands.items() if any(param.required for param in command.params)}
    assert lacking > {"verify", "takedown", "regenerate", "search", "inspect", "diff", "am-i-in"}
    for name in lacking:
        line = told(name, code=2)
        assert line.startswith("Missing ") and line.endswith(f" {name} --help`"), line


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["status", "--nope"], "No such option: --nope"),
        (["stat"], "No such command 'stat'. Did you mean 'status'?"),
        (["verify", "here", "there"], "Got unexpected extra argument(s) (there)"),
        (["publish", "--format", "zip"], "Invalid value for '--format': 'zip' is not one of 'webdataset'"),
        (["status", "--root"], "Option '--root' requires an argument"),
        (["status", "--root", "a", "--root=b"], "--root is given twice, and takes one value"),
        (["search", "release", "onion", "-n", "3", "--num-results=4"], "--num-results is given twice"),
        (["export-original", "--out", ""], "--out needs a value, got ''"),
        (["verify", ""], "place needs a value, got ''"),
    ],
)
def test_a_wrong_line_of_the_shell_is_told_in_one_line(words, why):
    assert told(*words, code=2).startswith(why)


@pytest.mark.parametrize(
    "words",
    [["--nope"], ["serve", "--dir"], ["serve", "--dir", "a", "--dir", "b"], ["remove", "--dir", "x"], ["rendre"]],
)
def test_the_small_world_tells_a_wrong_line_as_the_flows_do(words):
    result = CliRunner().invoke(demo_app, words, prog_name="python -m demo")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ") and "see `python -m demo" in result.stderr


def test_an_id_that_a_release_or_a_catalog_lacks_is_told_with_the_nearest(tmp_path):
    root = make_root(tmp_path / "root")
    build_release(root, PublishSettings(), RUN, date(2026, 11, 28), FACTS)
    asked = CliRunner().invoke(app, ["am-i-in", f"{root}/releases/1.0.0", "--video", "vidoe-00001"])
    assert (asked.exit_code, asked.stdout) == (0, "no; did you mean 'video-00001'?\n")
    # "No" to what cannot be an id would be believed.
    assert "got 'my video'" in told("am-i-in", f"{root}/releases/1.0.0", "--video", "my video", code=3)
    address = ["am-i-in", f"{root}/releases/1.0.0", "--video", " https://x.org/?v=video-00001 "]
    assert "yes: " in CliRunner().invoke(app, address).stdout
    (tmp_path / "catalog.json").write_text('{"items": [{"id": "onion", "channel_id": "UCcook"}]}')
    removed = CliRunner().invoke(demo_app, ["remove", "--dir", str(tmp_path), "--id", "onoin"])
    assert removed.exit_code == 2 and removed.stderr.endswith("did you mean 'onion'?\n"), removed.output


def test_a_path_is_printed_whole_in_one_line_whatever_it_holds(tmp_path):
    root = make_root(tmp_path / "[bold]films[/bold] [link=x]" / ("a long name " * 8).strip())
    checked = CliRunner().invoke(app, ["verify", root])
    assert (checked.exit_code, checked.stdout) == (0, f"{root}: everything is what the certificate and the sums say\n")
    shown = CliRunner().invoke(app, ["inspect", "video-00001", "--root", root])
    assert shown.exit_code == 0, shown.output


def test_a_port_in_use_is_named(tmp_path):
    (tmp_path / "catalog.json").write_text('{"items": []}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(demo_app, ["serve", "--dir", str(tmp_path), "--port", str(port)])
    assert result.exit_code == 2
    assert result.stderr == f"error: --port {port}: Address already in use; --port 0 takes a free one\n"


def test_completion_knows_commands_options_and_values():
    script = (
        'source deploy/completion.bash; COMP_WORDS=($PYTHON -m flows $WORDS "$LAST"); '
        "COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _flows_completion; printf '%s\\n' \"${COMPREPLY[@]}\""
    )

    def completed(words: str, last: str) -> list[str]:
        environment = {**os.environ, "PYTHON": sys.executable, "WORDS": words, "LAST": last}
        done = subprocess.run(["bash", "-c", script], cwd=TOP, env=environment, capture_output=True, text=True)
        return done.stdout.split()

    assert completed("", "insp") == ["inspect"]
    assert completed("status", "--ro") == ["--root"]


def test_the_composition_asks_no_doctor_every_few_minutes():
    services = yaml.safe_load((TOP / "compose.yaml").read_text())["services"]
    checks = [" ".join(service["healthcheck"]["test"]) for service in services.values()]
    assert len(checks) == 4 and not [check for check in checks if "flows" in check]
