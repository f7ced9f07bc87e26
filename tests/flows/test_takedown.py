"""What was taken down is nowhere under the root, in no release, and comes back in none."""

import asyncio
import gzip
import json
import re
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from pydantic import SecretStr
from typer.testing import CliRunner

from datasets.erasure import PENDING_FILE, is_known
from datasets.files import read_json, write_json
from datasets.mentions import find_mentions
from datasets.outcomes import OK
from datasets.releases.exports import export_path
from datasets.releases.layout import find_video, list_releases, read_manifest, read_shards, release_path
from datasets.releases.verify import verify_release, verify_root
from datasets.schemas import TABLES
from datasets.splits.pins import read_pins
from datasets.tables import list_parts, make_table, read_table, table_digest, write_part
from datasets.tombstones import add_tombstones, hash_id
from extract.media_store import media_path, record_path
from flows.__main__ import app
from flows.config import Config
from flows.machinery.locks import hold_root
from flows.machinery.run import Run
from flows.stages.publish import build_next, publish
from flows.stages.takedown import describe_takedown, flag_checkpoints, flagged_checkpoints, takedown
from flows.stages.takedown import take_down as take_down_now
from tests.kill_at_writes import kill_at_each_write
from tests.small_tables import make_root, video_name

GONE, KEPT = video_name(0), video_name(2)
SETTINGS = {"tiny_clips": 2, "small_clips": 4, "clips_per_shard": 3}


def files_that_hold(root, *words):
    """Every table decoded, every other file grepped, names too."""
    for path in sorted(Path(root).rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        text = str(pq.read_table(path, partitioning=None).to_pylist()) if path.suffix == ".parquet" else ""
        if any(word in str(path) or word in text or word.encode() in content for word in words):
            yield str(path.relative_to(root))


def fill_root(folder, clips_per_video=3):
    """A root with media, searches that name the video, and a checkpoint."""
    root = make_root(folder / "root", clips_per_video, splits={"train": 3, "val": 1, "test": 1})
    media_root = f"{root}/media_files"
    for video_id in map(video_name, range(5)):
        for path in (media_path(media_root, video_id), record_path(media_root, video_id)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(video_id)
    searches = [
        {"query": "肉じゃが", **OK, "detail": f"skipped {GONE} once"},
        {"query": f"https://x/watch?v={GONE}", **OK},
    ]
    write_part(root, "searches", make_table("searches", searches, recipe="searches-recipe", run_id="test"))
    write_json(f"{root}/checkpoints/old/trained_on.json", {"recipes": {"splits": "splits-recipe"}})
    for page in ("report.html", "gallery.html", "rules.html", "search/index.html"):
        (Path(root) / page).parent.mkdir(exist_ok=True)
        (Path(root) / page).write_text(GONE)
    return Config(root=root, publish=SETTINGS)


def make_config(folder):
    """Such a root, with a release that was sent away."""
    config = fill_root(folder)
    publish(config, to=(str(folder / "away"),))
    export = export_path(config.root, "search-page", "1.0.0")
    write_json(export / "export.json", {})
    (export / "index.html").write_text(GONE)
    assert GONE in str(list(files_that_hold(config.root, GONE)))
    return config


@pytest.fixture
def config(tmp_path, prefect_server):
    return make_config(tmp_path)


@pytest.fixture(scope="module")
def taken(tmp_path_factory, prefect_server):
    """(root, what the takedown of one video told, splits before it)."""
    config = make_config(tmp_path_factory.mktemp("taken"))
    before = read_table(config.root, "splits")
    return config.root, take_down(config), before


def take_down(config, kind="video", identifier=GONE):
    return takedown(config, kind, SecretStr(identifier), "the owner asked")


def test_no_file_under_the_root_holds_the_id_afterwards(taken):
    root, found, _ = taken
    assert list(files_that_hold(root, GONE)) == []
    assert found.left == ()
    assert not media_path(f"{root}/media_files", GONE).exists()
    assert media_path(f"{root}/media_files", KEPT).exists()


def test_no_page_of_the_root_or_of_its_release_finds_it_afterwards(taken):
    root, _, _ = taken
    pages = [Path(root, name) for name in ("report.html", "gallery.html", "rules.html", "search/index.html")]
    assert [page for page in (*pages, export_path(root, "search-page", "1.0.0")) if page.exists()] == []


def test_all_others_stay_and_keep_their_split(taken):
    root, _, before = taken
    old, new = (
        {row["clip_id"]: row["split"] for row in rows.to_pylist()} for rows in (before, read_table(root, "splits"))
    )
    assert new == {clip_id: split for clip_id, split in old.items() if not clip_id.startswith(GONE)}
    assert read_pins(root).num_rows == len(new) == 12
    assert read_table(root, "log_mel").num_rows == 12
    assert read_table(root, "searches")["query"].to_pylist() == ["肉じゃが"]
    assert verify_root(root) == []


def test_the_next_release_lacks_it_and_the_one_that_held_it_is_a_stub(taken):
    root, found, _ = taken
    assert (found.next_release, found.withdrawn) == ("1.1.0", ("1.0.0",))
    assert list_releases(root) == ["1.1.0"]
    stub = Path(release_path(root, "1.0.0"))
    assert [path.name for path in stub.iterdir()] == ["WITHDRAWN.json"]
    assert "withdrawn: taken down: the owner asked" in verify_release(stub)[0]
    release = release_path(root, "1.1.0")
    assert read_manifest(release)["changes"]["removed"] == {"clips": {"tombstoned": 3}, "videos": {"tombstoned": 1}}
    assert hash_id("video", GONE) in (Path(release) / "tombstones.tsv").read_text()
    assert find_video(release, GONE) == ([], True)


def test_what_was_sent_away_is_listed_as_still_carrying_it(taken):
    root, found, _ = taken
    away = str(Path(root).parent / "away")
    assert [(entry["version"], entry["to"]) for entry in found.still_published] == [("1.0.0", away)]


def test_checkpoints_that_were_trained_on_it_are_named_and_flagged(taken):
    root, found, _ = taken
    assert found.checkpoints == ("old",)
    flagged = read_json(f"{root}/checkpoints/old/taken_down.json")["videos"]
    assert flagged == {hash_id("video", GONE): "the owner asked"}


def test_a_checkpoint_that_only_was_tested_on_it_is_not_flagged(tmp_path):
    root = make_root(tmp_path / "root", splits={"train": 3, "val": 1, "test": 1})
    write_json(f"{root}/checkpoints/old/trained_on.json", {"recipes": {"splits": "splits-recipe"}})
    flag_checkpoints(root, {video_name(4)}, "asked")
    assert flagged_checkpoints(root, {hash_id("video", video_name(4))}) == ()


def test_training_again_is_another_checkpoint(taken):
    root, _, before = taken
    assert read_table(root, "splits")["recipe"].unique().to_pylist() != before["recipe"].unique().to_pylist()


def test_prefect_does_not_keep_the_id(taken):
    async def read_parameters():
        async with get_client() as client:
            return str([run.parameters for run in await client.read_flow_runs()])

    parameters = asyncio.run(read_parameters())
    assert "the owner asked" in parameters and GONE not in parameters


def test_a_channel_takes_all_of_its_videos_with_it(config):
    found = take_down(config, "channel", "UCchannel-0")
    assert found.num_videos == 2 and found.left == ()
    assert list(files_that_hold(config.root, video_name(0), video_name(1), "UCchannel-0")) == []
    videos = read_shards(release_path(config.root, "1.1.0"))["video_id"].unique().to_pylist()
    assert sorted(videos) == [video_name(number) for number in (2, 3, 4)]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_write_a_takedown_is_finished_by_the_same_command(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.stages.takedown.build_next", build_next.fn)  # without Prefect, some 60 times faster
    monkeypatch.setattr(
        "flows.stages.takedown._search_everywhere", lambda run, ids: find_mentions(run.root, ids, [PENDING_FILE])
    )
    config = fill_root(tmp_path, clips_per_video=1)
    build_next.fn(Run(config, "before"))
    (Path(config.root) / "listening").mkdir()
    answers = "".join(f"{video_name(n)}_000000000_000006000,train,,\n" for n in (0, 2))
    (Path(config.root) / "listening" / "sheet.csv").write_text(f"clip_id,split,answer,note\n{answers}")

    def prepare():
        return Path(shutil.copytree(config.root, tmp_path / "killed"))

    def work(root):
        run = Run(config.model_copy(update={"root": str(root)}), "killed")
        with hold_root(run.root):
            return take_down_now(run, "channel", SecretStr("UCchannel-0"), "the owner asked")

    def read(root):
        tables = {name: table_digest(root, name) for name in TABLES if name != "tombstones"}
        return tables, sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.suffix != ".parquet")

    points = list(kill_at_each_write(prepare, work))
    expected = read(tmp_path / "killed")
    for point, root in points:
        found = work(root)
        assert found.num_videos == 2 and found.left == (), point
        assert list(files_that_hold(root, video_name(0), video_name(1), "UCchannel-0")) == [], point
        assert list_releases(root) == ["1.1.0"] and verify_root(root) == [], point
        assert read(root) == expected, point
    assert len(points) > 100, len(points)


def test_without_its_configuration_the_next_release_is_made_as_the_last(config):
    takedown(Config(root=config.root), "video", SecretStr(GONE), "the owner asked")
    told = read_manifest(release_path(config.root, "1.1.0"))["publish"]
    assert {name: told[name] for name in SETTINGS} == SETTINGS


def test_what_nobody_but_people_can_clean_is_listed(config):
    Path(config.root, "notes.txt.gz").write_bytes(gzip.compress(GONE.encode()))
    Path(config.root, "stray.parquet").write_bytes(b"PAR1 and no more")
    found = take_down(config)
    assert found.left == ("notes.txt.gz",)
    assert [line.partition(":")[0] for line in found.unsearched if "stray" in line] == ["stray.parquet"]
    told = describe_takedown(found)["what"].to_list()
    assert "STILL NAMED IN" in told and "could not be searched" in told


@pytest.mark.parametrize(("kind", "typo"), [("video", "vidoe-00000"), ("channel", "UCchanel-0")])
def test_an_id_that_nothing_knows_is_told_with_the_nearest_and_not_taken_down(tmp_path, kind, typo):
    root = make_root(tmp_path / "root")
    result = CliRunner().invoke(app, ["takedown", "--root", root, f"--{kind}", typo, "--why", "asked"])
    assert result.exit_code == 2 and "; did you mean '" in result.stderr, result.output
    assert list_parts(root, "tombstones") == []


def test_what_was_taken_down_once_is_known_and_so_is_what_only_a_release_or_a_query_names(tmp_path):
    config = fill_root(tmp_path)
    build_next.fn(Run(config, "before"))
    for name in ("videos", "discoveries", "searches", "clips", "media"):
        shutil.rmtree(Path(config.root) / name)
    assert is_known(config.root, "video", GONE) and is_known(config.root, "channel", "UCchannel-0")
    assert not is_known(config.root, "video", "UCchannel-0") and not is_known(config.root, "channel", GONE)
    shutil.rmtree(Path(config.root) / "releases")
    add_tombstones(config.root, "channel", ["UCgone"], "asked")
    assert is_known(config.root, "channel", "UCgone") and not is_known(config.root, "video", "UCgone")
    row = {"query": "https://x/watch?v=asked_for_1", **OK}
    write_part(config.root, "searches", make_table("searches", [row], recipe="searches-recipe", run_id="test"))
    assert is_known(config.root, "video", "asked_for_1")


def test_the_commands_of_the_page_say_what_was_done_and_what_is_left(config):
    page = (Path(__file__).parents[2] / "docs" / "releases.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ python -m flows (takedown .*)$", page, re.MULTILINE)
    for line, identifier in zip(lines, (GONE, "UCchannel-1"), strict=True):
        words = [identifier if word == "ID" else word for word in shlex.split(line)]
        done = CliRunner().invoke(app, [*words, "--root", config.root, "--json"])
        assert done.exit_code == 0 and identifier not in done.output, done.output
        told = {row["what"]: row["is"] for row in json.loads(done.stdout)["takedown"]}
        assert "release withdrawn" in told and told["still carried by"] == f"1.0.0 at {Path(config.root).parent}/away"
    assert verify_root(config.root) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--why", "asked"], "either --video ID or --channel ID"),
        (["--why", "asked", "--video", "a/b"], "video_id must be"),
        (["--video", GONE, "--why", f"{GONE} asked"], "without an id"),
    ],
)
def test_bad_usage_is_one_line_and_changes_nothing(config, words, message):
    before = list_parts(config.root, "clips")
    result = CliRunner().invoke(app, ["takedown", "--root", config.root, *words])
    assert result.exit_code in (2, 3) and message in result.output
    assert list_parts(config.root, "clips") == before


def test_a_reason_that_names_the_id_does_not_reach_prefect(config):
    with get_client(sync_client=True) as client:
        before = client.read_flow_runs()
        CliRunner().invoke(app, ["takedown", "--root", config.root, f"--video={GONE}", f"--why={GONE} asked"])
        assert client.read_flow_runs() == before
