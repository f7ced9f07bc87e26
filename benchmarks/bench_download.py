"""What our download adds to a bare yt-dlp loop, and bookkeeping for a million known videos.

    python -m benchmarks.bench_download [--videos 24] [--seconds 10] [--workers 4] [--rounds 9]
        [--known 1000000] [--rows-per-part 20000]

All loops fetch the same files from the demo's site in a process of its own on 127.0.0.1, with as many threads, the
pacer off, in turns; medians. Ours adds selection, the limits, a look at the file's boxes and header, sha256, fsync, the
record and two rows. Beside them the floor: the files alone, copied from the socket and flushed to the disk.
Asked: 95 % of the bare loop's speed; a million known videos loaded, subtracted and cut in 10 s and 2 GB.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import yt_dlp

from benchmarks.limits import peak_gigabytes, tell
from datasets.schemas import TABLES
from datasets.tables import write_part
from demo.extractor import DemoVideoIE
from extract.media import ffmpeg_path
from extract.selection import SelectionSettings
from extract.site.fetch import DownloadSettings, fetch_video
from extract.sources import SourceSettings
from flows.config import Config
from flows.machinery.batches import cut_batches, left_to_do
from flows.machinery.run import Run
from flows.stages.download import rank_videos


def make_channel(folder: Path, num_videos: int, seconds: int) -> list[str]:
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-f", "lavfi", "-i"]
    command += [f"testsrc2=s=640x360:r=15:d={seconds},noise=alls=30:allf=t", "-f", "lavfi", "-i", f"sine=d={seconds}"]
    subprocess.run(
        [*command, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", str(folder / "a.mp4")], check=True
    )
    ids = [f"video{i:06d}" for i in range(num_videos)]
    item = {"title": "肉じゃがの作り方", "description": "レシピ", "duration_ms": seconds * 1000, "view_count": 500}
    item |= {"channel": "c", "channel_id": "UC1", "upload_date": "20240101", "license": None, "language": "ja"}
    item |= {"availability": "public", "kind": "narrated", "file": "a.mp4"}
    (folder / "catalog.json").write_text(json.dumps({"items": [{**item, "id": video_id} for video_id in ids]}))
    return ids


@contextmanager
def serve(folder: Path):
    port_file = folder / "port"
    command = [
        sys.executable,
        "-m",
        "demo",
        "serve",
        "--dir",
        str(folder),
        "--port",
        "0",
        "--port-file",
        str(port_file),
    ]
    server = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        while not port_file.exists():
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        server.terminate()
        server.wait()


def run_bare(ids: list[str], url: str, folder: Path, workers: int) -> float:
    def work(mine: list[str]) -> None:
        parameters = {"quiet": True, "noprogress": True, "format": "b", "cachedir": False}
        parameters |= {"outtmpl": str(folder / "%(id)s.%(ext)s"), "ffmpeg_location": ffmpeg_path()}
        with yt_dlp.YoutubeDL(parameters, auto_init=False) as engine:
            engine.add_info_extractor(DemoVideoIE())
            engine.download([f"{url}/watch?v={video_id}" for video_id in mine])

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(work, [ids[i::workers] for i in range(workers)]))
    return time.perf_counter() - start


def run_floor(ids: list[str], url: str, folder: Path, workers: int) -> float:
    def work(video_id: str) -> None:
        with urllib.request.urlopen(f"{url}/media/{video_id}.mp4") as body, (folder / video_id).open("wb") as file:
            shutil.copyfileobj(body, file, 1 << 19)
            file.flush()
            os.fsync(file.fileno())

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(work, ids))
    return time.perf_counter() - start


def run_ours(ids: list[str], url: str, folder: Path, workers: int) -> float:
    source = SourceSettings(
        name="site", watch_url=url + "/watch?v={video_id}", extractors=("demo.extractor:DemoVideoIE",)
    )
    download, selection = DownloadSettings(min_free_bytes=0), SelectionSettings(min_duration_ms=0)

    def work(video_id: str) -> str:
        media = fetch_video(video_id, folder, source, selection, download)[1]
        return media["status"] if media else "dropped"

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        outcomes = list(threads.map(work, ids))
    assert outcomes == ["ok"] * len(ids), outcomes
    return time.perf_counter() - start


def compare_loops(num_videos: int, seconds: int, workers: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = make_channel(folder, num_videos, seconds)
        megabytes = num_videos * (folder / "a.mp4").stat().st_size / 1e6
        seconds_of: dict[str, list[float]] = {"floor": [], "bare yt-dlp": [], "ours": []}
        with serve(folder) as url:
            for _ in range(rounds):
                for loop, run in zip(seconds_of, (run_floor, run_bare, run_ours), strict=True):
                    target = folder / "target"
                    target.mkdir()
                    os.sync()  # else one loop waits for the disk on behalf of the one before
                    seconds_of[loop].append(run(ids, url, target, workers))
                    shutil.rmtree(target)
        print(f"{num_videos} videos, {megabytes:.0f} MB, {workers} threads, {rounds} rounds: median (least to most)")
        for loop, seconds in seconds_of.items():
            print(f"{loop:<12} {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
        floor, bare, ours = (statistics.median(seconds) for seconds in seconds_of.values())
        tell("our share of bare yt-dlp's speed", 100 * bare / ours, "%", at_least=95)
        print(f"  {100 * floor / ours:.1f} % of the floor's")


def write_known(root: Path, num_known: int, rows_per_part: int) -> None:
    """`num_known` videos that were decided, and as many discoveries plus a tenth that were not."""
    for name in ("videos", "discoveries"):
        total = num_known if name == "videos" else num_known + num_known // 10
        for start in range(0, total, rows_per_part):
            ids = pa.array([f"{i:011d}" for i in range(start, min(start + rows_per_part, total))])
            write_part(root, name, _fill(name, ids), [str(start)])


def _fill(name: str, ids: pa.Array) -> pa.Table:
    given = {"video_id": ids, "query": pa.repeat("肉じゃが 作り方", len(ids)), "status": pa.repeat("ok", len(ids))}
    given |= {"rank": pa.array(np.arange(len(ids)) % 200, pa.int32()), "title": pa.repeat("肉じゃがの作り方", len(ids))}
    given |= {"recipe": pa.repeat("r", len(ids)), "run_id": pa.repeat("run", len(ids))}
    given |= {"attempt": pa.repeat(pa.scalar(0, pa.int32()), len(ids))}
    schema = TABLES[name].schema
    return pa.table([given.get(field.name, pa.nulls(len(ids), field.type)) for field in schema], schema=schema)


def choose_batch(root: Path) -> int:
    """What a run does before its first download."""
    run = Run(Config(root=str(root)), "run")
    return cut_batches(left_to_do(rank_videos(run), run, "videos", "r"), 50)[0].num_rows


def tell_choice(root: str) -> None:
    """Time `choose_batch` in this process, which has done nothing else."""
    start = time.perf_counter()
    num_chosen = choose_batch(Path(root))
    tell(f"load, subtract, choose {num_chosen}", time.perf_counter() - start, "s", at_most=10)
    tell("  peak of the process", peak_gigabytes(), "GB", at_most=2)


def measure_bookkeeping(num_known: int, rows_per_part: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_known(Path(name), num_known, rows_per_part)
        print(f"{num_known:,} known videos in parts of {rows_per_part:,} rows", flush=True)
        code = f"from benchmarks.bench_download import tell_choice; tell_choice({name!r})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("videos", 24), ("seconds", 10), ("workers", 4), ("rounds", 9), ("known", 1_000_000)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--rows-per-part", type=int, default=20_000, help="50 is a root that was never compacted")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measure_bookkeeping(options.known, options.rows_per_part)
    compare_loops(options.videos, options.seconds, options.workers, options.rounds)
