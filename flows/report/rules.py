"""What each rule of `[filters]` leaves out, to look at and listen to, and where rules overlap: a page of its own."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from datasets.files import join_path, write_bytes
from datasets.seeded_order import drawn_by
from datasets.tables import read_run, read_table
from flows.config import RULES_FILE, Config
from flows.report.gallery import Item, make_picture, make_sound, read_items
from flows.report.page import render_template

NUM_EXAMPLES = 10
MOST_EXAMPLES = 80
"""Of all rules together: with a picture and at most 20 s of speech each, the page stays under 8 MB."""


@dataclass(frozen=True)
class Example:
    """One clip that a rule leaves out or weighs."""

    clip_id: str
    value: float | None
    title: str
    place: str
    picture: str | None
    """A data: address; None where the picture is not to be had."""
    sound: str | None


def build_rules_page(config: Config) -> None:
    """Write ROOT/rules.html of the rules that the last training went by, where a rule has been applied."""
    run = read_run(config.root, "filtered")
    if run is not None:
        page = render_template("rules.html.jinja", **read_rules_page(config, run["rules"]))
        write_bytes(join_path(config.root, RULES_FILE), page.encode())


def read_rules_page(config: Config, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything the page's template is filled with.

    Args:
        config: names the root, and where its media are.
        rules: of `datasets.filters.count_rules`.
    """
    rows = read_table(config.root, "filtered", ["clip_id", "rule", "value"]).to_pylist()
    fallen: dict[str, dict[str, float | None]] = {rule["rule"]: {} for rule in rules}
    for row in rows:
        fallen[row["rule"]][row["clip_id"]] = row["value"]
    number = min(NUM_EXAMPLES, max(1, MOST_EXAMPLES // len(rules)))
    chosen = {name: sorted(own, key=drawn_by)[:number] for name, own in fallen.items()}
    wanted = {clip_id for clip_ids in chosen.values() for clip_id in clip_ids}
    items = {clip_id: item for clip_id, item in read_items(config) if clip_id in wanted}
    with ThreadPoolExecutor(config.run.num_workers) as pool:
        pictures = dict(zip(items, pool.map(make_picture, items.values()), strict=True))
        sounds = dict(zip(items, pool.map(make_sound, items.values()), strict=True))

    def show(clip_id: str, value: float | None) -> Example:
        item: Item | None = items.get(clip_id)
        about = (item.title, item.place) if item else (clip_id, "")
        return Example(clip_id, value, *about, pictures.get(clip_id), sounds.get(clip_id))

    return {
        "rules": rules,
        "examples": {name: [show(c, fallen[name][c]) for c in clip_ids] for name, clip_ids in chosen.items()},
        "overlap": count_overlap({name: set(own) for name, own in fallen.items()}),
        "num_fallen": len({row["clip_id"] for row in rows}),
    }


def count_overlap(fallen: dict[str, set[str]]) -> dict[str, dict[str, int]]:
    """{rule: {rule: clips that both leave out}}; on the diagonal all that one does."""
    return {one: {other: len(own & others) for other, others in fallen.items()} for one, own in fallen.items()}
