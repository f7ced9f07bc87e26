"""The filters that frames and samples go through, as libavfilter reads them; which library runs them is not known here.

They are the reference extractor's own: `fps=1,scale=W:H` and `fps=24,scale=W:H,crop=112:112:x:y`, sizes computed from
the stored picture, rotation applied first.
"""

from typing import Any

from features.frames.times import ClipTimes

FPS_2D = 1
FPS_3D = 24
SHORT_SIDE_2D = 224
SIDE_3D = 112
SAMPLING_RATE = 16000
_COLOR_SPACES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
_COLOR_RANGES = {1: "tv", 2: "pc"}
_ROTATIONS = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the short side at `short_side`; the long side is truncated, as the reference does."""
    if height >= width:
        return short_side, int(height * short_side / width)
    return int(width * short_side / height), short_side


def frame_sizes(width: int, height: int) -> dict[str, tuple[int, int]]:
    """Width and height of the frames of each branch, 2d and 3d, from the stored picture's."""
    return {"2d": scaled_size(width, height, SHORT_SIDE_2D), "3d": (SIDE_3D, SIDE_3D)}


def video_chains(width: int, height: int) -> dict[str, list[str]]:
    """The filters of each branch, 2d and 3d; the first one chooses frames."""
    wide_2d, high_2d = scaled_size(width, height, SHORT_SIDE_2D)
    wide_3d, high_3d = scaled_size(width, height, SIDE_3D)
    crop = f"crop={SIDE_3D}:{SIDE_3D}:{int((wide_3d - SIDE_3D) / 2)}:{int((high_3d - SIDE_3D) / 2)}"
    return {
        "2d": [f"fps={FPS_2D}:start_time=0", f"scale={wide_2d}:{high_2d}"],
        "3d": [f"fps={FPS_3D}:start_time=0", f"scale={wide_3d}:{high_3d}", crop],
    }


def video_filters(frame: Any, chain: list[str]) -> list[str]:
    """From frames like this one through `chain` to RGB."""
    source = [
        f"buffer=video_size={frame.width}x{frame.height}",
        f"pix_fmt={frame.format.name}",
        f"time_base={frame.time_base}",
        "pixel_aspect=1/1",
        f"colorspace={_COLOR_SPACES.get(int(frame.colorspace), 'unknown')}",
        f"range={_COLOR_RANGES.get(int(frame.color_range), 'unknown')}",
    ]
    rotation = _ROTATIONS.get(round(frame.rotation) % 360, [])
    return [":".join(source), *rotation, *chain, "format=rgb24", "buffersink"]


def audio_filters(frame: Any, trim: list[str]) -> list[str]:
    """From sound like this frame's to 16 kHz mono float."""
    source = [
        f"abuffer=sample_rate={frame.sample_rate}",
        f"sample_fmt={frame.format.name}",
        f"channel_layout={frame.layout.name}",
        f"time_base={frame.time_base}",
    ]
    resample = f"aresample={SAMPLING_RATE}:out_sample_fmt=flt:out_chlayout=mono"
    return [":".join(source), *trim, resample, "abuffersink"]


def trim_filters(name: str, times: ClipTimes) -> list[str]:
    """The trim or atrim that leaves of frames in clip time what lies in the clip; none for a whole file."""
    if not times.is_range:
        return []
    return [f"{name}=start=0" + ("" if times.clip_ms is None else f":duration={times.clip_ms}ms")]
