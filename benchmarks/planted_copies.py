"""Videos that pan over photographs, and a copy of each: mirrored, cropped, faster, encoded again, or with a logo."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

Picture = Image.Image
WIDTH, HEIGHT = 256, 192
SECONDS, SECONDS_A_PHOTO = 8, 4
ROOM = 60
"""Pixels that a pan may cover."""


def encode(picture: Picture, quality: int) -> Picture:
    """As a lossy codec leaves it."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def add_logo(picture: Picture) -> Picture:
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    draw.rectangle((WIDTH - 66, 6, WIDTH - 6, 30), fill=(230, 20, 30))
    draw.text((WIDTH - 60, 10), "COOK TV", fill="white")
    return marked


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "mirror": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "crop": lambda picture: picture.resize(
        (WIDTH, HEIGHT), box=(WIDTH // 12, HEIGHT // 12, WIDTH - WIDTH // 12, HEIGHT - HEIGHT // 12)
    ),
    "speed": lambda picture: picture,
    "re-dub": lambda picture: encode(picture.resize((WIDTH // 2, HEIGHT // 2)).resize((WIDTH, HEIGHT)), 35),
    "logo": add_logo,
}
"""What is done to every frame; a faster copy is sampled at other times, a dubbed one is encoded again."""


def show(photos: list[Path], seed: int, times: np.ndarray) -> Iterator[Picture]:
    """A video's frames at some times, in seconds: a straight pan over one photograph after the other."""
    rng = np.random.default_rng(seed)
    pans = rng.uniform(0, 1, (len(photos), 2, 2))
    pictures = [Image.open(photo).convert("RGB") for photo in photos]
    scales = [max((WIDTH + ROOM) / picture.width, (HEIGHT + ROOM) / picture.height) for picture in pictures]
    pictures = [p.resize((round(p.width * s), round(p.height * s))) for p, s in zip(pictures, scales, strict=True)]
    for time in times:
        place = min(int(time / SECONDS_A_PHOTO), len(photos) - 1)
        start, end = pans[place]
        left, top = start + (end - start) * min(1, time / SECONDS_A_PHOTO - place)
        x, y = int(left * (pictures[place].width - WIDTH)), int(top * (pictures[place].height - HEIGHT))
        yield pictures[place].crop((x, y, x + WIDTH, y + HEIGHT))


def make_frames(photos: list[Path], seed: int, change: str | None) -> np.ndarray:
    """uint8 [T, H, W, 3], one a second, of a video or of its copy, which starts a third of a second elsewhere."""
    if change is None:
        frames = [encode(picture, 85) for picture in show(photos, seed, np.arange(SECONDS))]
    else:
        times = np.arange(0.3, SECONDS, 1.15) if change == "speed" else np.arange(SECONDS) + 0.35
        frames = [encode(CHANGES[change](picture), 70) for picture in show(photos, seed, times)]
    return np.stack([np.asarray(frame) for frame in frames])
