"""Which items of the catalog a query finds, and in which order."""

import unicodedata
from collections.abc import Iterable
from typing import Any

Item = dict[str, Any]
"""One entry of catalog.json."""


def search_items(items: Iterable[Item], words: str) -> list[Item]:
    """Items that hold any of the words, best first.

    A word in the title counts 2, in the description 1; more views go first among equals, then the smaller id.
    """
    wanted = [fold(word) for word in words.split()]

    def score(item: Item) -> int:
        title, description = fold(item["title"]), fold(item["description"])
        return sum(2 * (word in title) + (word in description) for word in wanted)

    found = [item for item in items if score(item)]
    return sorted(found, key=lambda item: (-score(item), -item["view_count"], item["id"]))


def fold(text: str) -> str:
    """Text as search compares it: compatible forms and case made equal."""
    return unicodedata.normalize("NFKC", text).casefold()
