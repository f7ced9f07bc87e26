"""What reads what others wrote: for each a strategy of inputs, what is done with one, and the errors that are allowed.

Each `read_*` returns normally or raises one of its target's own error types; anything else is a fault.
"""

import atexit
import hashlib
import io
import json
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from datasets.ids import check_video_id
from datasets.outcomes import OK
from datasets.places_audio import read_places
from datasets.releases.layout import ReleaseError, read_shards, release_path
from datasets.releases.verify import verify_release
from datasets.tables import make_table
from datasets.tombstones import hash_id
from extract.clip_lists import ClipListError, read_list
from extract.clips import ClipSettings, cut_clips
from extract.media import MediaInfo
from extract.mp4 import IncompleteMediaError, list_boxes, read_header
from extract.selection import SelectionSettings, preselect, select
from extract.site.formats import NoFormatError, choose_formats, expected_bytes, format_key, playlist_addresses
from extract.site.metadata import clean_metadata
from extract.site.pacer import parse_retry_after
from extract.site.rows import make_discovery, make_media, make_video
from extract.sources import SOURCES as SITES
from extract.sources import SourceSettings, allowed_hosts, extractor_names, is_allowed_url, read_ids_file, watch_url
from flows.config import ConfigError, load_config
from model.settings import RECIPES
from tests.extract.test_list_layouts import CLIPS, REFUSED, VIDEOS, as_bytes
from tests.fuzz.inputs import JSON, TEXT, mutated, mutated_text, twisted

TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """One parser and what it is given."""

    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], None]
    errors: tuple[type[Exception], ...] = ()
    files: tuple[str, ...] = ()
    """Where at least 80 % of the branches must be reached, as FILE or FILE:FUNCTION,FUNCTION."""
    always: tuple[Any, ...] = ()
    """Inputs that are read whatever is drawn."""


@cache
def scratch() -> Path:
    """One folder for the file that a parser is given; overwritten by each input."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def put(name: str, content: bytes) -> Path:
    path = scratch() / name
    path.write_bytes(content)
    return path


def same_row(name: str, row: dict[str, Any]) -> None:
    """What a parser lets through can be kept: of the table's types, and text that is text."""
    make_table(name, [{**OK, **row}], recipe="r", run_id="r")


# ---- configuration

CONFIGS = [path.read_text(encoding="utf-8") for path in sorted((TOP / "configs").glob("*.toml"))]
CONFIGS += ["train = 3", "splits = 1", "[experiments.places_hindi.rows.avlnet.train]\nepochs = 1\n"]
OVERRIDES = [
    "clips.nosuch=1",
    "root.x=1",
    "nothing",
    "clips.min_ms=7000",
    "source.watch_url=http://x/{video_id}",
    "train=3",
    "train.widths=[1, 2]",
    "root=x",
    "schedules.curate_daily=0",
    "schedules.publish=at noon",
    "schedules.pipeline=5 4 * * *",
    "train.epochs=2",
]


def read_config(given: tuple[bytes, list[str], list[str]]) -> None:
    content, overrides, recipes = given
    beneath = {"features": {"precision": "fp32"}, "splits": {"seed": 1}}
    config = load_config(put("config.toml", content), "data/fuzzed", tuple(overrides), tuple(recipes), beneath)
    json.dumps(config.model_dump(mode="json"))


CONFIG_INPUTS = st.tuples(
    st.sampled_from(CONFIGS).flatmap(lambda text: mutated(text.encode()) | st.just(text.encode())),
    st.lists(st.sampled_from(OVERRIDES).flatmap(mutated_text) | st.sampled_from(OVERRIDES), max_size=2),
    st.lists(st.sampled_from([*RECIPES, "x"]), max_size=1),
)

# ---- sources

LINES = [
    "dQw4w9WgXcQ",
    "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "https://youtu.be/dQw4w9WgXcQ",
    "https://www.youtube.com/@cook/",
    "https://www.youtube.com/shorts/dQw4w9WgXcQ",
    "https://www.youtube.com/playlist?list=PL1",
    "# said",
    "",
]


def read_ids(given: tuple[list[str], str]) -> None:
    lines, name = given
    source = SourceSettings(name=name, extractors=("a.b:C",))  # type: ignore[arg-type]
    extractor_names(source)
    hosts = allowed_hosts(source)
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    for query in read_ids_file(put("ids.txt", content)):
        found = SITES[name].find(query, 5, source)
        for entry in found if isinstance(found, list) else []:
            assert watch_url(entry["id"], source).endswith(check_video_id(entry["id"]))
        if isinstance(found, str) and is_allowed_url(found, hosts):
            assert "youtu" in found


ID_INPUTS = st.tuples(
    st.lists(st.sampled_from(LINES) | st.sampled_from(LINES).flatmap(mutated_text) | TEXT, max_size=4),
    st.sampled_from(["ids", "youtube", "site"]),
)


def read_source_settings(given: dict[str, Any]) -> None:
    SourceSettings.model_validate(given)


# ---- yt-dlp's metadata

METADATA: dict[str, Any] = {
    "id": "dQw4w9WgXcQ",
    "title": "肉じゃがの作り方",
    "description": "今日は肉じゃがを作ります",
    "channel_id": "UCx",
    "duration": 61.5,
    "view_count": 12345,
    "upload_date": "20240102",
    "license": "Creative Commons Attribution",
    "language": "ja",
    "age_limit": 0,
    "live_status": "not_live",
    "is_live": False,
    "availability": "public",
    "automatic_captions": {"ja-orig": [{"url": "x"}], "en": []},
    "formats": [
        {
            "format_id": "18",
            "protocol": "https",
            "vcodec": "avc1.4d",
            "acodec": "mp4a.40.2",
            "height": 360,
            "width": 640,
            "language": "ja",
            "language_preference": 10,
            "filesize": 1000,
        },
        {"format_id": "137", "protocol": "https", "vcodec": "avc1", "acodec": "none", "height": 480, "width": 854},
        {"format_id": "140", "protocol": "m3u8_native", "vcodec": "none", "acodec": "mp4a", "language": "en-desc"},
        {"format_id": "141", "protocol": "https", "vcodec": "none", "acodec": "mp4a", "language": "en"},
    ],
}
SELECTIONS = st.sampled_from(
    [
        SelectionSettings(),
        SelectionSettings(language="hi", creative_commons_only=True),
        SelectionSettings(language=None, min_duration_ms=70_000),
        SelectionSettings(language="en", max_duration_ms=11_000, min_views=0),
        SelectionSettings(allow_age_restricted=True),
    ]
)


def read_metadata(given: tuple[dict[str, Any], SelectionSettings]) -> None:
    raw, selection = given
    if not isinstance(raw, dict):
        return
    metadata = clean_metadata(raw)
    outcome = select(metadata, selection) or OK
    same_row("videos", {**make_video("dQw4w9WgXcQ", metadata, SourceSettings(), selection), **outcome})
    found = make_discovery("q", "dQw4w9WgXcQ", 1, metadata)
    same_row("discoveries", found)
    preselect(found, selection)


LIVES = [
    {**METADATA, "live_status": "is_upcoming"},
    {**METADATA, "availability": "premium_only"},
    {**METADATA, "availability": "private"},
    {**METADATA, "age_limit": 18},
    {"title": "x"},
]
METADATA_INPUTS = st.tuples(st.sampled_from([METADATA, *LIVES]).flatmap(twisted), SELECTIONS)


def read_formats(given: tuple[Any, str]) -> None:
    formats, playlist = given
    formats = [
        {"source_format_id": i, **item} for i, item in enumerate(clean_metadata({"formats": formats})["formats"] or [])
    ]
    playlist_addresses(playlist)
    chosen = choose_formats(formats, 480)
    if chosen:
        assert expected_bytes(chosen) >= 0 and format_key(chosen)
        info = MediaInfo(1000, None, None, None, None, None)
        same_row("media", make_media("dQw4w9WgXcQ", Path("aa/x.mp4"), 1, "0" * 64, chosen, info))


FORMAT_INPUTS = st.tuples(
    st.lists(st.sampled_from(METADATA["formats"]).flatmap(twisted), max_size=5) | JSON,
    st.sampled_from(['#EXTM3U\n#EXT-X-KEY:URI="k"\na.ts\n', ""]).flatmap(mutated_text),
)

# ---- segments

TIMES = st.integers(-(10**6), 10**9)
SEGMENT_INPUTS = st.tuples(
    st.lists(st.tuples(st.sampled_from(["speech", "music", "noise", "no_energy", "x"]), TIMES, TIMES), max_size=8)
    | st.lists(
        st.tuples(st.sampled_from(["speech", "no_energy", "music"]), st.integers(0, 99_000), st.integers(0, 99_000)),
        max_size=12,
    ),
    st.builds(
        ClipSettings,
        min_ms=st.integers(1, 5000),
        max_ms=st.integers(5000, 50_000),
        bridge_gap_ms=st.integers(0, 10_000),
        too_long=st.sampled_from(["drop", "cut"]),
        whole_videos=st.booleans(),
    ),
    st.none() | st.integers(0, 10**6),
    st.booleans(),
)


def read_segments(given: Any) -> None:
    segments, settings, duration_ms, as_rows = given
    if as_rows:
        segments = [dict(zip(("label", "start_ms", "end_ms"), segment, strict=True)) for segment in segments]
    rows = cut_clips("v", segments, settings, duration_ms)
    make_table("clips", rows, recipe="r", run_id="r")
    for row in rows:
        assert 0 <= row["start_ms"] <= row["end_ms"] and 0 <= row["speech_ms"] <= row["end_ms"] - row["start_ms"]
        assert row["status"] != "ok" or settings.min_ms <= row["end_ms"] - row["start_ms"] <= settings.max_ms


# ---- clip lists

LIST_PARTS = ("entries", "trees", "tables", "parquet", "times", "videos", "pickles")
LISTS: dict[str, bytes] = {
    "list.csv": b"video_id,start,end,split\nabc,1.5,12.25,train\nabd,0,9,validation\n",
    "times.csv": b"id,start_ms,end_ms,speech_ms\nabc,1500,12250,900\n",
    "stamps.json": json.dumps([{"Youtube Video ID": "abc", "Time Stamp": "1-9"}]).encode(),
    "ids.json": json.dumps(["abc", "abd"]).encode(),
    "youcook2.json": json.dumps(
        {"database": {"abc": {"subset": "training", "annotations": [{"segment": [1, 9]}, {"segment": "0:01-0:09"}]}}}
    ).encode(),
    "names.json": json.dumps({"GLd3aX16zBg": 1, "v_GLd3aX16zBg": [[1, 2], [3, 4]]}).encode(),
    "splits.json": json.dumps(
        {"train": [{"video_id": "abc", "start": 1, "end": 9}], "eval": {"GLd3aX16zBg": 1}}
    ).encode(),
    "captions.json": json.dumps({"GLd3aX16zBg": {"start": [1, 2], "end": [5, 9], "text": ["a", "b"]}}).encode(),
    "msrvtt.json": json.dumps(
        {"info": {}, "videos": [{"url": "https://youtu.be/GLd3aX16zBg", "start time": 1, "end time": 9}]}
    ).encode(),
    "audioset.csv": b'# made\n# YTID, start_seconds, end_seconds, labels\nGLd3aX16zBg, 0.0, 10.0, "/m/a,/m/b"\n',
    "plain.tsv": b"GLd3aX16zBg\t1\t2\tx\n",
    "vggsound.csv": b'GLd3aX16zBg,1,rain,test\nGLd3aX16zBg,0:05,"a, b",train\n',
    "vatex.jsonl": b'{"videoID": "GLd3aX16zBg_000010_000020"}\n',
    "numpy.pkl": pickle.dumps([{"video_id": "abc", "start": np.float64(1.5), "end": np.int64(9)}]),
    "list.pkl": pickle.dumps(
        [{"video_id": "abc", "start": 1.5, "end": 9, "2d": bytearray(b"x"), "t": datetime.now(UTC)}]
    ),
    "other.txt": b"abc",
}
ENTRY = {"video_id": "abc", "start": 1.5, "end": 9.0, "split": "train", "speech_ms": 5, "format_id": "18"}


def read_any_list(given: tuple[str, bytes]) -> None:
    path = put(*given)
    assert isinstance(read_list(path).describe(), str)
    for row in read_list(path, "test").clips:
        same_row("clips", {key: row[key] for key in ("clip_id", "video_id", "start_ms", "end_ms")})
        assert row.get("speech_ms") is None or isinstance(row["speech_ms"], int)
        assert 0 <= row["start_ms"] < row["end_ms"] < 10**9


def _as_json(value: Any) -> tuple[str, bytes]:
    return "list.json", json.dumps(value).encode()


def _as_pickle(value: Any) -> tuple[str, bytes]:
    return "list.pkl", pickle.dumps(value)


def _as_parquet(*names: str, num_rows: int = 1) -> tuple[str, bytes]:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.repeat("1", num_rows)] * len(names), names), file)
    return "list.parquet", file.getvalue()


# Not mutated: Arrow's own reading is fuzzed by its shards.
TABLES = [_as_parquet("video_id", "start"), _as_parquet("id", "id"), _as_parquet("id", "start", num_rows=10**5)]
LIST_FILES = ("extract/clip_lists.py", *(f"extract/lists/{name}.py" for name in LIST_PARTS))
# Lists as published, and as refused: named in tests/extract/test_list_layouts.py.
PUBLISHED = [
    (name, as_bytes(name, content)) for name, content, *_ in (*CLIPS.values(), *VIDEOS.values(), *REFUSED.values())
]
LIST_INPUTS = (
    st.sampled_from(PUBLISHED).flatmap(lambda item: st.tuples(st.just(item[0]), mutated(item[1])))
    | st.sampled_from(sorted(LISTS.items())).flatmap(lambda item: st.tuples(st.just(item[0]), mutated(item[1])))
    | twisted([ENTRY, {**ENTRY, "start_ms": 5, "end_ms": 9}]).map(_as_json)
    | twisted({"database": {"abc": {"annotations": [{"segment": [1, 9]}]}}}).map(_as_json)
    | twisted([ENTRY, {"id": "x", "Time Stamp": "1-2"}]).map(_as_pickle)
    | st.sampled_from(TABLES)
)

# ---- mp4


@cache
def valid_mp4() -> bytes:
    """The smallest header with a picture and a sound; the picture's sample entry and the sound's AAC descriptor."""

    def box(kind: bytes, *content: bytes) -> bytes:
        inner = b"".join(content)
        return (8 + len(inner)).to_bytes(4) + kind + inner

    def full(kind: bytes, content: bytes) -> bytes:
        return box(kind, bytes(4), content)

    times = bytes(8) + (1000).to_bytes(4) + (2000).to_bytes(4) + bytes(8)

    def track(handler: bytes, entry: bytes) -> bytes:
        table = box(b"stbl", full(b"stsd", (1).to_bytes(4) + entry), full(b"stsz", bytes(4) + (60).to_bytes(4)))
        media = box(b"mdia", full(b"mdhd", times), full(b"hdlr", bytes(4) + handler), box(b"minf", table))
        return box(b"trak", media)

    picture = box(b"avc1", bytes(24), (320).to_bytes(2), (240).to_bytes(2), bytes(8))
    esds = full(b"esds", b"\x03\x19\0\0\0\x04\x11\x40")
    sound = box(b"mp4a", bytes(28), esds)
    header = box(b"moov", full(b"mvhd", times), track(b"vide", picture), track(b"soun", sound))
    return box(b"ftyp", b"isom") + header + box(b"mdat", b"x" * 16)


def read_mp4(content: bytes) -> None:
    path = put("a.mp4", content)
    found = read_header(path, list_boxes(path))
    if found is not None:
        formats = [{"source_format_id": "18", "acodec": "mp4a"}]
        same_row("media", make_media("abc", Path("aa/abc.mp4"), 1, "0" * 64, formats, found))


# ---- releases

PLACES = {
    "image_base_path": "images",
    "audio_base_path": "audio",
    "data": [
        {"uttid": "a", "speaker": "s", "wav": "w/a.wav", "image": "f/a.jpg"},
        {"uttid": "b/c", "wav": "b", "image": "c"},
    ],
}


def read_places_json(content: bytes) -> None:
    rows, _, _ = read_places(put("places.json", content), "train", "ja")
    for row in rows:
        same_row("pairs", row)
        assert not row["image_path"].startswith("/") and ".." not in row["image_path"].split("/")


@cache
def small_release() -> dict[str, bytes]:
    """Files of a release of four clips."""
    from datetime import date

    from datasets.releases.build import build_release
    from datasets.releases.settings import PublishSettings
    from tests.small_tables import FACTS, RUN, make_root

    root = make_root(scratch() / "root", clips_per_video=1)
    settings = PublishSettings(name="small", tiny_clips=2, small_clips=4, clips_per_shard=3)
    version = build_release(root, settings, RUN, date(2026, 11, 24), FACTS)
    folder = Path(release_path(root, version))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PAPERS = ("manifest.json", "splits.certificate.json", "run.json", "SHA256SUMS", "tombstones.tsv", "WITHDRAWN.json")


# What a paper may say that is well-formed and wrong: (file, pattern, what it becomes).
LIES = (
    ("SHA256SUMS", rb"(?s).*", b""),
    ("SHA256SUMS", rb"  data/", b"  ../data/"),
    ("SHA256SUMS", rb"  data/metadata/", b"  data/nothing/"),
    ("SHA256SUMS", rb"[^\n]*data/pooled/[^\n]*\n", b""),
    ("manifest.json", rb'"path": "data/', b'"path": "../data/'),
    ("manifest.json", rb'"path": "data/pooled', b'"path": "data/metadata'),
    ("manifest.json", rb'"rows": \d+', b'"rows": 77'),
    ("manifest.json", rb'("path": "data/[^}]*"rows": )\d+', rb"\g<1>77"),
    ("manifest.json", rb'("path": "data/metadata/[^}]*"split": )"\w+"', rb'\g<1>"other"'),
    ("manifest.json", rb'"recipe": "', b'"recipe": "x'),
    ("manifest.json", rb'"clip_id": "string"', b'"clip_id": "int64"'),
    ("manifest.json", rb'"full": \{', b'"full": {"extra": 1, '),
    ("manifest.json", rb'"families": \{', b'"families": {"other": {}, '),
    ("manifest.json", rb'"splits": \{(?=\s*"\w+": \{)', b'"splits": {"other": 1, '),
    ("manifest.json", rb'"tiny_clips": \d+', b'"tiny_clips": 1'),
    ("splits.certificate.json", rb'"passed": true', b'"passed": false'),
    ("splits.certificate.json", rb'"splits": "..', b'"splits": "xx'),
    ("splits.certificate.json", rb'"train": \d+', b'"train": 9'),
    ("tombstones.tsv", rb"$", b"\nvideo\tasked\t" + hash_id("video", "video-00000").encode()),
)


@st.composite
def releases(draw: Any) -> tuple[str, bytes, bool]:
    """(file of the release, its new content, whether the sums are made to agree)."""
    files = small_release()
    if draw(st.booleans()):
        name, before, after = draw(st.sampled_from(LIES))
        return name, re.sub(before, after, files[name], count=1), draw(st.integers(0, 3)) > 0
    name = draw(st.sampled_from([*sorted(files), *PAPERS, *["WITHDRAWN.json"] * 6]))  # which alone makes it a stub
    if name.endswith(".json") and draw(st.booleans()):
        valid = json.loads(files.get(name, b'{"version": "1.0.0", "why": "asked", "use_instead": null}'))
        return name, json.dumps(draw(twisted(valid))).encode(), True
    return name, draw(mutated(files.get(name, b"{}"))), draw(st.integers(0, 3)) > 0


def spoil_release(name: str, content: bytes, agrees: bool) -> Path:
    """The small release with one file replaced, its sums made to agree or not."""
    folder = scratch() / "release"
    for path in _SPOILED or small_release():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path in small_release():
            (folder / path).write_bytes(small_release()[path])
        else:
            (folder / path).unlink(missing_ok=True)
    _SPOILED.clear()
    _SPOILED.update({name, "SHA256SUMS"})
    (folder / name).write_bytes(content)
    if agrees and name != "SHA256SUMS":
        lines = small_release()["SHA256SUMS"].decode().splitlines()
        digests = {path: digest for digest, _, path in (line.partition("  ") for line in lines)}
        digests[name] = hashlib.sha256(content).hexdigest()
        run = json.loads(small_release()["run.json"])
        if name in run["papers"]:  # that list of sums too, or nothing but the sums is ever looked at
            run["papers"][name] = digests[name]
            (folder / "run.json").write_text(json.dumps(run))
            digests["run.json"] = hashlib.sha256((folder / "run.json").read_bytes()).hexdigest()
            _SPOILED.add("run.json")
        text = "".join(f"{digest}  {path}\n" for path, digest in digests.items())
        (folder / "SHA256SUMS").write_text(text)
    return folder


_SPOILED: set[str] = set()


def read_release(given: tuple[str, bytes, bool]) -> None:
    folder = spoil_release(*given)
    problems = verify_release(folder)
    assert all(isinstance(problem, str) for problem in problems)
    with suppress(ReleaseError, OSError):
        read_shards(folder)


def read_retry_after(value: str) -> None:
    now = datetime.now(UTC)
    seconds = parse_retry_after(value, now)
    assert seconds is None or 0 <= seconds < 10**12


DATES = ["Wed, 21 Oct 2026 07:28:00 GMT", "120", "", "-1", "Fri, 31 Dec 9999 23:59:59 -9999", "1 Jan 1 0:0:0 +9959",
         f"1 Jan 2030 0:0:0 +{10**20}"]  # fmt: skip

TARGETS: dict[str, Target] = {
    "configuration": Target(CONFIG_INPUTS, read_config, (ConfigError,), ("flows/config.py",)),
    "id list": Target(ID_INPUTS, read_ids, (ValueError,), ("extract/sources.py",)),
    "metadata": Target(
        METADATA_INPUTS,
        read_metadata,
        (),
        (
            "extract/site/metadata.py",
            "extract/selection.py:select,preselect,_check_figures,to_ms",
            "extract/site/rows.py:make_discovery,make_video",
        ),
    ),
    "formats": Target(FORMAT_INPUTS, read_formats, (NoFormatError,), ("extract/site/formats.py",)),
    "segments": Target(SEGMENT_INPUTS, read_segments, (), ("extract/clips.py",)),
    "clip list": Target(LIST_INPUTS, read_any_list, (ClipListError,), LIST_FILES, (*PUBLISHED, *LISTS.items())),
    "mp4 header": Target(
        st.deferred(lambda: mutated(valid_mp4(), 2) | st.binary(max_size=64)),
        read_mp4,
        (IncompleteMediaError,),
        ("extract/mp4.py",),
    ),
    "Places JSON": Target(
        st.sampled_from(
            [
                PLACES,
                {**PLACES, "data": [{"uttid": "a", "wav": "../a", "image": "b"}]},
                {**PLACES, "data": [{"uttid": "a", "wav": "a", "image": "b"}] * 2},
            ]
        )
        .flatmap(twisted)
        .map(lambda value: json.dumps(value).encode())
        | mutated(json.dumps(PLACES).encode()),
        read_places_json,
        (ValueError,),
        ("datasets/places_audio.py:_parse,read_places,make_pair_id,refuse_repeated,_Pair._stay_inside",),
    ),
    "release": Target(
        st.deferred(releases),
        read_release,
        (),
        (
            "datasets/releases/verify.py:verify_release",
            "datasets/releases/seals.py:check_seals,check_files,_read_lines",
            "datasets/releases/content.py:check_content,_read_shard,_check_families,_check_splits",
        ),
    ),
    "Retry-After": Target(
        st.sampled_from(DATES).flatmap(mutated_text) | TEXT,
        read_retry_after,
        (),
        ("extract/site/pacer.py:parse_retry_after",),
    ),
}
