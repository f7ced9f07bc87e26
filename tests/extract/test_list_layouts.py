"""Lists as their datasets publish them: read whole, or refused by name of what is not understood."""

import csv
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets.outcomes import CLIP_REASONS
from extract.clip_lists import ClipListError, read_list
from extract.regeneration import read_listing

A, B = "nVbIUDjzWY4", "-QOlSCBRm_Y"
ADDRESS = "https://www.youtube.com/watch?v="

AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3
# YTID, start_seconds, end_seconds, positive_labels
nVbIUDjzWY4, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-QOlSCBRm_Y, 0.000, 9.500, "/m/07q6cd_"
"""
KINETICS = {
    A: {
        "annotations": {"label": "slicing", "segment": [84.0, 94.0]},
        "duration": 10.0,
        "subset": "validate",
        "url": ADDRESS + A,
    }
}
MSRVTT = {
    "info": {"year": "2016"},
    "videos": [
        {"category": 9, "url": ADDRESS + A, "video_id": "video0", "start time": 137.72, "end time": 149.44}
        | {"split": "validate", "id": 0}
    ],
    "sentences": [{"caption": "a man cooks", "video_id": "video0", "sen_id": 0}],
}
COIN = {"subset": "training", "start": 1.0, "end": 90.0, "annotation": [{"id": "4", "segment": [5, 9], "label": "x"}]}

CLIPS: dict[str, tuple[str, Any, list[tuple[str, int, int]]]] = {
    "HowTo100M's captions": (
        "caption.json",
        {A: {"start": [14.37, 16.37], "end": [20.15, 24.15], "text": ["a", "b"]}},
        [(A, 14_370, 20_150), (A, 16_370, 24_150)],
    ),
    "ActivityNet Captions": (
        "train.json",
        {f"v_{A}": {"duration": 82.73, "timestamps": [[0.83, 19.86], [17.37, 60.81]], "sentences": ["a", "b"]}},
        [(A, 830, 19_860), (A, 17_370, 60_810)],
    ),
    "ActivityNet 1.3": (
        "activity_net.v1-3.min.json",
        {
            "version": "VERSION 1.3",
            "taxonomy": [{"nodeName": "Root"}],
            "database": {
                A: {"subset": "training", "url": ADDRESS + A, "annotations": [{"segment": [0.5, 9], "label": "x"}]},
                B: {"subset": "testing", "annotations": []},
            },
        },
        [(A, 500, 9000)],
    ),
    "COIN": ("COIN.json", {"database": {A: COIN}}, [(A, 5000, 9000)]),
    "MSR-VTT": ("videodatainfo.json", MSRVTT, [(A, 137_720, 149_440)]),
    "Kinetics, JSON": ("train.json", KINETICS, [(A, 84_000, 94_000)]),
    "Kinetics, CSV": (
        "train.csv",
        f"label,youtube_id,time_start,time_end,split,is_cc\nslicing,{A},84,94,train,0\n",
        [(A, 84_000, 94_000)],
    ),
    "Kinetics, without a header": ("train.csv", f"slicing apples,{A},84,94,train\n", [(A, 84_000, 94_000)]),
    "AudioSet": ("eval_segments.csv", AUDIOSET, [(A, 30_000, 40_000), (B, 0, 9500)]),
    "AudioSet-strong": (
        "audioset_train_strong.tsv",
        f"segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n{A}_30000\t0.500\t10.000\t/m/03\n{B}_0\t2\t3\tx\n",
        [(A, 30_500, 40_000), (B, 2000, 3000)],
    ),
    "AudioSet without its comments": (
        "balanced.csv",
        "".join(line + "\n" for line in AUDIOSET.splitlines()[3:]),
        [(A, 30_000, 40_000), (B, 0, 9500)],
    ),
    "VGGSound": (
        "vggsound.csv",
        f'{A},30,"playing, badly",test\n{B},0,rain,train\n',
        [(A, 30_000, 40_000), (B, 0, 10_000)],
    ),
    "VGGSound with its header": (
        "vggsound.csv",
        f"# YouTube ID, start seconds, label,train/test split. \n{A},30,rain,test\n",
        [(A, 30_000, 40_000)],
    ),
    "AudioCaps": ("val.csv", f'audiocap_id,youtube_id,start_time,caption\n9,{A},30,"a, b"\n', [(A, 30_000, 40_000)]),
    "MSVD": (
        "corpus.csv",
        f"VideoID,Start,End,WorkerID,AnnotationTime\n{A},33,46,1,55\n{A},33,46,2,60\n",
        [(A, 33_000, 46_000)],
    ),
    "VATEX": ("vatex.json", [{"videoID": f"{A}_000122_000132", "enCap": ["x"]}], [(A, 122_000, 132_000)]),
    "Panda-70M": (
        "panda70m_testing.csv",
        "videoID,url,timestamp,caption,matching_score\n"
        f"{A},{ADDRESS}{A},\"[['0:00:05.000', '0:00:10.400'], ['0:01:00.000', '0:01:09.500']]\","
        '"[\'a man cooks\', ""a pan\'s lid""]","[0.5, 0.4]"\n',
        [(A, 5000, 10_400), (A, 60_000, 69_500)],
    ),
    "VALOR": (
        "desc_train.json",
        [{"video_id": f"{A}_30.000_40.000", "desc": "a man cooks"}, {"video_id": f"{B}_0.000_9.500", "desc": "x"}],
        [(A, 30_000, 40_000), (B, 0, 9500)],
    ),
    "QVHighlights": (
        "highlight_train_release.jsonl",
        f'{{"qid": 1, "query": "a pan", "vid": "{A}_60.0_210.0", "relevant_windows": [[0, 16], [30, 32]], '
        f'"relevant_clip_ids": [0, 1], "saliency_scores": [[4, 1, 1]]}}\n'
        f'{{"qid": 2, "query": "a lid", "duration": 150, "vid": "{B}_0.0_150.0", "relevant_windows": [[2, 150]]}}\n',
        [(A, 60_000, 76_000), (A, 90_000, 92_000), (B, 2000, 150_000)],
    ),
    "QVHighlights without its windows": (
        "highlight_test_release.jsonl",
        f'{{"qid": 1, "query": "a pan", "duration": 150, "vid": "{A}_60.0_210.0"}}\n',
        [(A, 60_000, 210_000)],
    ),
    "InternVid": (
        "part.jsonl",
        f'{{"YoutubeID": "{A}", "Start_timestamp": "00:00:17.867", "End_timestamp": "00:01:03.400"}}\n',
        [(A, 17_867, 63_400)],
    ),
    "start_time and end_time": ("a.csv", f"video_id,start_time,end_time\n{A},1.5,9\n", [(A, 1500, 9000)]),
    "tabs": ("a.tsv", f"youtube_id\tstart\tend\n{A}\t1\t2\n", [(A, 1000, 2000)]),
    "tabs under another name": ("a.csv", f"youtube_id\tstart\tend\n{A}\t1\t2\n", [(A, 1000, 2000)]),
    "semicolons": ("a.csv", f"video_id;start;end\n{A};1;2\n", [(A, 1000, 2000)]),
    "a spreadsheet's": ("a.csv", f"\ufeffvideo_id,start,end\r\n{A},1,2\r\n\r\n", [(A, 1000, 2000)]),
    "UTF-16": ("a.csv", f"video_id\tstart\tend\n{A}\t1\t2\n".encode("utf-16"), [(A, 1000, 2000)]),
    "UTF-16, lines of JSON": (
        "a.jsonl",
        f'{{"id": "{A}", "start": 1, "end": 2}}\n{{"id": "{B}", "start": 3, "end": 4}}\n'.encode("utf-16"),
        [(A, 1000, 2000), (B, 3000, 4000)],
    ),
    "an index without a name": ("a.csv", f",video_id,start,end\n0,{A},1,2\n", [(A, 1000, 2000)]),
    "clocks": (
        "a.csv",
        f"video_id,start,end\n{A},0:01,00:01:05\n{A},1:02:03.5,63:00\n",
        [(A, 1000, 65_000), (A, 3_723_500, 3_780_000)],
    ),
    "seconds as text": ("a.json", [{"video_id": A, "start": " 1.50", "end": "2e1"}], [(A, 1500, 20_000)]),
    "milliseconds": ("a.csv", f"video_id,start_ms,end (ms)\n{A},1500,2500\n", [(A, 1500, 2500)]),
    "addresses": (
        "a.csv",
        f"url,start,end\nhttps://youtu.be/{A}?t=9,1,2\nwww.youtube.com/watch?v={B},3,4\n",
        [(A, 1000, 2000), (B, 3000, 4000)],
    ),
    "addresses as ids": ("a.csv", f"id,start,end\n{ADDRESS}{A},1,2\n", [(A, 1000, 2000)]),
    "an address that says another": (
        "a.csv",
        f"youtube_id,url,start,end\n{A},cc,1,2\n{A},{ADDRESS}{B},3,4\n",
        [(A, 1000, 2000), (A, 3000, 4000)],
    ),
    "files": ("a.csv", f"video_path,start,end\nslicing/{A}.mp4,1,2\n", [(A, 1000, 2000)]),
    "pairs by id": ("a.json", {A: [[1, 2], [3, 4]], B: [5, 6]}, [(A, 1000, 2000), (A, 3000, 4000), (B, 5000, 6000)]),
    "rows by number": ("a.json", {"0": {"video_id": "abc", "start": 1, "end": 2}}, [("abc", 1000, 2000)]),
    "a span as text": ("a.json", [{"Youtube Video ID": A, "Time Stamp": "0:10-0:19.5"}], [(A, 10_000, 19_500)]),
    "a span as the value of an id": ("a.json", {A: "0:10-0:20"}, [(A, 10_000, 20_000)]),
    "MSVD's names": ("a.csv", f"video_id,caption\n{A}_5_15,x\n{B}_0_9,y\n", [(A, 5000, 15_000), (B, 0, 9000)]),
    "numbers of entries that look like ids": (
        "a.json",
        {
            "video_00001": {"url": ADDRESS + A, "start": 1, "end": 2},
            "sample_0002": {"video_id": B, "start": 3, "end": 4},
        },
        [(A, 1000, 2000), (B, 3000, 4000)],
    ),
    "two columns that say the same": (
        "a.csv",
        f"video_id,start,end,start_time,end_time\n{A},65,70.4,00:01:05,00:01:10\n",
        [(A, 65_000, 70_400)],
    ),
    "a caption of several lines": (
        "a.csv",
        f'video_id,start,end,text\r\n{A},1,2,"stir,\r\ncauliflower, salt"\r\n{B},3,4,x\r\n',
        [(A, 1000, 2000), (B, 3000, 4000)],
    ),
    "wrapped": ("a.json", {"annotations": [{"video_id": A, "start": 1, "end": 2}]}, [(A, 1000, 2000)]),
}


def as_bytes(name: str, content: Any) -> bytes:
    """What the file of a list holds; shared with the fuzz tests."""
    if name.endswith(".pkl") and not isinstance(content, bytes):
        return pickle.dumps(content)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    return text if isinstance(text, bytes) else text.encode()


def write(folder: Path, name: str, content: Any) -> Path:
    (folder / name).write_bytes(as_bytes(name, content))
    return folder / name


@pytest.mark.parametrize("layout", CLIPS)
def test_a_published_layout_is_read_whole(layout: str, tmp_path: Path) -> None:
    name, content, clips = CLIPS[layout]
    path = write(tmp_path, name, content)
    assert [(row["video_id"], row["start_ms"], row["end_ms"]) for row in read_list(path, "train").clips] == clips
    assert list(read_list(path).video_ids) == list(dict.fromkeys(clip[0] for clip in clips))


VIDEOS: dict[str, tuple[str, Any]] = {
    "HowTo100M": ("HowTo100M_v1.csv", f"video_id,category_1,category_2,rank,task_id\n{A},Food,x,3,5\n{B},,,1,5\n"),
    "one a line": ("ids.txt", f"v_{A}\n# a comment\n{ADDRESS}{B}\n"),
    "a list": ("ids.json", [f"v_{A}", ADDRESS + B, A]),
    "an object": ("ids.json", {A: {"title": "x"}, B: None}),
    "WavCaps of AudioSet": ("as_final.json", {"data": [{"id": f"Y{v}.wav", "duration": 10.0} for v in (A, B)]}),
}


@pytest.mark.parametrize("layout", VIDEOS)
def test_a_list_of_videos_names_videos_and_no_clips(layout: str, tmp_path: Path) -> None:
    path = write(tmp_path, *VIDEOS[layout])
    assert read_list(path).video_ids == (A, B)
    assert read_list(path).clips == ()


def test_a_clip_may_say_its_own_split(tmp_path: Path) -> None:
    clips = [{"segment": [1, 2], "subset": "testing"}, {"segment": [3, 4]}]
    found = read_list(write(tmp_path, "a.json", [{"video_id": A, "annotations": clips}]), "train")
    assert [row["split"] for row in found.clips] == ["test", "train"]


def test_a_line_of_a_caption_that_begins_with_a_hash_is_no_comment(tmp_path: Path) -> None:
    text = f'video_id,start,end,caption\n{A},1,2,"stir\n#yum\nfry"\n# a comment\n'
    found = read_list(write(tmp_path, "a.csv", text), "train")
    assert list(found.captions.values()) == ["stir\n#yum\nfry"]


def test_a_cell_with_a_list_of_captions_gives_each_clip_its_own(tmp_path: Path) -> None:
    found = read_list(write(tmp_path, *CLIPS["Panda-70M"][:2]), "train")
    assert list(found.captions.values()) == ["a man cooks", "a pan's lid"]


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        ('["\\ud83d\\ude00", "b"]', ["\U0001f600", "b"]),
        ('["a", null]', ["a"]),
        ("[{[]: 1}, 'b']", []),
        ("[" + "-" * 5000 + "1]", []),
    ],
    ids=["an emoji as JSON writes it", "nothing of one clip", "no Python", "nested without an end"],
)
def test_a_cell_that_begins_as_a_list_is_read_as_json_or_taken_as_it_stands(
    cell: str, captions: list[str], tmp_path: Path
) -> None:
    row = {
        "videoID": A,
        "timestamp": "[['0:00:01.000', '0:00:11.000'], ['0:00:12.000', '0:00:20.000']]",
        "caption": cell,
    }
    path = tmp_path / "list.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    found = read_list(path, "train")
    assert list(found.captions.values()) == (captions or [cell, cell])
    assert all(text.encode() for text in found.captions.values())


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("half", [b"\\ud83d", "\ud83d".encode(errors="surrogatepass")])
def test_half_an_emoji_in_a_caption_is_a_mark_that_can_be_written(name: str, half: bytes, tmp_path: Path) -> None:
    text = b'{"id": "%s", "start": 1, "end": 2, "caption": "hot %s"}' % (A.encode(), half)
    assert list(read_list(write(tmp_path, name, text)).captions.values()) == ["hot ?"]


def test_a_pipe_in_the_place_of_a_list_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(ClipListError, match="is a pipe or a device"):
        read_list(tmp_path / "a.csv")


REFUSED: dict[str, tuple[str, Any, str]] = {
    "times under a name within": ("a.json", [{"video_id": A, "captions": [{"timestamp": [1, 11]}]}], "captions"),
    "two numbers under a name within": ("a.json", [{"video_id": A, "moments": [[1, 11]]}], "moments"),
    "one letter for start and end": ("a.json", [{"video_id": A, "moments": [{"s": 1, "e": 11}]}], "moments"),
    "numbered entries of a video": ("a.json", {A: {"0": {"start": 1, "end": 11}}}, "0"),
    "t0 and t1": ("a.csv", f"video_id,t0,t1\n{A},1,11\n", "t0, t1"),
    "times of another name": ("a.csv", f"video_id,onset,offset\n{A},1,2\n", "not understood: onset, offset"),
    "frames": ("a.csv", f"video_id,start_frame,end_frame\n{A},1,2\n", "not understood: start_frame, end_frame"),
    "marks of an editor": ("a.csv", f"video_id,TC In,TC Out\n{A},0:01,0:02\n", "not understood: TC In, TC Out"),
    "an id that a spreadsheet took for a formula": ("a.csv", f"id,start,end\n{A},1,2\n#NAME?,3,4\n", "has #NAME?"),
    "windows": ("a.json", {A: {"relevant_windows": [[1, 2]]}}, "not understood: relevant_windows"),
    "windows beyond their clip": (
        "a.jsonl",
        f'{{"vid": "{A}_60.0_80.0", "relevant_windows": [[1, 21]]}}\n',
        "beyond the 20 seconds",
    ),
    "WavCaps of FreeSound": (
        "fsd_final.json",
        {
            "data": [
                {"id": "180913", "href": "/people/x/180913/", "download_link": "https://x.org/180913", "caption": "x"}
            ]
        },
        "a file of another site, .*'180913'",
    ),
    "WavCaps of the BBC": (
        "bbc_final.json",
        {"data": [{"id": "NHU05010057", "category": "x", "download_link": "https://x.org/NHU05010057.wav.zip"}]},
        "a file of another site, .*'NHU05010057'",
    ),
    "WebVid": (
        "results_2M_val.csv",
        "videoid,contentUrl,duration,page_dir,name\n21179416,https://x.org/21179416.mp4,PT00H00M11S,006001,x\n",
        "a file of another site, .*'21179416'",
    ),
    "one name in two spellings": ("a.csv", f"Video_ID,start,end,video_id\n{A},1,2,{B}\n", "which say different videos"),
    "a list in text cut short": ("a.csv", f"videoID,timestamp\n{A},\"[['0:00:05.000', '0:0\"\n", "a clip must be"),
    "a start alone": ("a.csv", f"video_id,start\n{A},1\n", "has start but no end"),
    "an end alone": ("a.csv", f"video_id,end\n{A},1\n", "has end but no start"),
    "AudioSet-strong without its times": ("a.tsv", f"segment_id\tlabel\n{A}_30000\t/m/03\n", "segment_id"),
    "DiDeMo": ("a.json", [{"video": "1_a", "num_segments": 6, "times": [[1, 2]]}], "times that count pieces"),
    "Charades": ("a.csv", "id,actions\n46GP8,c092 11.90 21.20;c147 0.00 12.60\n", "not understood: actions"),
    "Charades-STA": ("a.txt", "3MSZA 24.3 30.4##person turn a light on.\n", "3MSZA 24.3 30.4"),
    "no video": ("a.csv", "segment_id,start,end\nabc_30000,1,2\n", "names no video; it has segment_id"),
    "captions of one video": ("a.json", {"start": [1], "end": [2], "text": ["x"]}, "'start' is not understood"),
    "other numbers of clips": ("a.json", {A: {"start": [1, 2], "end": [3]}}, "has 2 starts and 1 ends"),
    "MSR-VTT's numbers": ("a.csv", "key,vid_key,video_id,sentence\nret0,m,video9770,x\n", "video9770 is MSR-VTT's own"),
    "an object of something else": ("a.json", {"info": {}, "licenses": []}, "'info' is not understood"),
    "images": ("a.json", {"annotations": [{"image_id": 5, "caption": "x"}]}, "names no video; it has image_id"),
    "a library's objects": ("a.pkl", {A: Path("x")}, "holds an object of a Python library"),
    "no header": ("a.csv", f"cooking,{A}\n", "names none of its columns"),
    "a short row": ("a.csv", f"video_id,start,end\n{A},1,2\n{A},5\n", "row 2 has 2 cells"),
    "a long row": ("a.csv", f"video_id,start,end\n{A},1,2,3\n", "row 1 has 4 cells"),
    "cut short in a cell": ("a.csv", f'video_id,start,end,text\n{A},1,2,"a man', "is no table"),
    "a quote that is a character": (
        "a.tsv",
        f'video_id\tstart\tend\ttext\n{A}\t1\t2\t"hello\n{B}\t3\t4\tbye"\n',
        f"a quote that is not closed before '{B}",
    ),
    "rows that look like comments": ("a.csv", f"rank,video_id,start,end\n#1,{A},1,2\n", "rows that begin with #"),
    "three numbers without a header": ("a.csv", f"{A},100,1,2\n", "names none of its columns"),
    "times of another language": ("a.csv", f"video_id,開始,終了\n{A},1,2\n", "not understood: 開始, 終了"),
    "two starts": ("a.csv", f"video_id,start,end,start_time\n{A},1,2,4\n", "start and start_time, which say different"),
    "two lists of clips": ("a.json", [{"video_id": A, "clips": [[1, 2]], "segments": [[5, 9]]}], "clips and segments"),
    "videos, and clips beside them": (
        "a.json",
        {"videos": [{"id": A}], "annotations": [{"video_id": A, "start": 1, "end": 2}]},
        "holds videos, and times under annotations",
    ),
    "clips under a class that looks like an id": (
        "a.json",
        {"windsurfing": [{"video_id": A, "start": 1, "end": 2}]},
        f"a clip of another video, {A}, under windsurfing",
    ),
    "times beside those in a name": ("a.csv", f"vid,start,end\n{A}_60.0_210.0,0,16\n", "and others beside it"),
    "numbers in a name that may be milliseconds": ("a.csv", f"video_id\n{A}_30000_40000\n", "not what they count"),
    "two columns of a name": ("a.csv", f"video_id,start,start,end\n{A},1,2,3\n", "two columns of one name"),
    "a video named twice": ("a.json", f'{{"{A}": [1, 2], "{A}": [3, 4]}}', f"names '{A}' twice"),
    "a clip without times": (
        "a.json",
        [{"id": A, "start": 1, "end": 2}, {"id": B}],
        "entry 2: -QOlSCBRm_Y has no times",
    ),
    "an annotation without times": (
        "a.json",
        {"database": {A: {"annotations": [{"label": "x"}]}}},
        "without times: label",
    ),
    "an id that is none": ("a.csv", "video_id,start,end\n../x,1,2\n", "entry 1: video_id must be"),
    "a time that is none": (
        "a.csv",
        f"video_id,start,end\n{A},soon,2\n",
        "entry 1: a time must be a number, got 'soon'",
    ),
    "digits of another script": ("a.csv", f"video_id,start,end\n{A},１,2\n", "must be a number"),
    "a minute of 75 seconds": ("a.csv", f"video_id,start,end\n{A},0:75,2:00\n", "60 seconds a minute"),
    "a huge exponent": ("a.csv", f"video_id,start,end\n{A},1e999999,2\n", "must be a number, got '1e999999'"),
    "a huge number": ("a.json", f'[{{"id": "{A}", "start": 1e999999, "end": 2}}]', "must be from .* got inf"),
    "thousands of digits": ("a.json", f'[{{"id": "{A}", "start": {"9" * 5000}, "end": 2}}]', "more than 30 digits"),
    "a truth value": ("a.json", [{"id": A, "start": True, "end": 2}], "must be a number, got true"),
    "a list as a time": ("a.json", [{"id": A, "start": {}, "end": 2}], "must be a number, got an object"),
    "a number as an id": ("a.json", [{"id": 5, "start": 1, "end": 2}], "a video's id is text, got 5"),
    "a number as a split": ("a.json", [{"id": A, "start": 1, "end": 2, "split": 3}], "a split is a name, got 3"),
    "a number": ("a.json", 5, "must hold a list or an object, got 5"),
    "no text": ("a.csv", b"video_id,start,end\n\xff\xfe", "not UTF-8 text"),
    "UTF-16 cut short": ("a.csv", f"video_id,start,end\n{A},1,2\n".encode("utf-16")[:-1], "not UTF-16-LE text"),
    "two pickles in a file": ("a.pkl", 2 * pickle.dumps([{"id": A, "start": 1, "end": 2}]), "more after the end"),
    "deep JSON": ("a.json", "[" * 200_000, "nested too deeply"),
    "no pickle": ("a.pickle", b"\x80\x04N.", "must hold a list or an object, got nothing"),
    "reversed only": ("a.csv", f"video_id,start,end\n{A},9,1\n", "start must be before end"),
    "train and test": (
        "a.csv",
        f"video_id,start,end,split\n{A},1,2,train\n{A},1,2,test\n",
        f"{A}_000001000_000002000 is in two splits, train and test",
    ),
    "another ending": ("a.xlsx", b"PK", "must end in"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_understood_is_refused_by_name(what: str, tmp_path: Path) -> None:
    name, content, message = REFUSED[what]
    with pytest.raises(ClipListError, match=message) as refused:
        read_list(write(tmp_path, name, content))
    assert "<class" not in str(refused.value) and "Error" not in str(refused.value)


@pytest.mark.parametrize(("start", "end"), [(9.5, 9.5), (9, 3), (-1, 3)])
def test_a_clip_that_cannot_be_is_a_row_that_names_its_video(start: float, end: float, tmp_path: Path) -> None:
    segments = [{"segment": [2.0, 8.0]}, {"segment": [start, end]}]
    found = read_list(write(tmp_path, "a.json", {"database": {A: {"annotations": segments}}}), "train")
    assert [(row["start_ms"], row["end_ms"]) for row in found.clips] == [(2000, 8000)]
    assert [(row["video_id"], row["status"], row["reason"]) for row in found.skipped] == [(A, "dropped", "no_length")]
    assert found.skipped[0]["reason"] in CLIP_REASONS
    assert f"left out: 1, {A}" in found.describe()


def test_a_list_says_how_many_entries_it_read_as_which_layout(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", f"label,youtube_id,time_start,time_end\nx,{A},1,2\ny,{A},1,2\n")
    (description,) = read_listing([f"train={path}"]).descriptions
    assert description == (
        f"{path}: 2 entries read as a table (video: youtube_id; times: time_start and time_end); "
        "clips: 1, videos: 1; named again: 1; ignored: label"
    )


@pytest.mark.parametrize(
    ("entries", "taken"),
    [
        (
            {"database": {A: {"annotations": [{"segment": [1, 2], "label": "x"}]}, B: {"annotations": []}}},
            "video: the key; times: segment in annotations or annotations); clips: 1, videos: 1; ignored: label",
        ),
        (
            [{"video_id": A, "start": 1, "end": 2}, {"youtube_id": B, "from": 0, "start_time": 1, "end_time": 2}],
            "video: video_id or youtube_id; times: start and end or start_time and end_time); "
            "clips: 2, videos: 2; ignored: from",
        ),
        (
            {A: {"start": [1], "end": [2], "text": ["x"]}, B: {"start": [], "end": [], "text": []}},
            "video: the key; times: start and end); clips: 1, videos: 1; ignored: text",
        ),
    ],
    ids=["within another", "in some entries only", "of none"],
)
def test_a_name_that_was_read_is_not_said_to_be_ignored(entries: Any, taken: str, tmp_path: Path) -> None:
    found = read_list(write(tmp_path, "a.json", entries), "train")
    assert found.describe().endswith(taken)
    assert found.num_entries == 2


def test_a_clip_of_two_lists_in_two_splits_is_refused(tmp_path: Path) -> None:
    first, second = (write(tmp_path, name, [{"id": A, "start": 1, "end": 2}]) for name in ("a.json", "b.json"))
    with pytest.raises(ClipListError, match="in two splits, train and test"):
        read_listing([f"train={first}", f"test={second}"])


@pytest.mark.parametrize(
    ("names", "made", "message"),
    [
        (["video_id", "video_id"], pa.array([B]), "two columns of one name: video_id, video_id"),
        (["video_id", "made"], pa.array([10**17], pa.timestamp("ms")), "a date or time that cannot be"),
        (["video_id", "made"], pa.array([1], pa.timestamp("ms", "Nope/Zone")), "a date or time that cannot be"),
    ],
)
def test_a_parquet_table_that_python_cannot_hold_as_it_stands_is_refused(
    names: list[str], made: pa.Array, message: str, tmp_path: Path
) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([A]), made], names), tmp_path / "a.parquet")
    with pytest.raises(ClipListError, match=message):
        read_list(tmp_path / "a.parquet")
