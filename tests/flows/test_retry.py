"""`curate --retry transient`: what failed for a while is done again, and the later attempt is the one that counts."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from datasets.tables import read_table
from flows.__main__ import app
from tests.extract.fault_server import FAULTS, open_fault_site, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HEALING = {"media_503": "network", "page_429": "rate_limited", "dropped": "network"}
SETTINGS = """
[source]
name = "ids"
ids_file = "{ids_file}"
watch_url = "{url}/watch?v={{video_id}}"
extractors = ["demo.extractor:DemoVideoIE"]
[pacer]
enabled = false
[download]
min_free_bytes = 0
retries = 1
retry_sleep_s = 0
timeout_s = 10
[clips]
bridge_gap_ms = 700
[splits]
train = 1
val = 1
test = 1
[run]
max_tries = 1
"""


def read_rows(root, table, names):
    rows = {row["video_id"]: row for row in read_table(root, table).to_pylist()}
    return {name: rows[video_id] for name, video_id in names.items() if video_id in rows}


@pytest.fixture(scope="module")
def healed(tmp_path_factory, prefect_server):
    """One run over a site with faults, one after they have passed, one more."""
    folder = tmp_path_factory.mktemp("retry")
    with pytest.MonkeyPatch.context() as patch, running(open_fault_site(tmp_path_factory.mktemp("site"))) as site:
        names = {name: site.ids[name] for name in ("good_a", "good_b", "good_c", "removed", *HEALING)}
        (folder / "ids.txt").write_text("\n".join(names.values()))
        (folder / "config.toml").write_text(SETTINGS.format(ids_file=folder / "ids.txt", url=site.url))
        command = ["curate", "--config", str(folder / "config.toml"), "--root", str(folder / "root")]
        result = SimpleNamespace(root=folder / "root", names=names, site=site)
        result.first = CliRunner().invoke(app, command)
        result.before = {table: read_rows(result.root, table, names) for table in ("videos", "media")}
        for name in HEALING:
            patch.delitem(FAULTS, name)
        site.forget()
        result.again = CliRunner().invoke(app, [*command, "--retry", "transient"])
        result.after = {table: read_rows(result.root, table, names) for table in ("videos", "media")}
        result.num_requests = dict(site.num_requests)
        yield result


def test_both_runs_end_well(healed):
    assert (healed.first.exit_code, healed.again.exit_code) == (0, 0), (healed.first.output, healed.again.output)


def test_first_run_leaves_a_row_with_the_reason_for_each_fault(healed):
    assert {name: healed.before["videos"][name]["reason"] for name in HEALING} == HEALING


def test_second_run_makes_them_good_as_the_next_attempt(healed):
    for table in ("videos", "media"):
        rows = healed.after[table]
        assert {name: (rows[name]["status"], rows[name]["attempt"]) for name in HEALING} == dict.fromkeys(
            HEALING, ("ok", 1)
        )


def test_their_media_are_whole(healed):
    for name in HEALING:
        path = healed.root / "media_files" / healed.after["media"][name]["media_path"]
        assert path.read_bytes() == healed.site.good_bytes(name)


def test_what_was_good_or_final_is_not_asked_for_again(healed):
    for name in ("good_a", "good_b", "good_c", "removed"):
        assert name not in healed.num_requests
        assert healed.after["videos"][name] == healed.before["videos"][name]


def test_what_was_made_good_goes_on_to_be_segmented(healed):
    segmented = set(read_table(healed.root, "segmentations", ["video_id"])["video_id"].to_pylist())
    assert segmented == {video_id for name, video_id in healed.names.items() if name != "removed"}
