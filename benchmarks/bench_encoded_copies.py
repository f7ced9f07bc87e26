"""What is found of copies that are real files: videos of the small world, five copies of each encoded by ffmpeg.

    python -m benchmarks.bench_encoded_copies [num_copied] [--out DIR]

Three times as many videos stand beside them that nobody copied. A copy begins 0.35 s later, is encoded again, and is
mirrored, cropped, 1.15 times as fast, marked, or smaller and under the sound of another video, by which its clips are
cut. Features are EfficientNet-Lite0's of the clips, as the pipeline stores them. DIR keeps the files.
"""

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.bench_duplicates import own_copies
from benchmarks.limits import tell
from datasets.ids import make_clip_id
from datasets.splits.content import ContentSettings, find_content_copies
from demo.encode import FPS
from demo.pictures import HEIGHT, WIDTH
from demo.plan import VideoPlan, plan_channel
from demo.render import is_rendered, render_video
from features.clip_features import featurize_clips, load_encoders
from features.settings import NO_ENCODER, FeatureSettings

SEED = 10
"""Of the channel; 9 was looked at when `datasets.splits.content` learned to ask what is shown around two clips."""
SPEED = 1.15
CHANGES = {
    "mirror": ["-vf", "hflip"],
    "crop": ["-vf", f"crop=iw*5/6:ih*5/6,scale={WIDTH}:{HEIGHT}"],
    "speed": ["-vf", f"setpts=PTS/{SPEED}", "-r", str(FPS), "-af", f"atempo={SPEED}"],
    "re-dub": ["-vf", f"scale={WIDTH * 2 // 3}:{HEIGHT * 2 // 3}", "-map", "0:v", "-map", "1:a"],
    "logo": ["-vf", "drawbox=iw-66:6:60:24:red:fill,drawbox=iw-60:12:48:12:white:fill"],
}
"""What ffmpeg is told; every copy is encoded again, the re-dubbed one smaller and with the sound of another video."""
START_MS = 350
"""Copies begin so much later, so that no frame is sampled where the original's is."""
MIN_MS, MAX_MS = 5000, 50_000
Clip = dict[str, str | int]


def make_videos(out: Path, num_copied: int, num_others: int) -> list[Clip]:
    """Render the videos, encode the copies; what is there is kept.

    Returns:
        clips to featurize, their video_id `NUMBER-CHANGE`
    """
    out.mkdir(parents=True, exist_ok=True)
    plans = [_with_quick_voice(plan) for plan in plan_channel(num_copied + num_others, SEED, {})]
    for plan in plans:
        if not is_rendered(out, plan.video_id, plan.digest):
            render_video(plan, out, None)
    sources = [out / f"{plan.video_id}.mp4" for plan in plans]
    spoken = [cut_steps(source.with_suffix(".json")) for source in sources]
    clips: list[Clip] = []
    for number, source in enumerate(sources):
        clips += name_clips(f"{number:05d}-original", source, spoken[number], 0, 1.0)
        for change in CHANGES if number < num_copied else ():
            other = (number + 1) % len(sources)
            copy = out / f"{source.stem}-{change}.mp4"
            encode_copy(source, sources[other], copy, CHANGES[change])
            # A dubbed copy is cut where its own sound speaks, wherever the picture changes.
            ranges = spoken[other if change == "re-dub" else number]
            clips += name_clips(f"{number:05d}-{change}", copy, ranges, START_MS, SPEED if change == "speed" else 1.0)
    return clips


def _with_quick_voice(plan: VideoPlan) -> VideoPlan:
    """Nothing that is seen: HTS mei speaks forty times as long as eSpeak."""
    return plan if plan.voice.startswith("espeak") else replace(plan, voice="espeak:ja+f2:150:50")


def encode_copy(source: Path, other: Path, copy: Path, change: list[str]) -> None:
    """`source` changed, from `START_MS` on; `copy` appears only when it is complete."""
    if copy.exists():
        return
    unfinished = copy.with_suffix(".unfinished.mp4")
    late = ["-ss", f"{START_MS / 1000}"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *late, "-i", source]
    command += [*late, "-i", other, *change, "-c:v", "libx264", "-preset", "veryfast", "-crf", "32", "-threads", "1"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "48k", str(unfinished)], check=True)
    unfinished.replace(copy)


def cut_steps(truth: Path) -> list[tuple[int, int]]:
    """Start and end of each step's narration in milliseconds, as far as a clip may be so long."""
    ranges: dict[int, tuple[int, int]] = {}
    for segment in json.loads(truth.read_text(encoding="utf-8"))["segments"]:
        if segment["kind"] == "speech":
            start, _ = ranges.get(segment["step"], (segment["start_ms"], 0))
            ranges[segment["step"]] = start, segment["end_ms"]
    return [(start, end) for start, end in ranges.values() if MIN_MS <= end - start <= MAX_MS]


def name_clips(video_id: str, path: Path, ranges: list[tuple[int, int]], late_ms: int, speed: float) -> list[Clip]:
    """The ranges where they lie in a file that begins later and runs faster, without those that are too short."""
    clips: list[Clip] = []
    for start, end in ranges:
        start_ms, end_ms = (max(0, round((at - late_ms) / speed)) for at in (start, end))
        if end_ms - start_ms >= MIN_MS:
            clip_id = make_clip_id(video_id, start_ms, end_ms)
            clips.append({"clip_id": clip_id, "video_id": video_id, "start_ms": start_ms, "end_ms": end_ms})
            clips[-1]["media_path"] = str(path.resolve())
    return clips


def featurize(clips: list[Clip]) -> pa.Table:
    """clip_id, video_id and values of EfficientNet-Lite0, as the pipeline stores them."""
    settings = FeatureSettings(encoder_2d="efficientnet_lite0", encoder_3d=NO_ENCODER, num_threads=1)
    table = featurize_clips(pa.Table.from_pylist(clips), load_encoders(settings), settings)["features_2d"]
    reasons = [row["detail"] for row in table.select(["reason", "detail"]).to_pylist() if row["reason"]]
    if reasons:
        raise RuntimeError(f"{len(reasons)} of {len(clips)} clips have no features: {reasons[0]}")
    return table.select(["clip_id", "video_id", "values"])


def measure(out: Path, num_copied: int) -> None:
    """Print what the default threshold finds of the copies, kind by kind, and what it takes for copies."""
    clips = make_videos(out, num_copied, 3 * num_copied)
    start = time.process_time()
    pairs = find_content_copies(featurize(clips), ContentSettings())
    cpu_seconds, is_right = time.process_time() - start, own_copies(pairs)
    right = set(zip(*(pairs[side].filter(is_right).to_pylist() for side in ("video_id", "copy_id")), strict=True))
    other = pairs.filter(pc.invert(is_right)).to_pylist()
    false = {(pair["video_id"][:5], pair["copy_id"][:5]) for pair in other}
    num_found = 0
    for change in CHANGES:
        copies = [(f"{number:05d}-{change}", f"{number:05d}-original") for number in range(num_copied)]
        lost = [copy for copy, original in copies if not right & {(copy, original), (original, copy)}]
        num_found += num_copied - len(lost)
        print(f"{change}: {num_copied - len(lost)} of {num_copied} copies are paired with their original, lost {lost}")
    print(f"{len(clips)} clips of {4 * num_copied} videos and {5 * num_copied} copies, {cpu_seconds:.0f} CPU-seconds")
    tell("encoded copies found", 100 * num_found / len(CHANGES) / num_copied, "%", at_least=95)
    tell("false groups", 100 * len(false) / (num_copied + len(false)), "% of all groups", at_most=1)
    print(f"false groups, the most alike first: {sorted(other, key=lambda pair: -pair['similarity'])[:5]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_copied", nargs="?", type=int, default=10)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(asked.out or Path(folder), asked.num_copied)


if __name__ == "__main__":
    main()
