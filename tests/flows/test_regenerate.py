"""From a list alone: exactly its videos, exactly its clips, in its splits; what is gone or changed is said."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.splits.certificate import verify_certificate
from datasets.tables import read_table, table_digest
from datasets.tombstones import add_tombstones, hash_id
from flows.config import Config
from flows.machinery.run import WorkLeftError, look
from flows.status import read_notes
from tests.extract.data_channel import QUICK, make_item, make_video, open_channel, source_of

CLIPS = [
    ("goodvideo01", 0, 5000, "train"),
    ("goodvideo01", 6000, 11_500, "train"),
    ("encodedanew", 1000, 7000, "val"),
    ("removed0001", 0, 6000, "test"),
    ("goodvideo02", 2000, 9000, "test"),
]
ITEMS = [
    make_item("goodvideo01", language="fr", view_count=1),
    make_item("goodvideo02"),
    make_item("encodedanew"),
    make_item("removed0001", availability="removed"),
    make_item("notlisted01"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channel")
    make_video(folder / "good.mp4")
    (folder / "page.mp4").write_text("<html>try again later</html>")
    return folder


def write_release(folder: Path, media: dict[str, dict]) -> Path:
    """The metadata shards of a release of CLIPS, as `publish` writes them, one a split."""
    for split in ("train", "val", "test"):
        rows = [
            {
                "clip_id": f"{video_id}_{start_ms:09d}_{end_ms:09d}",
                "video_id": video_id,
                "start_ms": start_ms,
                "end_ms": end_ms,
                "speech_ms": end_ms - start_ms - 100,
                "split": split,
                "source": "site",
                "url": None,
                "format_id": media.get(video_id, {}).get("format_id", "18"),
                "media_sha256": media.get(video_id, {}).get("sha256", "0" * 64),
            }
            for video_id, start_ms, end_ms, clip_split in CLIPS
            if clip_split == split
        ]
        path = folder / "data" / "metadata" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


def regenerate_from(folder: Path, root: Path, *lists: Path | str, items=ITEMS, retry=()) -> list[str]:
    """Run the flow against the channel; the addresses that were asked for."""
    from flows.stages.regenerate import regenerate

    with open_channel(folder, items) as site:
        regenerate(make_config(root, site), tuple(map(str, lists)), retry)
        return site.RequestHandlerClass.asked


def make_config(root: Path, site) -> Config:
    quick_run = {"max_tries": 1}
    shared = {"source": source_of(site), "download": QUICK, "pacer": {"enabled": False}, "run": quick_run}
    return Config(root=str(root), **shared)


def clips_of(root: Path) -> dict[str, str | None]:
    return {row["clip_id"]: row["reason"] for row in read_table(root, "clips").to_pylist()}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory, folder, prefect_server):
    """A root regenerated from a release in which `encodedanew` has other bytes, and the release."""
    first, again = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("again")
    regenerate_from(folder, first, write_release(tmp_path_factory.mktemp("unknown"), {}))
    media = {row["video_id"]: row for row in read_table(first, "media").to_pylist()}
    media["encodedanew"] |= {"format_id": "another", "sha256": "f" * 64}
    release = write_release(tmp_path_factory.mktemp("release"), media)
    asked = regenerate_from(folder, again, release)
    return again, release, asked


def test_exactly_the_listed_clips_are_cut_in_the_listed_splits(regenerated):
    root, _, asked = regenerated
    names = {f"{video_id}_{start_ms:09d}_{end_ms:09d}": split for video_id, start_ms, end_ms, split in CLIPS}
    assert set(clips_of(root)) == set(names)
    splits = {row["clip_id"]: row["split"] for row in read_table(root, "splits").to_pylist()}
    assert splits == {name: split for name, split in names.items() if not name.startswith("removed")}
    assert {row["speech_ms"] for row in read_table(root, "clips").to_pylist()} == {4900, 5400, 5900, 6900}
    assert not any("notlisted01" in path for path in asked)


def test_the_rules_of_a_search_are_not_applied(regenerated):
    """goodvideo01 is French and was seen once: who made the list wanted it."""
    videos = {row["video_id"]: row["status"] for row in read_table(regenerated[0], "videos").to_pylist()}
    assert videos["goodvideo01"] == "ok"


def test_a_video_that_is_gone_leaves_a_row_with_its_reason_and_one_for_each_clip(regenerated):
    gone = {row["video_id"]: row["reason"] for row in read_table(regenerated[0], "regenerations").to_pylist()}
    assert gone == {"goodvideo01": None, "goodvideo02": None, "encodedanew": None, "removed0001": "removed"}
    assert [name for name, reason in clips_of(regenerated[0]).items() if reason == "video_gone"] == [
        "removed0001_000000000_000006000"
    ]


def test_media_encoded_anew_are_noticed_and_named(regenerated):
    rows = read_table(regenerated[0], "regenerations").to_pylist()
    same = {row["video_id"]: row["is_same_media"] for row in rows}
    assert same == {"goodvideo01": True, "goodvideo02": True, "encodedanew": False, "removed0001": None}
    assert [note for note in read_notes(str(regenerated[0])) if "1 of 4" in note and "encodedanew" in note]


def test_the_certificate_holds_for_what_is_left(regenerated):
    assert verify_certificate(regenerated[0]) == []


def test_a_second_run_asks_for_nothing_and_changes_no_file(regenerated, folder):
    root, release, _ = regenerated
    before = contents(root)
    assert regenerate_from(folder, root, release) == []
    assert contents(root) == before


def test_a_list_that_is_done_is_nothing_to_do_and_another_is_work(regenerated, folder, tmp_path):
    from flows.stages.regenerate import regenerate_root

    root, release, _ = regenerated
    (tmp_path / "more.csv").write_text("video_id,start,end,split\ngoodvideo01,0,5,train\n")
    with open_channel(folder, ITEMS) as site:
        config = make_config(root, site)
        look(regenerate_root, config, (str(release),))
        with pytest.raises(WorkLeftError):
            look(regenerate_root, config, (str(release),), retry=("removed",))
        with pytest.raises(WorkLeftError):
            look(regenerate_root, config, (str(tmp_path / "more.csv"),))


def test_a_video_that_failed_for_a_while_comes_with_a_retry(tmp_path, folder, prefect_server):
    release = write_release(tmp_path / "release", {})
    broken = [item | {"file": "page.mp4"} if item["id"] == "goodvideo02" else item for item in ITEMS]
    regenerate_from(folder, tmp_path / "root", release, items=broken)
    assert not any(name.startswith("goodvideo02") for name in clips_of(tmp_path / "root"))
    asked = regenerate_from(folder, tmp_path / "root", release, retry=("network",))
    assert clips_of(tmp_path / "root")["goodvideo02_000002000_000009000"] is None
    assert verify_certificate(tmp_path / "root") == []
    assert not any("goodvideo01" in path for path in asked)


def test_a_video_that_was_taken_down_is_not_asked_for_nor_named(tmp_path, folder, prefect_server):
    root = tmp_path / "root"
    add_tombstones(root, "video", ["goodvideo01"], "owner asked")
    asked = regenerate_from(folder, root, write_release(tmp_path / "release", {}))
    assert not any("goodvideo01" in path for path in asked)
    rows = {row["video_id"]: row["reason"] for row in read_table(root, "regenerations").to_pylist()}
    assert rows[hash_id("video", "goodvideo01")] == "tombstoned" and "goodvideo01" not in rows
    assert not any("goodvideo01" in name for name in clips_of(root))


def test_lists_without_splits_take_the_one_they_are_named_with(tmp_path, folder, prefect_server):
    for name, video_id in (("a", "goodvideo01"), ("b", "goodvideo02")):
        (tmp_path / f"{name}.csv").write_text(f"video_id,start,end\n{video_id},1,7.5\n{video_id},9,9\n")
    lists = (f"train={tmp_path / 'a.csv'}", f"eval={tmp_path / 'b.csv'}")
    regenerate_from(folder, tmp_path / "root", *lists)
    splits = {row["clip_id"]: row["split"] for row in read_table(tmp_path / "root", "splits").to_pylist()}
    assert splits == {"goodvideo01_000001000_000007500": "train", "goodvideo02_000001000_000007500": "test"}
    assert clips_of(tmp_path / "root")["goodvideo01_000009000_000009000"] == "no_length"


def test_a_list_of_videos_alone_is_fetched_and_says_that_it_names_no_clips(tmp_path, folder, prefect_server, caplog):
    (tmp_path / "youcook_japanese_v1.json").write_text('["goodvideo01", "removed0001"]')
    regenerate_from(folder, tmp_path / "root", tmp_path / "youcook_japanese_v1.json")
    media = read_table(tmp_path / "root", "media").to_pylist()
    assert [(row["video_id"], row["status"]) for row in media] == [("goodvideo01", "ok")]
    assert clips_of(tmp_path / "root") == {} and "names videos but no clips" in caplog.text


def test_a_root_of_a_search_is_left_alone(small_root, small_config, tmp_path):
    from flows.stages.regenerate import regenerate

    before = table_digest(small_root, "clips")
    with pytest.raises(ValueError, match="a root of its own"):
        regenerate(small_config, (str(write_release(tmp_path, {})),))
    assert table_digest(small_root, "clips") == before


def test_regenerated_features_are_those_of_the_first_root(small_root, small_config, tmp_path):
    """Ids, times and splits are enough: the features, their recipes and the report come from the list alone."""
    from flows.report.build import build_report
    from flows.stages.featurize import featurize
    from flows.stages.regenerate import regenerate

    clips = read_table(small_root, "clips", ["clip_id", "start_ms", "end_ms"])
    listed = read_table(small_root, "splits", ["clip_id", "video_id", "split"]).join(clips, "clip_id")
    (tmp_path / "data" / "metadata").mkdir(parents=True)
    pq.write_table(listed, tmp_path / "data" / "metadata" / "all-00000-of-00001.parquet")
    config = small_config.model_copy(update={"root": str(tmp_path / "root")})
    regenerate(config, (str(tmp_path),))
    featurize(config)
    for table in ("features_2d", "features_3d", "log_mel", "pooled"):
        assert table_digest(config.root, table) == table_digest(small_root, table)
    assert Path(build_report(config, 3, 0)).stat().st_size > 1000
