"""What is seen: a photograph or a drawing of the food, moved in a way that belongs to the action."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from demo.foods import FOOD_BY_NAME, Colour, Food, Shape

WIDTH, HEIGHT = 240, 180
CANVAS_WIDTH, CANVAS_HEIGHT = 320, 250  # leaves room for the widest motion

Grid = NDArray[Any]


def load_photograph(path: Path) -> Image.Image:
    """A photograph as the canvas: centre-cropped, scaled."""
    with Image.open(path) as photograph:
        image = photograph.convert("RGB")
    scale = min(image.width / CANVAS_WIDTH, image.height / CANVAS_HEIGHT)
    left, top = (image.width - scale * CANVAS_WIDTH) / 2, (image.height - scale * CANVAS_HEIGHT) / 2
    box = (left, top, left + scale * CANVAS_WIDTH, top + scale * CANVAS_HEIGHT)
    return image.resize((CANVAS_WIDTH, CANVAS_HEIGHT), Image.Resampling.BICUBIC, box=box)


def draw_food(name: str, seed: int) -> Image.Image:
    """A drawing of the food as the canvas: a few pieces of its own shape and colours on a table.

    The seed varies number, size, place, angle, shade and the table, so that no two drawings are alike.
    """
    food, rng = FOOD_BY_NAME[name], np.random.default_rng(seed)
    canvas = _draw_table(rng)
    for row, column in _scatter(rng):
        size = int(rng.integers(86, 124))
        piece = _draw_piece(food, size, rng).rotate(float(rng.uniform(0, 360)), Image.Resampling.BILINEAR, expand=True)
        corner = (column - piece.width // 2, row - piece.height // 2)
        shadow = piece.getchannel("A").point(lambda alpha: alpha // 2).filter(ImageFilter.GaussianBlur(2))
        canvas.paste((20, 16, 12), (corner[0] + 3, corner[1] + 5), shadow)
        canvas.paste(piece, corner, piece)
    return canvas


def _scatter(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Centres (row, column) of the pieces: on a jittered 3 x 4 grid, a few left out, in random order."""
    step = CANVAS_WIDTH // 4
    centres = [
        (int(step * (r + 0.5) + rng.integers(-15, 16)), int(step * (c + 0.5) + rng.integers(-15, 16)))
        for r in range(3)
        for c in range(4)
        if rng.random() > 0.15
    ]
    return [centres[k] for k in rng.permutation(len(centres))]


def _draw_table(rng: np.random.Generator) -> Image.Image:
    """Wood, cloth or steel with a soft grain."""
    tables: tuple[Colour, ...] = ((150, 112, 74), (208, 200, 186), (118, 124, 130), (96, 74, 56), (176, 190, 196))
    base = np.array(tables[int(rng.integers(len(tables)))], np.float64)
    grain = np.repeat(rng.normal(0, 7, (CANVAS_HEIGHT, CANVAS_WIDTH // 16)), 16, axis=1)
    return Image.fromarray(np.clip(base + grain[..., None], 0, 255).astype(np.uint8))


def _draw_piece(food: Food, size: int, rng: np.random.Generator) -> Image.Image:
    """One piece as RGBA, `size` pixels wide, lit from above."""
    span = np.linspace(-1.05, 1.05, size, dtype=np.float32)
    u, v = np.meshgrid(span, span)
    v = v / max(food.aspect, 0.05)
    mask = OUTLINES[food.shape](u, v)
    shade = 1.12 - 0.45 * np.clip(v + 0.15, -1, 1) ** 2 - 0.12 * np.abs(u)
    colour = np.array(food.colour) * rng.uniform(0.88, 1.12) + rng.normal(0, 6, 3)
    texture = _texture(food.texture, u, v, rng) * 0.6
    accent = np.maximum(texture, _accent_part(food.shape, u, v))[..., None]
    pixels = (colour * (1 - accent) + np.array(food.accent) * accent) * shade[..., None]
    rgba = np.dstack([np.clip(pixels, 0, 255), np.where(mask, 255, 0)]).astype(np.uint8)
    return Image.fromarray(rgba)


def _texture(kind: str, u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Share of the accent colour, 0 to 1, at every pixel."""
    phase = rng.uniform(0, math.tau)
    if kind == "rings":
        return np.where(np.sin(22 * u + 2 * v + phase) > 0.86, 0.8, 0.0)
    if kind == "stripes":
        return np.asarray(0.5 + 0.5 * np.sin(9 * v + 1.5 * u * v + phase))
    if kind == "leafy":
        radius, angle = np.hypot(u, v), np.arctan2(v, u)
        veins = np.abs(np.sin(4 * angle + 5 * radius + phase)) < 0.22
        return np.where(veins, 1.0, np.where(np.sin(9 * radius + phase) > 0.6, 0.3, 0.0))
    if kind == "spots":
        spots = np.zeros_like(u)
        for x, y in rng.uniform(-0.9, 0.9, (16, 2)):
            spots = np.maximum(spots, np.hypot(u - x, 0.5 * (v - y)) < 0.04)
        return spots
    return np.zeros_like(u)


def _accent_part(shape: Shape, u: Grid, v: Grid) -> Grid:
    """Where leaves or a stalk are: the share of the accent colour."""
    if shape == "taper":
        return np.clip((-0.62 - u) * 20, 0, 1)
    if shape == "long":
        return np.clip((u - 0.15) * 1.3, 0, 1)
    if shape in ("round", "lobed"):
        star = 0.17 + 0.07 * np.cos(5 * np.arctan2(v + 0.2, u + 0.1))
        return np.where(np.hypot(u + 0.1, v + 0.2) < star, 1.0, 0.0)
    if shape == "mushroom":
        return np.where(v > 0.12, 1.0, 0.0)
    if shape in ("curved", "bulb"):
        return np.where(np.abs(u) > 0.93, 1.0, 0.0)
    return np.zeros_like(u)


OUTLINES: dict[Shape, Callable[[Grid, Grid], NDArray[np.bool_]]] = {
    "round": lambda u, v: u**2 + v**2 < 0.95,
    "oval": lambda u, v: u**2 + v**2 + 0.12 * np.sin(3 * u + 2 * v) < 0.85,
    "long": lambda u, v: u**8 + v**2 < 0.9,
    "taper": lambda u, v: (np.abs(v) < 0.75 - 0.5 * (u + 0.2)) & (np.abs(u) < 0.97) & (u**6 + v**2 < 0.98),
    "curved": lambda u, v: np.abs(v + 0.9 * u**2 - 0.45) < 0.42 * np.sqrt(np.clip(1 - u**4, 0, 1)),
    "mushroom": lambda u, v: ((u**2 + v**2 < 0.92) & (v < 0.15)) | ((np.abs(u) < 0.3) & (v > 0) & (v < 0.9)),
    "bulb": lambda u, v: (
        (u**2 + v**2 < 0.8 + 0.1 * np.cos(5 * np.arctan2(v, u))) | ((np.abs(v) < 0.14) & (u < 0) & (u > -1))
    ),
    "lobed": lambda u, v: np.hypot(u, v) < 0.8 + 0.13 * np.cos(3 * np.arctan2(v, u)),
    "knobby": lambda u, v: (
        (np.hypot(u, 0.8 * v) < 0.5)
        | (np.hypot(u - 0.5, v + 0.4) < 0.36)
        | (np.hypot(u + 0.55, v + 0.1) < 0.38)
        | (np.hypot(u - 0.25, v - 0.55) < 0.32)
    ),
    "lemon": lambda u, v: np.abs(v) < np.sqrt(np.clip(1 - u**2, 0, 1)) * 0.95 + 0.12 * (np.abs(u) < 0.99),
}


def draw_frame(canvas: Image.Image, action: str, t: float) -> Image.Image:
    """One frame [240 x 180], `t` seconds into the step. Every action has a motion of its own.

    peel: a slow pan. cut: a knife and a jump at each stroke. fry: a shaken pan with oil. boil: bobbing in bubbles.
    mix: round and round with a spoon. serve: coming nearer. none: nearly still.
    """
    x, y, zoom = _camera(action, t)
    half_width, half_height = WIDTH / 2 / zoom, HEIGHT / 2 / zoom
    left, top = CANVAS_WIDTH / 2 + x - half_width, CANVAS_HEIGHT / 2 + y - half_height
    if zoom == 1:  # a cut costs nothing, a resize most of a frame's time
        frame = canvas.crop((int(left), int(top), int(left) + WIDTH, int(top) + HEIGHT))
    else:
        box = (left, top, left + 2 * half_width, top + 2 * half_height)
        frame = canvas.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
    if action in OVERLAYS:
        OVERLAYS[action](ImageDraw.Draw(frame), t)
    return frame


def _camera(action: str, t: float) -> tuple[float, float, float]:
    """Where the camera looks: x and y in pixels from the canvas' middle, zoom."""
    if action == "peel":
        return 36 * math.sin(0.7 * t), 0, 1
    if action == "cut":
        return 16 * ((2 * t) % 1) - 8, 5 * abs(math.sin(math.tau * 2 * t)), 1
    if action == "fry":
        return 4 * math.sin(math.tau * 4.3 * t), 3 * math.sin(math.tau * 5.1 * t + 1), 1
    if action == "boil":
        return 2 * math.sin(math.tau * 0.4 * t), 6 * math.sin(math.tau * 1.5 * t), 1
    if action == "mix":
        return 30 * math.cos(math.tau * 0.6 * t), 30 * math.sin(math.tau * 0.6 * t), 1
    if action == "serve":
        return 0, 0, 0.9 + 0.5 * min(t / 14, 1)
    return 3 * min(t, 10) - 15, 0, 1


def _draw_knife(draw: ImageDraw.ImageDraw, t: float) -> None:
    column = WIDTH * ((t * 0.25) % 1)
    drop = 25 * abs(math.sin(math.tau * t))
    draw.polygon(
        [(column, drop - 30), (column + 3, drop - 30), (column + 12, 80 + drop), (column, 105 + drop)],
        fill=(222, 226, 230),
    )


def _draw_oil(draw: ImageDraw.ImageDraw, t: float) -> None:
    for k in range(40):
        x, y = (k * 197) % WIDTH, (k * 83) % HEIGHT
        radius = 1 + abs(math.sin(math.tau * 3 * t + k))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(246, 226, 150))


def _draw_bubbles(draw: ImageDraw.ImageDraw, t: float) -> None:
    for k in range(26):
        x, speed = (k * 211) % WIDTH, 40 + (k * 37) % 35
        y = HEIGHT - (k * 59 + speed * t) % (HEIGHT + 20)
        radius = 3 + k % 4
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(235, 245, 250), width=2)


def _draw_spoon(draw: ImageDraw.ImageDraw, t: float) -> None:
    x = WIDTH / 2 + 35 * math.cos(-math.tau * 0.6 * t)
    y = HEIGHT / 2 + 25 * math.sin(-math.tau * 0.6 * t)
    draw.line((x, y, x + 100, y - 120), fill=(148, 104, 62), width=6)
    draw.ellipse((x - 17, y - 12, x + 17, y + 12), fill=(168, 120, 74))


OVERLAYS: dict[str, Callable[[ImageDraw.ImageDraw, float], None]] = {
    "cut": _draw_knife,
    "fry": _draw_oil,
    "boil": _draw_bubbles,
    "mix": _draw_spoon,
}
