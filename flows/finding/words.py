"""Clips by their words: BM25 over words, and over pairs of characters where a script writes without spaces."""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

# Kana, ideographs and their marks, Thai, Lao, Khmer, Burmese.
_WITHOUT_SPACES = (
    (0x3005, 0x3007), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F),
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF),
)  # fmt: skip
_K1, _B = 1.2, 0.75
"""BM25's usual constants."""


def split_words(text: str, is_query: bool = False) -> Iterator[str]:
    """The terms of a text: words in small letters; of a run of characters without spaces its pairs.

    Args:
        text: any, normalised here (NFKC, small letters) as search.js does.
        is_query: a text that is searched also gives each single character of such runs, a query only a run of one.
    """
    for kind, run in groupby(unicodedata.normalize("NFKC", text).lower(), _kind):
        characters = list(run)
        if kind == "word":
            yield "".join(characters)
        elif kind == "run":
            if len(characters) == 1 or not is_query:
                yield from characters
            yield from map("".join, pairwise(characters))


def _kind(character: str) -> str | None:
    if any(first <= ord(character) <= last for first, last in _WITHOUT_SPACES):
        return "run"
    return "word" if unicodedata.category(character)[0] in "LNM" else None  # marks: vowels of Devanagari


class WordIndex:
    """Texts to be searched by words (Robertson and Zaragoza, 2009: BM25)."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(split_words(text)) for text in texts]
        lengths = np.array([count.total() for count in counts], np.float64)
        self.num_texts = len(texts)
        self._norms = _K1 * (1 - _B + _B * lengths / max(lengths.mean() if len(texts) else 0.0, 1.0))
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, count in enumerate(counts):
            for term, times in count.items():
                self._postings[term].append((number, times))

    def score(self, query: str) -> NDArray[np.float64]:
        """[num_texts] how well each text matches; 0 where it has no term of the query."""
        scores = np.zeros(self.num_texts)
        for term in dict.fromkeys(split_words(query, is_query=True)):  # in order: sums are then the same each time
            found = self._postings.get(term, [])
            rarity = math.log(1 + (self.num_texts - len(found) + 0.5) / (len(found) + 0.5))
            for number, times in found:
                scores[number] += rarity * times * (_K1 + 1) / (times + self._norms[number])
        return scores
