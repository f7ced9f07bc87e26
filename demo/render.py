"""Plans into files: DIR/catalog.json, then DIR/videos/ID.mp4 with its truth ID.json. What is finished stays."""

import json
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo.catalog import EXTRAS, Extra, describe_extra, describe_video
from demo.encode import FPS, UNFINISHED_PREFIX, encode_video
from demo.foods import FOOD_BY_NAME
from demo.narration import Track, narrate
from demo.pictures import draw_food, draw_frame, load_photograph
from demo.plan import PLAN_VERSION, VideoPlan, find_photographs, make_id, plan_channel
from demo.sound import Waveform, music, silence
from demo.waiting import rendering

Progress = Callable[[str, bool], None]
"""Called with a video's id, or the catalog's name, and whether it was made now (False: it was there)."""


def render_channel(
    out: Path, media: Path | None, num_videos: int, seed: int, num_workers: int, progress: Progress
) -> dict[str, Any]:
    """Write the catalog, then render every video that is not there yet; the site waits for those (`demo.waiting`).

    Args:
        out: the channel's folder.
        media: folder with images/grocery, or None for drawings.
        num_videos: narrated videos; the catalog holds seven small items more.
        seed: the same seed gives the same channel, byte for byte.
        num_workers: processes; each uses one core and 300 MB (measured), and its ffmpeg.
        progress: told of the catalog, then of every video as it is finished.

    Returns:
        The catalog.

    Raises:
        ValueError: `media` lacks photographs, or somebody else renders there.
        RuntimeError: ffmpeg failed.
    """
    plans = plan_channel(num_videos, seed, find_photographs(media))
    videos = out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    with rendering(out):
        return _render_what_is_missing(plans, out, media, seed, num_workers, progress)


def _render_what_is_missing(
    plans: list[VideoPlan], out: Path, media: Path | None, seed: int, num_workers: int, progress: Progress
) -> dict[str, Any]:
    videos = out / "videos"
    for leftover in videos.glob(f"{UNFINISHED_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    extras = {make_id(seed, extra.name): extra for extra in EXTRAS}
    jobs = _choose_jobs(plans, extras, videos, media, seed)
    items = [describe_video(plan, index) for index, plan in enumerate(plans)]
    items += [describe_extra(extra, video_id, index) for index, (video_id, extra) in enumerate(extras.items())]
    catalog = {"seed": seed, "items": items}
    progress("catalog.json", write_whole(out / "catalog.json", catalog))
    with_files = [plan.video_id for plan in plans] + [key for key, extra in extras.items() if extra.duration_ms]
    for video_id in with_files:
        if video_id not in jobs:
            progress(video_id, False)
    _run_jobs(jobs, num_workers, progress)
    return catalog


def _choose_jobs(
    plans: list[VideoPlan], extras: dict[str, Extra], videos: Path, media: Path | None, seed: int
) -> dict[str, Callable[[], None]]:
    """What is not rendered yet, per video id."""
    jobs: dict[str, Callable[[], None]] = {
        plan.video_id: partial(render_video, plan, videos, media)
        for plan in plans
        if not is_rendered(videos, plan.video_id, plan.digest)
    }
    for video_id, extra in extras.items():
        if extra.duration_ms and not is_rendered(videos, video_id, _extra_digest(extra, seed)):
            jobs[video_id] = partial(render_extra, extra, video_id, videos, seed)
    return jobs


def _run_jobs(jobs: dict[str, Callable[[], None]], num_workers: int, progress: Progress) -> None:
    if not jobs:
        return
    num_processes = min(num_workers, len(jobs))
    pool = ProcessPoolExecutor(num_processes, get_context("spawn"), _end_with_parent, (os.getpid(),))
    try:
        futures = {pool.submit(job): video_id for video_id, job in jobs.items()}
        for future in as_completed(futures):
            future.result()
            progress(futures[future], True)
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent(parent: int) -> None:
    """A worker's first act: end at once with Ctrl-C, and soon after a parent that was killed, so that none is left."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_rendered(videos: Path, video_id: str, digest: str) -> bool:
    """True if the video and its truth are there and were made from this plan; the truth is written last."""
    truth_path = videos / f"{video_id}.json"
    if not truth_path.is_file() or not (videos / f"{video_id}.mp4").is_file():
        return False
    return bool(json.loads(truth_path.read_text())["plan"] == digest)


def render_video(plan: VideoPlan, videos: Path, media: Path | None) -> None:
    """Render one narrated video, then write its truth beside it."""
    rng = np.random.default_rng(int.from_bytes(plan.digest.encode()))
    track = narrate(plan, rng)
    encode_video(videos / f"{plan.video_id}.mp4", _draw_frames(plan, track, media), track.waveform)
    truth = {
        "video_id": plan.video_id,
        "title": plan.title,
        "dish": plan.dish,
        "foods": [FOOD_BY_NAME[name].word for name in plan.foods],
        "voice": plan.voice,
        "duration_ms": track.duration_ms,
        "segments": track.segments,
        "pictures": [
            {"step": number, "food": step.food, "action": step.action, "picture": step.picture or "drawn"}
            for number, step in enumerate(plan.steps)
        ],
        "seed": plan.seed,
        "plan": plan.digest,
    }
    write_whole(videos / f"{plan.video_id}.json", truth)


def _draw_frames(plan: VideoPlan, track: Track, media: Path | None) -> Iterator[bytes]:
    """The step's picture in the step's motion, until the next step begins; before and after, nearly still."""
    canvases: dict[int, Image.Image] = {}
    frame_number = 0
    scene: tuple[int, str] | None = None
    scene_start_ms = 0
    for segment in track.segments:
        number = segment["step"]
        if number is None:
            number = 0 if segment["start_ms"] == 0 else len(plan.steps) - 1
        if (number, segment["action"]) != scene:
            scene, scene_start_ms = (number, segment["action"]), segment["start_ms"]
        if number not in canvases:
            canvases = {number: _load_picture(plan, number, media)}
        while frame_number * 1000 < segment["end_ms"] * FPS:
            t = frame_number / FPS - scene_start_ms / 1000
            yield draw_frame(canvases[number], segment["action"], t).tobytes()
            frame_number += 1


def _load_picture(plan: VideoPlan, number: int, media: Path | None) -> Image.Image:
    step = plan.steps[number]
    if step.picture is None or media is None:
        return draw_food(step.food, step.picture_seed)
    return load_photograph(media / step.picture)


def _extra_digest(extra: Extra, seed: int) -> str:
    return f"{PLAN_VERSION}/{extra.name}/{extra.duration_ms}/{seed}"


def render_extra(extra: Extra, video_id: str, videos: Path, seed: int) -> None:
    """Render one of the small items that the pipeline must refuse: a still picture with the sound it is there for."""
    sounds: dict[str, Callable[[], Waveform | None]] = {
        "silence": lambda: silence(extra.duration_ms),
        "music": lambda: music(extra.duration_ms, np.random.default_rng(seed)),
        "none": lambda: None,
    }
    frame = draw_frame(draw_food(extra.food, seed), "none", 0).tobytes()
    num_frames = math.ceil(extra.duration_ms * FPS / 1000)
    encode_video(videos / f"{video_id}.mp4", (frame for _ in range(num_frames)), sounds[extra.sound]())
    kinds = {"silence": "silence", "music": "music"}
    whole = {"start_ms": 0, "end_ms": extra.duration_ms, "kind": kinds.get(extra.sound)}
    truth = {
        "video_id": video_id,
        "title": extra.title,
        "duration_ms": extra.duration_ms,
        "segments": [whole] if extra.sound in kinds else [],
        "seed": seed,
        "plan": _extra_digest(extra, seed),
    }
    write_whole(videos / f"{video_id}.json", truth)


def write_whole(path: Path, content: dict[str, Any]) -> bool:
    """Write JSON under a temporary name and rename it; False: the file already holds this, and is not touched."""
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    if path.is_file() and path.read_text() == text:
        return False
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)
    return True
