"""A hostile site through the flow: each fault is a row with its reason in Parquet, and the good videos are whole."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect import flow

from datasets.outcomes import OK
from datasets.tables import make_table, read_table, write_part
from extract.site.settings import DownloadSettings
from flows.config import Config, RunSettings
from flows.machinery.run import media_table, start_run
from flows.stages.download import fetch_videos
from flows.stages.segment import find_speech
from tests.extract.data_channel import source_of
from tests.extract.fault_server import FAULTS, GOOD, open_fault_site, running
from tests.extract.test_faults import OUTCOMES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# A cable that drops several times in a row is the subject, not patience with it; one that trickles waits for the limit,
# which all others must keep on a busy machine, too.
DOWNLOAD = DownloadSettings(
    min_free_bytes=0, max_bytes=20_000_000, retries=2, retry_sleep_s=0, socket_timeout_s=1, timeout_s=40, num_threads=4
)
RUN = RunSettings(max_tries=1, videos_per_batch=20)


@flow(name="fetch-and-segment")
def fetch_and_segment(config: Config) -> None:
    run = start_run(config)
    fetch_videos(run)
    find_speech(run)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory, prefect_server):
    root = tmp_path_factory.mktemp("faulty") / "root"
    with running(open_fault_site(tmp_path_factory.mktemp("site"))) as site:
        config = Config(root=str(root), source=source_of(site), download=DOWNLOAD, run=RUN, pacer={"enabled": False})
        found = [{"query": "q", "video_id": video_id, "rank": 1, **OK} for video_id in site.ids.values()]
        write_part(root, "discoveries", make_table("discoveries", found, recipe="r", run_id="x"))
        fetch_and_segment(config)
        good = {name: site.good_bytes(name) for name in GOOD}
        yield SimpleNamespace(root=root, config=config, ids=dict(site.ids), good=good)


def rows_by_id(root, table):
    return {row["video_id"]: row for row in read_table(root, table).to_pylist()}


def test_every_fault_is_a_row_with_its_reason(fetched):
    videos, media = rows_by_id(fetched.root, "videos"), rows_by_id(fetched.root, "media")
    reasons = {}
    for name in FAULTS:
        video_id = fetched.ids[name]
        reasons[name] = media.get(video_id, videos[video_id])["reason"] or "ok"
    assert reasons == {name: outcome or "ok" for name, outcome in OUTCOMES.items()}


def test_nothing_failed_for_an_unknown_reason_but_what_was_refused(fetched):
    unexpected = {name for name in FAULTS if OUTCOMES[name] == "unexpected"}
    rows = [*rows_by_id(fetched.root, "videos").values(), *rows_by_id(fetched.root, "media").values()]
    found = {row["video_id"] for row in rows if row["reason"] == "unexpected"}
    assert found == {fetched.ids[name] for name in unexpected}


def test_the_good_videos_are_complete_byte_for_byte(fetched):
    paths = {row["video_id"]: row["media_path"] for row in media_table(start_run(fetched.config)).to_pylist()}
    for name, content in fetched.good.items():
        assert Path(paths[fetched.ids[name]]).read_bytes() == content


def test_every_downloaded_file_was_segmented_or_says_why_not(fetched):
    downloaded = {key for key, row in rows_by_id(fetched.root, "media").items() if row["status"] == "ok"}
    assert downloaded == set(rows_by_id(fetched.root, "segmentations"))


def test_only_whole_files_have_a_videos_name(fetched):
    """What was received of the others lies under hidden names, to go on from in a later try."""
    visible = {path.name for path in (fetched.root / "media_files").rglob("*.mp4") if not path.name.startswith(".")}
    whole = {key for key, row in rows_by_id(fetched.root, "media").items() if row["status"] == "ok"}
    assert visible == {f"{key}.mp4" for key in whole}
