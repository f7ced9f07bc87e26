"""What people look at: funnel, failures, forecast, exit codes."""

import json

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from datasets.outcomes import OK, failed
from datasets.tables import make_table, write_part
from extract.site.pacer import Pacer, PacerSettings
from flows.__main__ import app
from flows.config import load_config
from flows.machinery.forecast import forecast_curation, forecast_rest
from flows.status import read_failures, read_funnel, read_pauses, to_frame, transient_reasons, unexpected_share


def write_media(root, *reasons):
    rows = [
        {"video_id": f"v{i}", "duration_ms": 60_000, **(failed(reason) if reason else OK)}
        for i, reason in enumerate(reasons)
    ]
    write_part(root, "media", make_table("media", rows, recipe="r", run_id="x"))


def test_an_empty_root_has_an_empty_funnel(tmp_path):
    assert set(read_funnel(str(tmp_path))["items"]) == {0}
    assert read_failures(str(tmp_path)).empty


def test_failures_are_counted_by_reason_with_their_policy(tmp_path):
    write_media(tmp_path, None, "network", "network", "removed")
    rows = read_failures(str(tmp_path)).to_dict("records")
    assert [(row["reason"], row["items"], row["again"]) for row in rows] == [
        ("network", 2, "later"),
        ("removed", 1, "never"),
    ]


def test_minutes_count_ok_rows_only(tmp_path):
    write_media(tmp_path, None, None, "removed")
    funnel = read_funnel(str(tmp_path)).set_index("stage")
    assert (funnel.loc["videos downloaded", "items"], funnel.loc["videos downloaded", "minutes"]) == (2, 2.0)


def test_transient_reasons_are_those_whose_policy_is_later():
    assert {"network", "rate_limited", "bot_check"} <= set(transient_reasons())
    assert "removed" not in transient_reasons()


def test_status_says_until_when_the_site_asked_us_to_stop(tmp_path):
    pacer = Pacer(tmp_path, "youtube", PacerSettings())
    pacer.observe("rate_limited")
    shown = CliRunner().invoke(app, ["status", "--root", str(tmp_path)]).stdout
    assert f"youtube: the site asked us to stop; nothing is asked until {pacer.open_until:%F %H:%M} UTC" in shown
    assert read_pauses(str(tmp_path), pacer.open_until) == []


def test_too_many_unexpected_rows_end_with_code_1(tmp_path):
    write_media(tmp_path, None, "unexpected")
    assert unexpected_share(str(tmp_path)) == 0.5
    assert CliRunner().invoke(app, ["status", "--root", str(tmp_path)]).exit_code == 1


def test_status_as_json_can_be_read_by_machines(tmp_path):
    write_media(tmp_path, None, "removed")
    result = CliRunner().invoke(app, ["status", "--root", str(tmp_path), "--json"])
    document = json.loads(result.stdout)
    assert {row["stage"] for row in document["funnel"]} >= {"videos downloaded"}
    assert document["not_ok"] == [
        {"table": "media", "status": "failed", "reason": "removed", "items": 1, "again": "never"}
    ]


@pytest.mark.parametrize("flag", [["--set", "clips.bridge_gap=1"], ["--config", "nowhere.toml"]])
def test_bad_configuration_is_one_line_and_code_2(flag):
    result = CliRunner().invoke(app, ["curate", *flag])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_dry_run_of_the_japanese_configuration_forecasts_requests_hours_and_disk():
    result = CliRunner().invoke(app, ["curate", "--config", "configs/youcook_japanese.toml", "--dry-run", "--json"])
    amounts = {row["what"]: row["amount"] for row in json.loads(result.stdout)["forecast"]}
    assert amounts["queries"] >= 1500
    assert amounts["hours of asking"] == pytest.approx((amounts["queries"] + amounts["videos tried"]) / 240)
    assert amounts["search requests"] == amounts["queries"] * 10


def test_dry_run_of_a_list_of_ids_counts_its_videos_and_asks_only_for_channels(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("abcdefghij1\nabcdefghij2\nhttps://www.youtube.com/@kitchen\n")
    config = load_config(None, None, ("source.name=ids", f"source.ids_file={ids}", "search.depth=100"))
    amounts = forecast_curation(config).set_index("what")["amount"]
    assert (amounts["queries"], amounts["search requests"], amounts["videos found"]) == (3, 5, 2 + 30)
    assert amounts["hours of asking"] == pytest.approx((1 + 32) / 240)


def test_dry_run_without_its_list_is_one_line():
    result = CliRunner().invoke(app, ["curate", "--dry-run", "--set", "source.name=ids"])
    assert result.exit_code == 3
    assert result.stderr.startswith("error: source.ids_file is not set")


def test_the_rest_of_a_plan_is_forecast_from_the_roots_own_yields(tmp_path):
    queries = tmp_path / "queries.txt"
    queries.write_text("a\nb\nc\nd\n")
    root = str(tmp_path / "root")

    def write(name, rows):
        write_part(root, name, make_table(name, [{**row, **OK} for row in rows], recipe="r", run_id="x"))

    write("searches", [{"query": "a"}, {"query": "b"}])
    write("discoveries", [{"query": "a", "video_id": f"v{i}", "rank": i} for i in range(10)])
    write("videos", [{"video_id": f"v{i}"} for i in range(5)])
    write("media", [{"video_id": f"v{i}", "num_bytes": 1_000_000_000} for i in range(4)])
    write("clips", [{"clip_id": f"c{i}", "video_id": "v0"} for i in range(8)])
    config = load_config(None, root, (f"search.queries={queries}", "pacer.max_videos_per_hour=100"))
    rest = forecast_rest(config).set_index("what")["amount"]
    # Two queries found ten videos, so two more find ten; fifteen are undecided, five gave 4 GB and 8 clips.
    assert rest.to_dict() == {
        "queries left": 2,
        "videos left to decide": 15,
        "hours of asking left": 0.17,
        "GB of media to come": 12,
        "clips in the end": 32,
    }


def test_an_empty_root_forecasts_no_yield(tmp_path):
    rest = forecast_rest(load_config(None, str(tmp_path), ())).set_index("what")["amount"]
    assert rest["queries left"] == 5042 and rest[["GB of media to come", "clips in the end"]].isna().all()


def test_a_frame_of_many_parts_takes_no_memory_by_the_square_of_their_number():
    parts = [pa.table({"video_id": [f"{part:07d}{row:04d}" for row in range(50)]}) for part in range(400)]
    pool, before = pa.system_memory_pool(), pa.default_memory_pool()  # the first is nobody else's
    pa.set_memory_pool(pool)
    try:
        frame = to_frame(pa.concat_tables(parts))
    finally:
        pa.set_memory_pool(before)
    assert frame["video_id"].tolist() == [name for part in parts for name in part["video_id"].to_pylist()]
    assert pool.max_memory() < 10e6
