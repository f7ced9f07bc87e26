"""The filters that frames go through, as libavfilter reads them; which library runs them is not known here.

They are the reference extractor's own: `fps=1,scale=W:H` and `fps=24,scale=W:H,crop=112:112:x:y` (of these, `fps` is
`features.frames.grid`), after the picture has been cropped and turned as ffmpeg does it.
"""

from math import atan2, degrees, floor, hypot
from typing import NamedTuple

FPS_2D = 1
FPS_3D = 24
SHORT_SIDE_2D = 224
SIDE_3D = 112
Matrix = tuple[int, ...]
"""A display matrix: 9 numbers, row by row, of which 0, 1, 3 and 4 turn and mirror."""


class Crop(NamedTuple):
    """Pixels that a container has cut away at each side of a picture, before it is turned."""

    left: int
    right: int
    top: int
    bottom: int

    @property
    def filter(self) -> str:
        """As ffmpeg itself writes it (fftools/ffmpeg_filter.c)."""
        sizes = f"w=iw-{self.left}-{self.right}:h=ih-{self.top}-{self.bottom}"
        return f"crop={sizes}:x={self.left}:y={self.top}"


class PictureKind(NamedTuple):
    """What a filter graph is built for: it must never see a picture of another kind."""

    width: int
    height: int
    pixel_format: str
    color_space: int
    color_range: int
    color_primaries: int
    color_transfer: int
    matrix: Matrix | None
    """The display matrix, where the picture has one."""
    crop: Crop | None
    """What is cut away, where the container says so."""
    colour_block: tuple[int, int]
    """Width and height of the pixels that share a colour: no crop divides them."""

    @property
    def displayed_size(self) -> tuple[int, int]:
        """Width and height once cropped and turned."""
        width, height = self.width, self.height
        if self.crop is not None:
            width = (width - self.crop.left - self.crop.right) // self.colour_block[0] * self.colour_block[0]
            height = (height - self.crop.top - self.crop.bottom) // self.colour_block[1] * self.colour_block[1]
        is_lying = any(filter_.startswith("transpose") for filter_ in turn_filters(self.matrix))
        return (height, width) if is_lying else (width, height)


def turn_filters(matrix: Matrix | None) -> list[str]:
    """What ffmpeg itself does for a display matrix before any other filter (fftools/ffmpeg_filter.c)."""
    if matrix is None or not hypot(matrix[0], matrix[3]) or not hypot(matrix[1], matrix[4]):
        return []
    angle = degrees(atan2(matrix[1] / hypot(matrix[1], matrix[4]), matrix[0] / hypot(matrix[0], matrix[3])))
    angle = floor(abs(angle) + 0.5) * (1 if angle >= 0 else -1)
    angle -= 360 * floor(angle / 360 + 0.9 / 360)
    if angle == 90:
        return ["transpose=cclock_flip" if matrix[3] > 0 else "transpose=clock"]
    if angle == 180:
        return ["hflip"] * (matrix[0] < 0) + ["vflip"] * (matrix[4] < 0)
    if angle == 270:
        return ["transpose=clock_flip" if matrix[3] < 0 else "transpose=cclock"]
    if angle in (0, 1):
        return ["vflip"] * (angle == 0 and matrix[4] < 0)
    return [f"rotate={angle}*PI/180"]


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the short side at `short_side`; the long side is truncated, as the reference does."""
    if height >= width:
        return short_side, int(height * short_side / width)
    return int(width * short_side / height), short_side


def frame_sizes(width: int, height: int) -> dict[str, tuple[int, int]]:
    """Width and height of the rows of each grid, 2d and 3d, for pictures displayed at a size."""
    return {"2d": scaled_size(width, height, SHORT_SIDE_2D), "3d": (SIDE_3D, SIDE_3D)}


def picture_chains(width: int, height: int) -> dict[str, list[str]]:
    """The filters of each grid, 2d and 3d, for pictures displayed at a size; they also squeeze those of another."""
    wide_2d, high_2d = scaled_size(width, height, SHORT_SIDE_2D)
    wide_3d, high_3d = scaled_size(width, height, SIDE_3D)
    crop = f"crop={SIDE_3D}:{SIDE_3D}:{int((wide_3d - SIDE_3D) / 2)}:{int((high_3d - SIDE_3D) / 2)}"
    return {"2d": [f"scale={wide_2d}:{high_2d}"], "3d": [f"scale={wide_3d}:{high_3d}", crop]}


def picture_filters(kind: PictureKind, chain: list[str]) -> list[str]:
    """From pictures of a kind, cropped and turned, through `chain` to RGB."""
    source = [
        f"buffer=video_size={kind.width}x{kind.height}",
        f"pix_fmt={kind.pixel_format}",
        "time_base=1/1",
        "pixel_aspect=1/1",
        f"colorspace={kind.color_space}",
        f"range={kind.color_range}",
    ]
    cropping = [] if kind.crop is None else [kind.crop.filter]
    return [":".join(source), *cropping, *turn_filters(kind.matrix), *chain, "format=rgb24", "buffersink"]
