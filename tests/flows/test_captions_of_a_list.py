"""What a list says of its clips, from the list's file to the shards of a release, and read back from there."""

from datetime import date
from pathlib import Path

import pytest

from datasets.releases.build import build_release
from datasets.releases.layout import read_manifest, read_shards, release_path
from datasets.releases.settings import PublishSettings
from datasets.releases.verify import verify_release
from datasets.tables import read_table
from extract.clip_lists import read_list
from flows.config import Config
from flows.finding.clips import find_words
from flows.machinery.run import Run
from flows.report.build import build_report
from flows.stages.given import keep_captions
from tests.small_tables import FACTS, RUN, make_root

SAID = 'He said: "弱火で", then\n玉ねぎ | <b>切る</b> 🧅'


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Of a root whose clips a list names, with a caption for the first three."""
    folder = tmp_path_factory.mktemp("captions")
    root = make_root(folder / "root")
    clips = read_table(root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"]).sort_by("clip_id").to_pylist()
    quoted = ['"' + SAID.replace('"', '""') + '"', "塩を入れる", "  ", *[""] * 9]
    rows = [
        f"{clip['video_id']},{clip['start_ms'] / 1000},{clip['end_ms'] / 1000},{text}"
        for clip, text in zip(clips, quoted, strict=True)
    ]
    path = folder / "list.csv"
    path.write_text("\n".join(["video_id,start,end,caption", *rows]), encoding="utf-8")
    keep_captions(Run(Config(root=root), "run"), read_list(path).captions)
    assert build_release(root, PublishSettings(), RUN, date(2026, 11, 24), FACTS) == "1.0.0"
    return Path(release_path(root, "1.0.0")), [clip["clip_id"] for clip in clips]


def test_captions_are_a_family_of_the_release_word_for_word(release):
    folder, clip_ids = release
    assert verify_release(folder) == []
    rows = read_shards(folder, "transcripts").sort_by("clip_id").to_pylist()
    assert [(row["clip_id"], row["text"]) for row in rows] == [(clip_ids[0], SAID), (clip_ids[1], "塩を入れる")]
    assert {row["engine"] for row in rows} == {"list"} and {row["language"] for row in rows} == {"ja"}


def test_the_manifest_says_that_a_list_gave_them_and_who_has_none(release):
    family = read_manifest(release[0])["families"]["transcripts"]
    assert family["encoder"]["name"] == "captions of a list" and family["rows"] == 2
    assert sorted(family["absent"]) == release[1][2:]


def test_a_release_is_searched_by_them(release):
    assert [found.clip.words for found in find_words(str(release[0]), "塩", 10)] == ["塩を入れる"]


def test_the_report_shows_them_and_says_that_a_list_gave_them(release):
    page = Path(build_report(Config(root=str(release[0].parents[1])))).read_text(encoding="utf-8")
    assert "captions of a list, as given</td>" in page
