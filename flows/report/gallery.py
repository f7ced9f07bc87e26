"""Spoken queries and what they found, to look at and listen to: one page without server or script, hardest first."""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from datasets.files import write_bytes
from datasets.places_audio import locate_pairs
from datasets.settings import recipe_of
from datasets.tables import current_recipe, list_parts, read_ok
from datasets.wording import format_clock
from extract.media import MediaError, encode_speech, encode_thumbnail
from features.captioned_images import read_image
from features.frames.decoded import ClipError
from flows.config import GALLERY_FILE, Config
from flows.report.page import render_template
from flows.report.query_yields import read_ranks
from flows.report.spoken_words import read_words

NUM_QUERIES = 40
LONGEST_SPEECH_MS = 20_000
"""With 40 queries of so much speech and six pictures each, the page stays under 8 MB."""
_BEGINNING = 4096


@dataclass(frozen=True)
class Item:
    """A clip or a pair: where its picture and its sound lie."""

    title: str
    place: str
    """Where in its video, for people; empty for a photograph."""
    picture: Path | None
    picture_at_ms: int | None
    """None for a photograph."""
    sound: Path | None
    start_ms: int
    end_ms: int
    audio_track: int | None = None
    """Of several in the file."""


@dataclass(frozen=True)
class Found:
    """One of the best candidates of a query, or its match."""

    rank: str
    is_match: bool
    title: str
    place: str
    picture: str | None
    """A data: address; None where the picture is not to be had."""


@dataclass(frozen=True)
class Query:
    """One spoken query."""

    clip_id: str
    title: str
    place: str
    position: float
    sound: str | None
    is_cut: bool
    match: Found
    best: list[Found]


def build_gallery(config: Config, num_queries: int = NUM_QUERIES) -> str:
    """Write ROOT/gallery.html of the current evaluation of split test; nothing is done if the page is of it already.

    Args:
        config: names the root, and where its media are.
        num_queries: at most so many.

    Returns:
        Where the page is.

    Raises:
        ValueError: the root has no evaluation.
    """
    path = f"{config.root.rstrip('/')}/{GALLERY_FILE}"
    if current_recipe(config.root, "ranks") is None:
        raise ValueError(f"{config.root} has no evaluation: run `python -m flows evaluate` first")
    recipe = shown_recipe(config.root)
    if read_gallery_recipe(path) != recipe:
        write_bytes(path, render_template("gallery.html.jinja", **read_gallery(config, num_queries)).encode())
    return path


def shown_recipe(root: str) -> str | None:
    """Of the evaluation that a page is of, and of the words on it where there are any."""
    words = current_recipe(root, "transcripts")
    evaluation = current_recipe(root, "ranks")
    return recipe_of(evaluation, words) if words else evaluation


def read_gallery_recipe(path: str) -> str | None:
    """The evaluation that a page is of; None where there is none."""
    try:
        with fsspec.open(path, "rb") as file:
            found = re.search(rb'<meta name="evaluation" content="([0-9a-f]+)">', file.read(_BEGINNING))
    except FileNotFoundError:
        return None
    return found[1].decode() if found else None


def read_gallery(config: Config, num_queries: int) -> dict[str, Any]:
    """Everything the page's template is filled with."""
    ranks = read_ranks(config.root, "test")
    chosen = choose_queries(ranks["position"].to_numpy(), num_queries)
    shown = [ranks.iloc[i] for i in chosen]
    wanted = {clip_id for row in shown for clip_id in (row["clip_id"], *row["best"].split())}
    items = {clip_id: item for clip_id, item in _read_items(config) if clip_id in wanted}
    with ThreadPoolExecutor(config.run.num_workers) as pool:
        pictures = dict(zip(items, pool.map(_make_picture, items.values()), strict=True))
        spoken = {row["clip_id"]: items[row["clip_id"]] for row in shown if row["clip_id"] in items}
        sounds = dict(zip(spoken, pool.map(_make_sound, spoken.values()), strict=True))
    return {
        "recipe": shown_recipe(config.root),
        "words": read_words(config.root, [row["clip_id"] for row in shown]),
        "queries": [_make_query(row, items, pictures, sounds) for row in shown],
        "num_queries": len(ranks),
        "recalls": {k: float(ranks[f"hit_at_{k}"].mean()) for k in (1, 5, 10)},
        "num_hardest": num_hardest(len(ranks), num_queries),
        "longest_speech_s": LONGEST_SPEECH_MS // 1000,
    }


def num_hardest(num_all: int, num_shown: int) -> int:
    """How many of the queries shown are the hardest ones; the others are spread evenly over the rest."""
    return num_all if num_all <= num_shown else num_shown * 3 // 4


def choose_queries(positions: npt.NDArray[np.float64], num_shown: int) -> list[int]:
    """Indices of at most `num_shown` queries, the worst position first: the hardest, and a sample of the rest."""
    order = np.argsort(-positions, kind="stable")
    num_worst = num_hardest(len(order), num_shown)
    rest = order[num_worst:]
    spread = rest[np.linspace(0, len(rest) - 1, num_shown - num_worst).round().astype(int)] if len(rest) else rest
    return [int(i) for i in (*order[:num_worst], *spread)]


def _read_items(config: Config) -> Iterator[tuple[str, Item]]:
    """Every clip, or pair, of the root."""
    if list_parts(config.root, "pairs"):
        for row in locate_pairs(config.root).to_pylist():
            image, sound = Path(row["image_path"]), Path(row["audio_path"])
            yield row["pair_id"], Item(image.stem, "", image, None, sound, 0, LONGEST_SPEECH_MS + 1)
        return
    media_root = config.media_root
    media = {
        row["video_id"]: (media_root / row["media_path"], row["audio_track"])
        for row in read_ok(config.root, "media", ["video_id", "media_path", "audio_track"]).to_pylist()
    }
    titles = {
        row["video_id"]: row["title"] for row in read_ok(config.root, "videos", ["video_id", "title"]).to_pylist()
    }
    for row in read_ok(config.root, "clips", ["clip_id", "video_id", "start_ms", "end_ms"]).to_pylist():
        start_ms, end_ms = row["start_ms"], row["end_ms"]
        path, track = media.get(row["video_id"], (None, None))
        title = titles.get(row["video_id"]) or row["video_id"]
        middle_ms = (start_ms + end_ms) // 2
        yield row["clip_id"], Item(title, format_clock(start_ms), path, middle_ms, path, start_ms, end_ms, track)


def _make_picture(item: Item) -> str | None:
    """JPEG as a data: address; None where it cannot be had."""
    try:
        if item.picture is None:
            return None
        if item.picture_at_ms is not None:
            return _data_address("image/jpeg", encode_thumbnail(item.picture, item.picture_at_ms))
        file = io.BytesIO()
        Image.fromarray(read_image(item.picture)).save(file, "JPEG", quality=70)
        return _data_address("image/jpeg", file.getvalue())
    except (MediaError, ClipError):
        return None


def _make_sound(item: Item) -> str | None:
    end_ms = min(item.end_ms, item.start_ms + LONGEST_SPEECH_MS)
    try:
        if item.sound is None:
            return None
        return _data_address("audio/mpeg", encode_speech(item.sound, item.start_ms, end_ms, item.audio_track))
    except MediaError:
        return None


def _data_address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _make_query(
    row: Any, items: dict[str, Item], pictures: dict[str, str | None], sounds: dict[str, str | None]
) -> Query:
    def find(clip_id: str, rank: str) -> Found:
        item = items.get(clip_id)
        about = (item.title, item.place) if item else (clip_id, "")
        return Found(rank, clip_id == row["clip_id"], *about, pictures.get(clip_id))

    own, clip_id = items.get(row["clip_id"]), row["clip_id"]
    is_cut = own is not None and own.end_ms - own.start_ms > LONGEST_SPEECH_MS and own.picture_at_ms is not None
    match = find(clip_id, f"{row['position']:,.0f}")
    best: Sequence[str] = row["best"].split()
    return Query(
        clip_id,
        match.title,
        match.place,
        float(row["position"]),
        sounds.get(clip_id),
        is_cut,
        match,
        [find(candidate, str(place)) for place, candidate in enumerate(best, start=1)],
    )
