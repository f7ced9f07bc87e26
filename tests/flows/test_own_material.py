"""A folder and a list as sources: what a researcher with own material begins with."""

import json
import os
import shutil
import wave
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from datasets.outcomes import OK
from datasets.tables import read_ok, read_table, table_digest
from demo.espeak import speak_espeak
from demo.plan import channel_ids
from extract.folder import find_file, list_media
from extract.folder_fetch import read_metadata
from extract.regeneration import settle_clip
from flows.__main__ import app
from flows.commands.demo import SITE_VARIABLE
from flows.commands.own_material import settings_of_place
from flows.config import ConfigError

CONFIG = ["--config", "configs/demo.toml"]


def curate(root: Path, *words: str):
    return CliRunner().invoke(app, ["curate", *CONFIG, "--root", str(root), *words])


@pytest.fixture(scope="module")
def films(channel, tmp_path_factory):
    """Two films below a folder, of any names, one with yt-dlp's metadata; sound alone; and what is no media."""
    folder = tmp_path_factory.mktemp("own") / "my films"
    first, second, *more = films_of(channel)
    (folder / "day 1").mkdir(parents=True)
    shutil.copy(first, folder / "day 1" / "カレー [x].mp4")
    shutil.copy(second, folder / "talk.mp4")
    shutil.copy(second, folder / "the same talk.MP4")
    told = {"title": "A talk", "language": "ja", "view_count": 500, "availability": "private", "duration": 1}
    (folder / "talk.info.json").write_text(json.dumps(told))
    for number, path in enumerate(more):
        shutil.copy(path, folder / "day 1" / f"{number}.mp4")
    (folder / "broken.mp4").write_text("no film")
    (folder / "notes.txt").write_text("bring rice")
    (folder / ".hidden.mp4").write_text("")
    write_silence(folder / "silence.wav", 12)
    return folder


def films_of(channel: Path) -> list[Path]:
    """The narrated films of the channel, without those that are there to fail."""
    return [channel / "videos" / f"{video_id}.mp4" for video_id in channel_ids(1, 4)]


def write_silence(path: Path, seconds: int) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 16000 * seconds))


@pytest.fixture(scope="module")
def curated(films, small_words, prefect_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("roots") / "films"
    small = [*(word for word in small_words if "source." not in word), "--set=splits.val=0"]
    result = curate(root, "--from", str(films), "--scale", *small)
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    return root, small


def test_a_folder_of_films_becomes_clips_in_splits(curated):
    root, _ = curated
    titles = set(read_ok(root, "videos", ["title"])["title"].to_pylist())
    assert {"カレー [x]", "silence"} < titles and len(titles & {"A talk", "the same talk"}) == 1
    assert read_ok(root, "clips", ["clip_id"]).num_rows > 0 and read_ok(root, "splits", ["clip_id"]).num_rows > 0
    failed = read_table(root, "media", ["status", "reason", "detail"]).to_pylist()
    assert [(row["reason"], row["detail"][:10]) for row in failed if row["status"] != "ok"] == [
        ("decode_failed", "broken.mp4")
    ]


def test_files_are_read_where_they_lie(curated, films):
    root, _ = curated
    media = read_ok(root, "media", ["media_path", "sha256", "video_id"]).to_pylist()
    paths = [root / "media_files" / row["media_path"] for row in media]
    assert all(path.is_symlink() and path.resolve().is_relative_to(films.resolve()) for path in paths)
    assert all(row["sha256"].startswith(row["video_id"]) for row in media)


def test_the_same_file_under_two_names_is_one_video(curated):
    root, _ = curated
    found = read_table(root, "discoveries", ["query", "video_id"]).to_pylist()
    ids = {row["query"]: row["video_id"] for row in found}
    assert ids["talk.mp4"] == ids["the same talk.MP4"] and len(set(ids.values())) == len(ids) - 1


def test_a_second_run_does_nothing_and_a_new_file_is_added(curated, films):
    root, small = curated
    before, num_media = table_digest(root, "clips"), read_ok(root, "media", ["video_id"]).num_rows
    assert curate(root, "--from", str(films), "--scale", *small).exit_code == 0
    assert table_digest(root, "clips") == before
    write_silence(films / "new.wav", 11)
    assert curate(root, "--from", str(films), "--scale", *small).exit_code == 0
    assert read_ok(root, "media", ["video_id"]).num_rows == num_media + 1


def test_an_id_is_the_contents_and_not_the_places(films, tmp_path):
    shutil.copy(films / "talk.mp4", tmp_path / "x.mp4")
    (one,), (other,) = find_file("talk.mp4", str(films)), find_file("x.mp4", str(tmp_path))
    assert one["id"] == other["id"] and len(one["id"]) == 20


def test_what_a_site_said_of_its_viewers_rejects_no_file_of_ones_own(films):
    assert read_metadata("talk.mp4", str(films)) == {"title": "A talk", "language": "ja", "view_count": 500}


def test_a_table_beside_the_files_says_what_they_are(films, tmp_path):
    (tmp_path / "a").mkdir()
    shutil.copy(films / "silence.wav", tmp_path / "a" / "one.wav")
    (tmp_path / "metadata.csv").write_text("file_name,title,language,view_count\na/one.wav,Quiet,ko,7\n")
    assert read_metadata("a/one.wav", str(tmp_path)) == {"title": "Quiet", "language": "ko", "view_count": 7}


@pytest.mark.parametrize(
    ("views", "known"), [("7", {"view_count": 7}), *((text, {}) for text in ("many", "²", "٣", "1e999", "9" * 5000))]
)
def test_views_beside_a_file_are_a_number_or_say_nothing(views, known, tmp_path):
    (tmp_path / "metadata.csv").write_text(f"file_name,view_count\none.wav,{views}\n")
    found = read_metadata("one.wav", str(tmp_path))
    assert {name: value for name, value in found.items() if value is not None} == {"title": "one", **known}


@pytest.mark.parametrize("name", ["one.info.json", "metadata.csv"])
def test_metadata_of_a_terabyte_are_not_read(tmp_path, name):
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 1 << 40)
    with pytest.raises(ValueError, match="bytes are no metadata"):
        read_metadata("one.wav", str(tmp_path))


def test_a_pipe_in_the_place_of_metadata_is_not_waited_for(tmp_path):
    for name in ("one.info.json", "metadata.csv"):
        os.mkfifo(tmp_path / name)
    assert read_metadata("one.wav", str(tmp_path)) == {"title": "one"}


def test_a_folder_elsewhere_is_copied(films, small_words, prefect_server, tmp_path):
    """Any fsspec URL; memory:// stands for s3:// and hf://."""
    import fsspec

    fsspec.filesystem("memory").pipe("/films/talk.mp4", (films / "talk.mp4").read_bytes())
    small = [word for word in small_words if "source." not in word]
    result = curate(tmp_path / "root", "--from", "memory://films", "--scale", *small, "--set=splits.val=0")
    assert list_media("memory://films") == ["talk.mp4"], result.output
    [path] = (tmp_path / "root" / "media_files").glob("*/*.mp4")
    assert not path.is_symlink() and path.read_bytes() == (films / "talk.mp4").read_bytes()


def test_a_list_with_times_and_captions_is_cut_as_given(
    channel, site, small_words, prefect_server, tmp_path, monkeypatch
):
    monkeypatch.setenv(SITE_VARIABLE, site)
    ids = [path.stem for path in films_of(channel)]
    lines = ["which,start,end,caption", *(f"{video_id},1.5,0:04,切ります {video_id}" for video_id in ids)]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    own = [
        "--from",
        str(tmp_path / "mine.csv"),
        "--column",
        "which",
        "--clips",
        "given",
        "--scale",
        *small_words,
        "--set=splits.val=0",
    ]
    result = curate(tmp_path / "root", *own, "--scale", *small_words, "--set=splits.val=0")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    clips = read_ok(tmp_path / "root", "clips", ["video_id", "start_ms", "end_ms"]).to_pylist()
    fetched = read_ok(tmp_path / "root", "media", ["video_id"])["video_id"].to_pylist()
    assert len(clips) == len(fetched) > 0 and {(c["start_ms"], c["end_ms"]) for c in clips} == {(1500, 4000)}
    said = read_ok(tmp_path / "root", "transcripts", ["video_id", "text", "engine"]).to_pylist()
    assert {row["text"] for row in said} == {f"切ります {video_id}" for video_id in fetched}
    assert read_table(tmp_path / "root", "segments").num_rows == 0


@pytest.mark.parametrize(("end_ms", "reason"), [(60_900, None), (62_000, "clip_past_end")])
def test_a_given_clip_that_ends_after_its_video_is_no_clip(end_ms, reason):
    clip = {"clip_id": "x", "video_id": "v", "start_ms": 50_000, "end_ms": end_ms}
    settled = settle_clip(clip, {**OK, "duration_ms": 60_000})
    assert settled["reason"] == reason
    assert settle_clip(clip, {**OK, "duration_ms": None})["reason"] is None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".txt"])
def test_a_list_is_read_by_its_suffix_and_its_videos_by_the_columns_name(suffix, tmp_path):
    path, ids = tmp_path / f"mine{suffix}", ["abcdefghij1", "abcdefghij2"]
    rows = [{"note": "x", "url": f"https://www.youtube.com/watch?v={video_id}"} for video_id in ids]
    match suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows))
        case ".txt":
            path.write_text("\n".join(row["url"] for row in rows))
        case _:
            comma = "," if suffix == ".csv" else "\t"
            path.write_text("\n".join([f"note{comma}url", *(f"x{comma}{row['url']}" for row in rows)]))
    result = CliRunner().invoke(app, ["curate", "--from", str(path), "--dry-run", "--json"])
    amounts = {row["what"]: row["amount"] for row in json.loads(result.stdout)["forecast"]}
    assert (amounts["queries"], amounts["search requests"], amounts["videos found"]) == (2, 0, 2)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.csv", "", "empty.csv names no video"),
        ("header.tsv", "url\ttitle\n", "header.tsv names no video"),
        ("notes.txt", "# nothing yet\n", "notes.txt names no video"),
        ("other.txt", "https://vimeo.com/12345\n", "'https://vimeo.com/12345' is of none of the hosts"),
        ("torn.jsonl", '{"url": "abcdefghij1"}\n{"url": \n', "torn.jsonl: cannot be read: line 2: "),
    ],
)
def test_a_list_that_names_nothing_or_is_torn_is_told(name, content, told, tmp_path):
    (tmp_path / name).write_text(content)
    result = CliRunner().invoke(app, ["curate", "--from", str(tmp_path / name), "--dry-run"])
    assert result.exit_code in (2, 3) and told in " ".join(result.stderr.split()) and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("my film", "did you mean"),
        ("notes.doc", "of media files name the folder"),
        ("nowhere/at/all", "there is no such folder or list"),
        ("s4://bucket/films", "no such kind of place"),
    ],
)
def test_what_is_no_source_is_told_with_what_to_do(tmp_path, place, told):
    (tmp_path / "my films").mkdir()
    (tmp_path / "notes.doc").write_text("")
    with pytest.raises(ConfigError, match=told) as error:
        settings_of_place(place if "://" in place else str(tmp_path / place))
    assert "\n" not in str(error.value)


def test_odd_entries_of_a_folder_neither_hang_nor_lead_out_of_it_by_folders(tmp_path):
    mine, other = tmp_path / "撮影 2024" / "子 供", tmp_path / "other"
    mine.mkdir(parents=True)
    other.mkdir()
    for path in (mine / "料理 ①.WAV", other / "theirs.wav"):
        write_silence(path, 1)
    os.mkfifo(mine / "pipe.wav")
    (mine / "folder.mp4").mkdir()
    (mine / "link.wav").symlink_to(other / "theirs.wav")
    (mine / "gone.mp4").symlink_to("nowhere")
    (mine / "all of theirs").symlink_to(other)
    (mine / "round").symlink_to(mine)
    found = list_media(str(tmp_path / "撮影 2024"))
    assert [name for name in found if name != "子 供/gone.mp4"] == ["子 供/link.wav", "子 供/料理 ①.WAV"]
    assert find_file("子 供/料理 ①.WAV", str(tmp_path / "撮影 2024"))


def test_a_folder_without_media_says_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"no media file among its 1 files \(mp4"):
        list_media(str(tmp_path))


@pytest.mark.parametrize("words", [["--column", "url"], ["--clips", "given"]])
def test_options_of_a_list_without_a_list_are_bad_usage(words):
    result = CliRunner().invoke(app, ["curate", *words])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "--from LIST" in result.stderr


def test_given_clips_of_a_list_without_times_are_told_before_anything_is_fetched(tmp_path):
    (tmp_path / "mine.csv").write_text("video_id\nabcdefghij1\n")
    result = CliRunner().invoke(app, ["curate", "--from", str(tmp_path / "mine.csv"), "--clips", "given", "--dry-run"])
    assert "names videos but no times of clips" in result.stderr and result.exit_code == 2


SENTENCES = {
    "ko": (
        "양파를 얇게 썰어 주세요",
        "냄비에 물을 붓고 끓입니다",
        "소금을 조금 넣고 잘 섞어 줍니다",
        "이제 맛있게 드세요",
    ),
    "hi": ("प्याज को पतला काट लीजिए", "बर्तन में पानी डालकर उबालिए", "थोड़ा नमक डालकर मिलाइए", "अब मज़े से खाइए"),
}


@pytest.mark.slow
@pytest.mark.parametrize("language", SENTENCES)
def test_recordings_of_another_language_become_clips(language, prefect_server, tmp_path, caplog):
    """As docs/another_language.md says it: only `selection.language` differs. Two voices of eSpeak NG."""
    (tmp_path / "films").mkdir()
    rows = ["file_name,title,language"]
    for number, pitch in enumerate((35, 65)):
        wave_of, rate = speak_espeak(". ".join(SENTENCES[language] * 2), language, pitch=pitch)
        with wave.open(str(tmp_path / "films" / f"{number}.wav"), "wb") as sound:
            sound.setparams((1, 2, rate, 0, "NONE", ""))
            sound.writeframes((wave_of * 32767).astype("<i2").tobytes())
        rows.append(f"{number}.wav,{SENTENCES[language][0]},{language}")
    (tmp_path / "films" / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    chosen = [f"selection.language={language}", "splits.train=1", "splits.val=0", "splits.test=1", "clips.min_ms=2000"]
    words = ["--from", str(tmp_path / "films"), *(f"--set={value}" for value in chosen)]
    result = CliRunner().invoke(
        app, ["curate", "--root", str(tmp_path / "root"), "--set", "clips.bridge_gap_ms=700", *words]
    )
    assert result.exit_code == 0, f"{result.output[-2000:]}\n{result.exception}"
    assert f"{language} where only title and description tell" in caplog.text
    clips = read_ok(tmp_path / "root", "splits", ["video_id", "split"])
    assert clips.num_rows == 2 and set(clips["split"].to_pylist()) == {"train", "test"}
