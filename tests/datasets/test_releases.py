"""Releases: built whole, equal for equal tables, immutable, verified, compared."""

import hashlib
import json
import os
import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from datasets.files import write_json
from datasets.releases.build import build_release, seal_release
from datasets.releases.layout import find_video, list_releases, read_manifest, read_shards, release_path, shards_of
from datasets.releases.settings import PublishSettings
from datasets.releases.shards import FAMILIES, ReleaseError, plan_shards, read_metadata
from datasets.releases.verify import verify_release
from datasets.tables import RUN_FILE, list_parts, read_run, read_table, write_part
from datasets.tombstones import add_tombstones, hash_id
from tests.small_tables import CONFIG, FACTS, RUN, certify, make_root, video_name, write_features

SETTINGS = PublishSettings(name="small", tiny_clips=2, small_clips=4, clips_per_shard=3)
DAY = date(2026, 11, 24)


def build(root, settings=SETTINGS):
    return build_release(root, settings, RUN, DAY, FACTS)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = make_root(tmp_path_factory.mktemp("release") / "root")
    assert build(root) == "1.0.0"
    return root


@pytest.fixture
def release(published, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(release_path(published, "1.0.0"), tmp_path / "copy"))


def drop_video(root, video_id):
    """As if a later draw had left the video out."""
    paths = list_parts(root, "splits")
    rows = read_table(root, "splits")
    write_part(root, "splits", rows.filter(pa.compute.not_equal(rows["video_id"], video_id)))
    for path in paths:
        Path(path).unlink()
    certify(root)


def test_layout_is_the_one_that_hugging_face_reads(published):
    shards = sorted(path.name for path in Path(release_path(published, "1.0.0"), "data/pooled").iterdir())
    assert shards == [
        "test-00000-of-00002.parquet",
        "test-00001-of-00002.parquet",
        "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet",
        "train-00002-of-00003.parquet",
        "val-00000-of-00002.parquet",
        "val-00001-of-00002.parquet",
    ]


@pytest.mark.parametrize(
    ("num_clips", "ends"),
    [(0, []), (1, [1]), (2, [2]), (3, [2, 3]), (4, [2, 4]), (5, [2, 4, 5]), (11, [2, 4, 7, 10, 11])],
)
def test_tiers_are_the_first_shards(num_clips, ends):
    assert plan_shards(num_clips, SETTINGS) == ends


def test_tiers_hold_the_asked_numbers(published):
    release = release_path(published, "1.0.0")
    counts = {tier: read_shards(release, tier=tier).num_rows for tier in ("tiny", "small", "full")}
    assert counts == {"tiny": 6, "small": 10, "full": 12}


def test_equal_tables_give_equal_shards_whatever_their_parts(published, tmp_path):
    other = make_root(tmp_path / "other")
    for name in ("features_2d", "clips"):
        paths, rows = list_parts(other, name), read_table(other, name)
        for row in range(rows.num_rows):
            write_part(other, name, rows.slice(rows.num_rows - 1 - row, 1))
        for path in paths:
            Path(path).unlink()
    build(other)
    names = ("files", "tiers", "splits", "families")
    first, second = (read_manifest(release_path(root, "1.0.0")) for root in (published, other))
    assert [first[name] for name in names] == [second[name] for name in names]


def test_shards_hold_what_the_tables_do(published):
    release = release_path(published, "1.0.0")
    for family in FAMILIES[1:]:
        table = read_table(published, family).sort_by("clip_id")
        shards = read_shards(release, family).sort_by("clip_id")
        assert shards.equals(table.select(shards.column_names)), family


def test_nothing_changed_means_no_new_release(published):
    assert build(published) is None
    assert list_releases(published) == ["1.0.0"]
    assert not (Path(published) / "releases" / ".building").exists()


def test_no_title_channel_or_loopback_address_is_published(published):
    for path in Path(release_path(published, "1.0.0")).rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        text = str(pq.read_table(path, partitioning=None).to_pylist()) if path.suffix == ".parquet" else ""
        for secret in ("肉じゃが", "UCchannel", "127.0.0.1"):
            assert secret.encode() not in content and secret not in text, path


def test_titles_of_creative_commons_videos_where_the_switch_allows(published):
    metadata = read_metadata(published, PublishSettings(show_titles="creative_commons"))
    by_video = {row["video_id"]: row["title"] for row in metadata.to_pylist()}
    assert by_video[video_name(0)] == "肉じゃが 0" and by_video[video_name(1)] is None


def test_the_list_of_a_release_may_hold_more_text_than_32_bits_count(published):
    metadata = read_metadata(published, PublishSettings())
    assert {metadata.schema.field(name).type for name in ("clip_id", "url", "license")} == {pa.large_string()}


def test_a_release_verifies_and_so_does_a_copy(published, release):
    assert verify_release(release_path(published, "1.0.0")) == []
    assert verify_release(release) == []
    assert verify_release(f"file://{release}") == []


def files_of(release):
    return [path for path in sorted(release.rglob("*")) if path.is_file()]


def test_one_changed_byte_names_its_file(published, tmp_path):
    """In every file of the release, its own list of sums included."""
    release = Path(shutil.copytree(release_path(published, "1.0.0"), tmp_path / "copy"))
    for path in files_of(release):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        assert str(path.relative_to(release)) in verify_release(release)[0], path
        path.write_bytes(content)
    assert verify_release(release) == []


def test_a_missing_and_a_stray_shard_are_named(release):
    shard = release / "data/pooled/val-00000-of-00002.parquet"
    shard.rename(release / "data/pooled/extra.parquet")
    assert verify_release(release) == [
        "data/pooled/val-00000-of-00002.parquet: missing",
        "data/pooled/extra.parquet: not in SHA256SUMS",
    ]


def reseal(release):
    """Sums that fit the files again, as a careless or hostile publisher would make them."""
    manifest, run = (json.loads((release / name).read_text()) for name in ("manifest.json", "run.json"))
    for file in manifest["files"]:
        data = (release / file["path"]).read_bytes()
        file |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (release / "manifest.json").write_text(json.dumps(manifest))
    for name in ("run.json", "SHA256SUMS"):
        (release / name).unlink()
    seal_release(release, {name: value for name, value in run.items() if name != "papers"})


def test_a_clip_in_two_splits_is_found_although_the_sums_fit(release):
    train = release / "data/metadata/train-00000-of-00003.parquet"
    shutil.copyfile(release / "data/metadata/val-00000-of-00002.parquet", train)
    reseal(release)
    problems = verify_release(release)
    assert any("no video in two splits" in problem for problem in problems)
    assert any("made for another assignment" in problem for problem in problems)


def test_a_lost_row_is_found_although_the_sums_fit(release):
    path = release / "data/log_mel/train-00000-of-00003.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
    reseal(release)
    assert "1 rows in" in verify_release(release)[0] and "the manifest says 2 rows" in verify_release(release)[0]


def test_an_unfinished_release_is_none(release):
    (release / "SHA256SUMS").unlink()
    assert "SHA256SUMS: missing" in verify_release(release)[0]


def test_the_next_release_says_what_went_and_names_nobody(tmp_path):
    root = make_root(tmp_path / "root", splits={"train": 3, "val": 1, "test": 1})
    build(root)
    drop_video(root, video_name(0))
    add_tombstones(root, "video", [video_name(1)], "owner asked")
    drop_video(root, video_name(1))
    assert build(root) == "1.1.0"
    changes = read_manifest(release_path(root, "1.1.0"))["changes"]
    assert changes["removed"] == {
        "clips": {"not_drawn": 3, "tombstoned": 3},
        "videos": {"not_drawn": 1, "tombstoned": 1},
    }
    folder = Path(release_path(root, "1.1.0"))
    changelog = (folder / "CHANGELOG.md").read_text()
    assert "removed: 6 clips, 2 videos (not_drawn: 3 clips, 1 video; tombstoned: 3 clips, 1 video)" in changelog
    assert changelog.index("## 1.1.0") < changelog.index("## 1.0.0")
    assert f"{hash_id('video', video_name(1))}\ttombstoned\t1.1.0" in (folder / "removed.tsv").read_text()
    for path in files_of(folder):
        text = (
            str(pq.read_table(path, partitioning=None).to_pylist()) if path.suffix == ".parquet" else path.read_text()
        )
        assert video_name(0) not in text and video_name(1) not in text


def test_what_was_taken_down_must_not_be_in_a_release(tmp_path):
    root = make_root(tmp_path / "root")
    add_tombstones(root, "channel", ["UCchannel-0"], "owner asked")
    with pytest.raises(ReleaseError, match="tombstones"):
        build(root)
    assert list_releases(root) == []


def test_other_values_of_the_same_clips_are_a_patch(tmp_path):
    root = make_root(tmp_path / "root")
    build(root)
    for path in list_parts(root, "log_mel"):
        Path(path).unlink()
    write_features(root, read_table(root, "clips", ["clip_id", "video_id", "start_ms"]).to_pylist(), seed=2)
    assert build(root) == "1.0.1"
    assert "same clips" in Path(release_path(root, "1.0.1"), "CHANGELOG.md").read_text()


def test_another_contact_is_a_patch_with_the_same_shards(tmp_path):
    root = make_root(tmp_path / "root")
    build(root)
    assert build(root, SETTINGS.model_copy(update={"contact": "removals@example.org"})) == "1.0.1"
    first, second = (read_manifest(release_path(root, version)) for version in list_releases(root))
    assert first["files"] == second["files"]
    assert "write to removals@example.org" in Path(release_path(root, "1.0.1"), "README.md").read_text()


def test_features_that_are_missing_say_what_to_do(tmp_path):
    root = make_root(tmp_path / "root")
    shutil.rmtree(Path(root) / "log_mel")
    with pytest.raises(ReleaseError, match="run `python -m flows featurize` first"):
        build(root)


@pytest.mark.parametrize(
    "url", ["folder:19598c8c9febfaa7a7b8", "https://example.org/watch?v=a", "http://example.org/a"]
)
def test_a_release_of_any_source_is_whole(tmp_path, url):
    root = make_root(tmp_path / "root")
    (path,) = list_parts(root, "videos")
    videos = pq.ParquetFile(path).read()
    place = videos.schema.get_field_index("url")
    write_part(root, "videos", videos.set_column(place, videos.schema.field("url"), pa.repeat(url, len(videos))))
    build(root)
    assert read_shards(release_path(root, "1.0.0"))["url"].unique().to_pylist() == [url]


def test_am_i_in_answers_yes_no_and_removed(tmp_path):
    root = make_root(tmp_path / "root")
    build(root)
    clips, _ = find_video(release_path(root, "1.0.0"), video_name(0))
    assert [clip["start_ms"] for clip in clips] == [0, 7000, 14000]
    drop_video(root, video_name(0))
    build(root)
    assert find_video(release_path(root, "1.1.0"), video_name(0)) == ([], True)
    assert find_video(release_path(root, "1.1.0"), "somebody-else") == ([], False)


def test_a_root_without_3d_features_is_published_without_that_family_and_with_them_anew(tmp_path):
    root = make_root(tmp_path / "root")
    record = read_run(root, "pooled")
    write_json(f"{root}/pooled/{RUN_FILE}", record | {"config": CONFIG | {"features": {"encoder_3d": "none"}}})
    assert build(root) == "1.0.0"
    manifest = read_manifest(release_path(root, "1.0.0"))
    assert set(manifest["families"]) == set(FAMILIES) - {"features_3d"}
    assert verify_release(release_path(root, "1.0.0")) == []
    write_json(f"{root}/pooled/{RUN_FILE}", record)
    assert build(root) == "2.0.0"
    assert read_manifest(release_path(root, "2.0.0"))["changes"]["new_recipes"] == ["features_3d"]


def test_the_card_says_what_the_tables_say(published):
    card = Path(release_path(published, "1.0.0"), "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert [row["config_name"] for row in front["configs"]][:5] == list(FAMILIES)
    assert {"metadata-tiny", "log_mel-small"} <= {row["config_name"] for row in front["configs"]}
    assert front["language"] == ["ja"] and front["size_categories"] == ["n<1K"]
    assert "| train | 6 | 2 | 36 s |" in card
    assert "features_3d were made with UNTRAINED weights" in card and "1" * 64 in card


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_croissant_is_valid_reads_the_clips_and_tells_of_risks(published):
    import mlcroissant as mlc

    release = Path(release_path(published, "1.0.0"))
    dataset = mlc.Dataset(jsonld=release / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    assert dataset.metadata.data_biases and dataset.metadata.personal_sensitive_information
    first = next(iter(dataset.records("metadata")))
    assert first["metadata/video_id"].decode().startswith("video-")
    assert len(list(dataset.records("pooled"))) == 12


def test_one_place_knows_which_shards_a_release_has(release, tmp_path):
    listed = [file["path"] for file in read_manifest(release)["files"] if file["family"] == "pooled"]
    assert shards_of(release, "pooled") == [f"{release}/{path}" for path in listed]
    train = [f"{release}/{path}" for path in listed if "/train-" in path]
    assert shards_of(release, "pooled", "train") == train and shards_of(release, "pooled", "train", "tiny") == train[:1]
    shutil.copy(train[0], f"{release}/data/pooled/train-00099-of-00100.parquet")
    assert shards_of(release, "pooled", "train") == train, "a stray file is no shard"
    assert shards_of(tmp_path, "pooled") == [], "a root is no release"


@pytest.mark.parametrize("name", ["manifest.json", "WITHDRAWN.json", "removed.tsv", "shard"])
def test_a_pipe_in_a_release_is_not_waited_for(release, name):
    path = release / name if name != "shard" else Path(shards_of(release, "metadata")[0])
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(ReleaseError, match=f"{path.name} is a pipe, a device or a folder"):
        find_video(release, video_name(0))


def test_a_row_without_its_video_is_no_row_of_a_release(release):
    shard = shards_of(release, "metadata")[0]
    rows = pq.read_table(shard)
    names = pa.array([None] * rows.num_rows, pa.string())
    pq.write_table(rows.set_column(rows.column_names.index("video_id"), "video_id", names), shard)
    with pytest.raises(ReleaseError, match="video_id is missing in"):
        find_video(release, video_name(0))


def test_a_withdrawn_release_has_no_shards(release):
    (release / "WITHDRAWN.json").write_text('{"version": "1.0.0", "why": "asked", "use_instead": "1.1.0"}')
    with pytest.raises(ReleaseError, match=r"withdrawn \(asked\): use 1\.1\.0"):
        shards_of(release, "pooled")


def test_a_release_has_the_same_bill_of_materials_whenever_it_is_made(tmp_path):
    lock = Path(__file__).parents[2].joinpath("requirements.lock").read_text()
    bills = []
    for name, day in (("one", date(2026, 1, 1)), ("two", date(2027, 2, 2))):
        root = make_root(tmp_path / name)
        build_release(root, SETTINGS, RUN, day, FACTS, lock)
        release = Path(release_path(root, "1.0.0"))
        assert verify_release(release) == []
        bills.append((release / "sbom.cdx.json").read_bytes())
    assert bills[0] == bills[1]
    bill = json.loads(bills[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert len(bill["components"]) == lock.count("==") and "pkg:pypi/pyarrow@" in bills[0].decode()
    (release / "sbom.cdx.json").write_text("{}")
    assert any("sbom.cdx.json" in problem for problem in verify_release(release))
