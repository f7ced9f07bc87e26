"""Spoken queries and what they found, to look at and listen to: one page without server or script."""

import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from PIL import Image

from datasets.files import join_path, write_bytes
from datasets.outcomes import MediaError
from datasets.places_audio import locate_pairs
from datasets.seeded_order import drawn_by
from datasets.settings import recipe_of
from datasets.tables import current_recipe, list_parts, read_ok
from datasets.wording import format_clock
from extract.media import encode_speech
from features.captioned_images import read_image
from features.frames.thumbnails import encode_thumbnail
from flows.config import GALLERY_FILE, Config
from flows.report.heading import read_heading
from flows.report.page import data_address, render_template
from flows.report.pictures import MADE_BY
from flows.report.query_groups import read_ranks
from flows.report.spoken_words import read_words
from model.ranks import RECALL_AT

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

    def chance(self, num_queries: int) -> float:
        """Share of random orders that put the match as high as the model did, or higher."""
        return min(self.position / num_queries, 1.0)


def build_gallery(config: Config) -> None:
    """Write ROOT/gallery.html of the current evaluation of split test; nothing is done if the page is of it already.

    Args:
        config: names the root, and where its media are.

    Raises:
        ValueError: the root has no evaluation.
    """
    path = join_path(config.root, GALLERY_FILE)
    if current_recipe(config.root, "ranks") is None:
        raise ValueError(f"{config.root} has no evaluation: run `python -m flows evaluate` first")
    recipe = shown_recipe(config.root)
    if read_gallery_recipe(path) != recipe:
        write_bytes(path, render_template("gallery.html.jinja", **read_gallery(config)).encode())


def shown_recipe(root: str) -> str:
    """Of the evaluation that a page is of, of the words on it where there are any, and of how its pictures are made."""
    return recipe_of(current_recipe(root, "ranks"), current_recipe(root, "transcripts"), MADE_BY)


def read_gallery_recipe(path: str) -> str | None:
    """What a page says that it is of (`shown_recipe`); None where there is none."""
    try:
        with fsspec.open(path, "rb") as file:
            found = re.search(rb'<meta name="evaluation" content="([0-9a-f]+)">', file.read(_BEGINNING))
    except FileNotFoundError:
        return None
    return found[1].decode() if found else None


def read_gallery(config: Config) -> dict[str, Any]:
    """Everything the page's template is filled with."""
    ranks = read_ranks(config.root)
    parts = choose_queries(dict(zip(ranks["clip_id"], ranks["position"], strict=True)), NUM_QUERIES)
    by_id = {row["clip_id"]: row for _, row in ranks.iterrows()}
    shown = [by_id[clip_id] for chosen in parts.values() for clip_id in chosen]
    wanted = {clip_id for row in shown for clip_id in (row["clip_id"], *row["best"].split())}
    items = {clip_id: item for clip_id, item in read_items(config) if clip_id in wanted}
    with ThreadPoolExecutor(config.run.num_workers) as pool:
        pictures = dict(zip(items, pool.map(make_picture, items.values()), strict=True))
        spoken = {row["clip_id"]: items[row["clip_id"]] for row in shown if row["clip_id"] in items}
        sounds = dict(zip(spoken, pool.map(make_sound, spoken.values()), strict=True))
    return {
        "heading": read_heading(config),
        "recipe": shown_recipe(config.root),
        "words": read_words(config.root, [row["clip_id"] for row in shown]),
        "parts": {
            name: [_make_query(by_id[clip_id], items, pictures, sounds) for clip_id in chosen]
            for name, chosen in parts.items()
        },
        "num_queries": len(ranks),
        "recalls": {k: float(ranks[f"hit_at_{k}"].mean()) for k in RECALL_AT},
        "longest_speech_s": LONGEST_SPEECH_MS // 1000,
    }


def choose_queries(positions: dict[str, float], num_shown: int) -> dict[str, list[str]]:
    """At most `num_shown` queries, none twice: half of them drawn by nobody, a fifth the best, the rest the hardest.

    Args:
        positions: clip_id to where its match stands; 1 is the best.
        num_shown: at most so many of all parts together.

    Returns:
        "drawn", in the order of a hash of their ids; "best", best first; "hardest", hardest first. Each without those
        of the parts before it.
    """
    num_shown = min(num_shown, len(positions))
    drawn = sorted(positions, key=drawn_by)[: -(-num_shown // 2)]
    rest = sorted(positions.keys() - set(drawn), key=lambda clip_id: (positions[clip_id], clip_id))
    best = rest[: num_shown // 5]
    hardest = rest[len(best) :][::-1][: num_shown - len(drawn) - len(best)]
    return {"drawn": drawn, "best": best, "hardest": hardest}


def read_items(config: Config) -> Iterator[tuple[str, Item]]:
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


def make_picture(item: Item) -> str | None:
    """JPEG as a data: address; None where it cannot be had."""
    try:
        if item.picture is None:
            return None
        if item.picture_at_ms is not None:
            return data_address("image/jpeg", encode_thumbnail(item.picture, item.picture_at_ms))
        file = io.BytesIO()
        Image.fromarray(read_image(item.picture)).save(file, "JPEG", quality=70)
        return data_address("image/jpeg", file.getvalue())
    except MediaError:
        return None


def make_sound(item: Item) -> str | None:
    """MP3 of at most `LONGEST_SPEECH_MS` as a data: address; None where it cannot be had."""
    end_ms = min(item.end_ms, item.start_ms + LONGEST_SPEECH_MS)
    try:
        if item.sound is None:
            return None
        return data_address("audio/mpeg", encode_speech(item.sound, item.start_ms, end_ms, item.audio_track))
    except MediaError:
        return None


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
