"""Nothing is fetched before a required permission, and a permission that is withdrawn takes the video out again."""

import json
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from datasets.outcomes import OK
from datasets.releases.layout import find_video, list_releases, release_path
from datasets.tables import list_parts, make_table, read_table, table_digest, write_part
from extract.site.pacer import PacerSettings
from flows.config import Config, ConfigError
from flows.machinery.forecast import forecast_curation
from flows.machinery.run import Run
from flows.stages.download import fetch_videos
from flows.stages.permissions import ask_permissions
from flows.stages.publish import publish
from flows.stages.search import find_videos
from flows.stages.withdrawals import take_down_withdrawn
from flows.status import read_funnel
from tests.content_credentials import sign_media, training
from tests.extract.data_channel import (
    QUICK,
    CountingHandler,
    make_item,
    make_video,
    media_requests,
    open_channel,
    source_of,
)
from tests.small_tables import make_root, video_name

ITEMS = [
    make_item("permitted01", modified_content_notice="Altered or synthetic content"),
    make_item("refused0001"),
    make_item("unanswered1"),
]
ALL = ("permitted01", "refused0001", "unanswered1")


class Owners(CountingHandler):
    """Answers for owners too: {video_id: what is permitted}; of no other video."""

    permitted: dict[str, list[str]]

    def do_GET(self):
        if not self.path.startswith("/trainability"):
            super().do_GET()
            return
        type(self).asked.append(self.path)
        video_id = parse_qs(urlsplit(self.path).query)["id"][0]
        if video_id not in self.permitted:
            self.send_missing()
            return
        told = {"videoId": video_id, "kind": "youtube#videoTrainability", "permitted": self.permitted[video_id]}
        self.send_body(json.dumps(told | {"etag": json.dumps(self.permitted[video_id])}).encode(), "application/json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("channel")
    make_video(path / "good.mp4")
    return path


@pytest.fixture
def site(folder):
    handler = type("Handler", (Owners,), {"permitted": {"permitted01": ["all"], "refused0001": ["none"]}})
    with open_channel(folder, ITEMS, handler) as site:
        yield site


def config_of(site, root, mode, **permissions):
    queries = root.parent / "queries.txt"
    queries.write_text("肉じゃが\n", encoding="utf-8")
    chosen = {"mode": mode, "trainability_url": site.url + "/trainability?id={video_id}", "pause_s": 0} | permissions
    return Config(
        root=str(root),
        source=source_of(site),
        download=QUICK,
        search={"queries": str(queries)},
        pacer=PacerSettings(enabled=False),
        permissions=chosen,
        selection={"language": None},
        run={"first_retry_delay_s": 0, "max_retry_delay_s": 0},
    )


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2), validate_parameters=False)
def stages(config, *functions):
    for function in functions:
        function(Run(config, "test"))


def fetch(config):
    stages(config, find_videos, ask_permissions, fetch_videos)
    rows = read_table(config.root, "videos").to_pylist()
    return {row["video_id"]: row["reason"] or row["status"] for row in rows}


def test_no_media_are_asked_for_before_a_required_permission(site, tmp_path, prefect_server):
    outcomes = fetch(config_of(site, tmp_path / "root", "require"))
    assert outcomes == {"permitted01": "ok", "refused0001": "no_permission"}
    asked = site.RequestHandlerClass.asked
    assert media_requests(site) == ["/media/permitted01.mp4"]
    assert [path for path in asked if path.startswith("/watch")] == ["/watch?v=permitted01"]
    assert max(i for i, path in enumerate(asked) if "/trainability" in path) < asked.index("/watch?v=permitted01")


@pytest.fixture
def site_with_credentials(folder, tmp_path):
    """Of two videos that are permitted, one has a file that reserves training."""
    media = tmp_path / "media"
    media.mkdir()
    sign_media(folder / "good.mp4", media / "signed.mp4", training(ai_training="notAllowed"))
    (media / "good.mp4").symlink_to(folder / "good.mp4")
    handler = type("Handler", (Owners,), {"permitted": {"permitted01": ["all"], "reserved001": ["all"]}})
    items = [make_item("permitted01"), make_item("reserved001", file="signed.mp4")]
    with open_channel(media, items, handler) as site:
        yield site


def test_a_file_that_reserves_training_is_deleted_and_not_fetched_again(
    site_with_credentials, tmp_path, prefect_server
):
    config = config_of(site_with_credentials, tmp_path / "root", "require", ask_again_after_days=1e-9)
    asking = config.permissions.model_copy(update={"ask_again_after_days": 1})
    outcomes = {"permitted01": "ok", "reserved001": "no_permission"}
    assert fetch(config.model_copy(update={"permissions": asking})) == outcomes
    assert sorted(media_requests(site_with_credentials)) == ["/media/permitted01.mp4", "/media/reserved001.mp4"]
    stages(config, ask_permissions)
    assert fetch(config.model_copy(update={"permissions": asking})) == outcomes
    assert len(media_requests(site_with_credentials)) == 2
    assert [row["video_id"] for row in read_table(config.root, "media").to_pylist()] == ["permitted01"]
    assert not list((tmp_path / "root").rglob("*reserved001*"))
    row = {row["video_id"]: row for row in read_table(config.root, "permissions").to_pylist()}["reserved001"]
    assert (row["permitted"], row["is_permitted"]) == (["all"], False)
    assert row["signals"] == ["c2pa: reserved (cawg.ai_training: notAllowed)"]


def test_where_permission_is_recorded_only_a_file_that_reserves_training_stays_until_the_daily_run(
    site_with_credentials, tmp_path, prefect_server
):
    config = config_of(site_with_credentials, tmp_path / "root", "record")
    assert fetch(config) == {"permitted01": "ok", "reserved001": "ok"}
    assert forecast_curation(config).set_index("what").loc["videos with permission"]["amount"] == 1
    stages(config, take_down_withdrawn)
    assert [row["video_id"] for row in read_table(config.root, "media").to_pylist()] == ["permitted01"]


def test_a_permission_that_comes_later_is_taken_up(site, tmp_path, prefect_server):
    root = tmp_path / "root"
    config = config_of(site, root, "require", ask_again_after_days=1e-9)
    fetch(config.model_copy(update={"permissions": config.permissions}))
    site.RequestHandlerClass.permitted["refused0001"] = ["A Lab"]
    assert "refused0001" not in fetch_again(config)
    named = config_of(site, root, "require", parties=["A Lab"])
    assert fetch(named) == {"permitted01": "ok", "refused0001": "ok"}


def fetch_again(config):
    """Videos that are there after a run whose answers are all too old to count."""
    stages(config, fetch_videos)
    return [row["video_id"] for row in read_table(config.root, "media").to_pylist()]


@pytest.mark.parametrize("mode", ["record", "prefer"])
def test_other_modes_fetch_everything_and_keep_the_answers(site, tmp_path, mode, prefect_server):
    config = config_of(site, tmp_path / "root", mode)
    assert fetch(config) == dict.fromkeys(ALL, "ok")
    rows = read_table(config.root, "permissions").to_pylist()
    assert {row["video_id"]: row["is_permitted"] for row in rows} == dict(zip(ALL, (True, False, None), strict=True))
    assert {row["video_id"]: row["reason"] for row in rows}["unanswered1"] == "unavailable"


def test_prefer_decides_the_permitted_first(site, tmp_path, prefect_server):
    site.RequestHandlerClass.permitted.update({"permitted01": ["none"], "unanswered1": ["all"]})
    config = config_of(site, tmp_path / "root", "prefer")
    assert fetch(config.model_copy(update={"run": config.run.model_copy(update={"max_videos": 1})})) == {
        "unanswered1": "ok"
    }


def test_off_asks_nobody_and_record_changes_no_other_table(site, tmp_path, prefect_server):
    off, record = (
        config_of(site, tmp_path / name / "root", name)
        for name in ("off", "record")
        if (tmp_path / name).mkdir() is None
    )
    fetch(off)
    assert not [path for path in site.RequestHandlerClass.asked if not path.startswith(("/watch", "/media", "/search"))]
    assert not list_parts(off.root, "permissions")
    fetch(record)
    for table in ("discoveries", "videos", "media"):
        assert table_digest(off.root, table) == table_digest(record.root, table)


def test_an_answer_is_not_asked_for_again_while_it_counts(site, tmp_path, prefect_server):
    config = config_of(site, tmp_path / "root", "record")
    fetch(config)
    before = len(site.RequestHandlerClass.asked)
    fetch(config)
    again = [path for path in site.RequestHandlerClass.asked[before:] if "/trainability" in path]
    assert again == ["/trainability?id=unanswered1"]


def test_a_platforms_word_on_synthetic_content_is_kept(site, tmp_path, prefect_server):
    config = config_of(site, tmp_path / "root", "off")
    fetch(config)
    rows = read_table(config.root, "videos").to_pylist()
    assert {row["content_notice"] for row in rows if row["video_id"] == "permitted01"} == {
        "Altered or synthetic content"
    }


def test_funnel_and_dry_run_say_how_many_are_permitted(site, tmp_path, prefect_server):
    config = config_of(site, tmp_path / "root", "record")
    assert "videos with permission" not in {*read_funnel(config.root)["stage"]}
    fetch(config)
    assert read_funnel(config.root).set_index("stage")["items"]["videos with permission"] == 1
    row = forecast_curation(config).set_index("what").loc["videos with permission"]
    assert (row["amount"], row["from"]) == (1, "of 2 that were answered for, 1 not answered")


def test_a_withdrawn_permission_is_a_takedown(site, tmp_path, prefect_server):
    config = config_of(site, tmp_path / "root", "require", ask_again_after_days=1e-9)
    fetch(config.model_copy(update={"permissions": config.permissions.model_copy(update={"ask_again_after_days": 1})}))
    site.RequestHandlerClass.permitted["permitted01"] = ["none"]
    stages(config, ask_permissions, take_down_withdrawn)
    left = [str(path) for path in (tmp_path / "root").rglob("*") if "permitted01" in path.name]
    assert not left
    assert "permitted01" not in str(read_table(config.root, "videos").to_pylist())
    assert read_table(config.root, "tombstones").num_rows == 1
    before = len(site.RequestHandlerClass.asked)
    fetch(config)
    assert not any("permitted01" in path for path in site.RequestHandlerClass.asked[before:])


def test_a_release_that_holds_what_was_withdrawn_is_replaced(tmp_path, prefect_server):
    root = make_root(tmp_path / "root", splits={"train": 3, "val": 1, "test": 1})
    config = Config(root=root, permissions={"mode": "record"}, publish={"tiny_clips": 2, "small_clips": 4})
    publish(config)
    rows = [{"video_id": video_name(i), "is_permitted": i != 0, "was_permitted": True, **OK} for i in range(3)]
    write_part(root, "permissions", make_table("permissions", rows, recipe="p", run_id="x"))
    stages(config, take_down_withdrawn)
    assert list_releases(root) == ["1.1.0"]
    assert find_video(release_path(root, "1.1.0"), video_name(0)) == ([], True)
    card = (Path(release_path(root, "1.1.0")) / "README.md").read_text()
    assert "2 of its 4 videos" in card


def test_a_card_says_nothing_of_permission_that_nobody_asked_for(tmp_path, prefect_server):
    root = make_root(tmp_path / "root", splits={"train": 3, "val": 1, "test": 1})
    publish(Config(root=root, publish={"tiny_clips": 2, "small_clips": 4}))
    assert "ermission" not in (Path(release_path(root, "1.0.0")) / "README.md").read_text()


def test_media_of_ones_own_have_nobody_to_ask(tmp_path):
    config = Config(
        root=str(tmp_path), source={"name": "folder", "folder": str(tmp_path)}, permissions={"mode": "require"}
    )
    with pytest.raises(ConfigError, match="set it to off"):
        ask_permissions(Run(config, "test"))


def test_while_the_platform_refuses_nothing_is_fetched_and_nothing_is_asked_again(folder, tmp_path, prefect_server):
    class Refusing(Owners):
        permitted: ClassVar = {}

        def do_GET(self):
            if self.path.startswith("/trainability"):
                type(self).asked.append(self.path)
                self.send_body(b"", "text/plain", 429)
            else:
                super().do_GET()

    with open_channel(folder, ITEMS, Refusing) as site:
        config = config_of(site, tmp_path / "root", "require")
        config = config.model_copy(
            update={
                "pacer": PacerSettings(request_pause_s=0, burst=30),
                "download": QUICK.model_copy(update={"num_threads": 1}),
            }
        )
        assert fetch(config) == {}
        assert fetch(config) == {}
        assert len([path for path in site.RequestHandlerClass.asked if "/trainability" in path]) == 1
        assert media_requests(site) == []
