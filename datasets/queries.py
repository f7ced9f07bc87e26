"""Query lists: what to search for, each query with its facets, so that yield per facet can be reported.

A list is a plain text file, a TSV, or a grammar: dishes, and ingredients crossed with techniques, each with the phrases
that people use. `datasets/queries/README.md` documents the grammar and the sources of the words.
"""

import csv
import hashlib
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from datasets.settings import Settings
from datasets.suggestions import did_you_mean

Facet = Literal["dish", "technique", "region"]
GRAMMARS = Path(__file__).parent / "queries"


@dataclass(frozen=True)
class Query:
    """One query and what it is about; a facet that does not apply is None."""

    query: str
    dish: str | None = None
    technique: str | None = None
    region: str | None = None


class Grammar(Settings):
    """One language's words and how queries are made of them."""

    language: str
    """ISO 639-1 code of the language of the queries."""

    dishes: str
    """TSV beside the grammar: dish, region, technique (the last two may be empty)."""

    ingredients: str
    """TSV beside the grammar: ingredient, kind, source."""

    dish_phrases: list[str] = Field(min_length=1)
    """Query templates with the slot {dish}, for the dishes of the list."""

    ingredient_phrases: list[str] = Field(min_length=1)
    """Query templates with the slot {dish}, for dishes made of an ingredient and a technique."""

    kinds: dict[str, dict[str, str]]
    """For each kind of ingredient, technique to dish template with the slot {ingredient}."""

    @field_validator("dish_phrases", "ingredient_phrases")
    @classmethod
    def _has_dish_slot(cls, phrases: list[str]) -> list[str]:
        for phrase in phrases:
            if phrase.count("{dish}") != 1:
                raise ValueError(f"a phrase needs the slot {{dish}} once, got {phrase!r}")
        return phrases

    @field_validator("kinds")
    @classmethod
    def _has_ingredient_slot(cls, kinds: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for kind, dishes in kinds.items():
            for technique, dish in dishes.items():
                if dish.count("{ingredient}") != 1:
                    raise ValueError(f"{kind}.{technique} needs the slot {{ingredient}} once, got {dish!r}")
        return kinds


def shipped_grammars() -> list[str]:
    """Names that `load_queries` takes without a path."""
    return sorted(path.stem for path in GRAMMARS.glob("*.toml"))


def load_queries(path_or_name: str | Path) -> list[Query]:
    """Queries of a file or of a shipped grammar, in the order to search them, no query twice.

    Args:
        path_or_name: a plain text file (one query a line, `#` starts a comment line), a TSV with a header (query and
            any of dish, technique, region), a grammar of one's own (.toml), or a name of `shipped_grammars()`.

    Raises:
        ValueError: no such file or name, or the line or field that is wrong.
    """
    if str(path_or_name) in shipped_grammars():
        return expand_grammar(GRAMMARS / f"{path_or_name}.toml")
    path = Path(path_or_name)
    if not path.is_file():
        known = ", ".join(shipped_grammars())
        meant = did_you_mean(str(path_or_name), shipped_grammars())
        raise ValueError(f"queries: no file and no shipped list {str(path_or_name)!r}; shipped are {known}{meant}")
    if path.suffix == ".toml":
        return expand_grammar(path)
    if path.suffix == ".tsv":
        queries = [
            Query(row["query"], row.get("dish") or None, row.get("technique") or None, row.get("region") or None)
            for row in _read_rows(path, ("query",))
        ]
    else:
        lines = (line.strip() for line in _read_text(path).splitlines())
        queries = [Query(line) for line in lines if line and not line.startswith("#")]
    if not queries:
        raise ValueError(f"queries: {path} holds no query")
    return _without_repeats(queries)


def food_words() -> list[str]:
    """Dishes and ingredients of the shipped grammars, longest first."""
    words: set[str] = set()
    for name in shipped_grammars():
        grammar = _read_grammar(GRAMMARS / f"{name}.toml")
        words |= {row["dish"] for row in _read_rows(GRAMMARS / grammar.dishes, ("dish",))}
        words |= {row["ingredient"] for row in _read_rows(GRAMMARS / grammar.ingredients, ("ingredient",))}
    return sorted(words, key=lambda word: (-len(word), word))


def find_food(title: str, words: Sequence[str]) -> str | None:
    """The first of `words` that a title holds; words of Latin letters as whole words."""
    folded = title.casefold()
    found = (word for word in words if re.search(rf"(?<![a-z]){re.escape(word.casefold())}(?![a-z])", folded))
    return next(found, None)


def expand_grammar(path: Path) -> list[Query]:
    """All queries of a grammar; round by round over its dishes, so that every prefix is varied.

    The order is the same on any machine: dishes go by the hash of their name, which mixes kinds and techniques, and
    in each round neighbouring dishes get different phrases.
    """
    grammar = _read_grammar(path)
    rows = _read_rows(path.parent / grammar.dishes, ("dish", "region", "technique"))
    named = _without_repeats(
        Query(row["dish"], row["dish"], row["technique"] or None, row["region"] or None) for row in rows
    )
    # Every ingredient with every technique of its kind.
    made, ingredients = [], path.parent / grammar.ingredients
    for row in _read_rows(ingredients, ("ingredient", "kind")):
        if row["kind"] not in grammar.kinds:
            raise ValueError(
                f"queries: {ingredients}: kind of {row['ingredient']} must be one of {list(grammar.kinds)}"
            )
        for technique, template in grammar.kinds[row["kind"]].items():
            dish = template.format(ingredient=row["ingredient"])
            made.append(Query(dish, dish, technique))
    # A dish that is listed by name keeps its region and all of its phrases.
    known = {query.query for query in named}
    items = [(query, grammar.dish_phrases) for query in named]
    items += [(query, grammar.ingredient_phrases) for query in _without_repeats(made) if query.query not in known]
    items.sort(key=lambda item: hashlib.sha256(item[0].query.encode()).digest())
    num_rounds = max(len(grammar.dish_phrases), len(grammar.ingredient_phrases))
    return _without_repeats(
        replace(query, query=phrases[(turn + place) % len(phrases)].format(dish=query.query))
        for turn in range(num_rounds)
        for place, (query, phrases) in enumerate(items)
        if turn < len(phrases)
    )


def _read_grammar(path: Path) -> Grammar:
    try:
        return Grammar.model_validate(tomllib.loads(_read_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"queries: {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"queries: {path}: {field}: {first['msg'].removeprefix('Value error, ')}") from None


def _read_rows(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a TSV; lines that start with # are left out, the first column is never empty."""
    lines = [line for line in _read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [name for name in required if name not in (reader.fieldnames or [])]
    if missing:
        raise ValueError(f"queries: {path} needs a header with {', '.join(required)}, missing {', '.join(missing)}")
    rows = []
    for row in reader:
        if None in row or not (row[required[0]] or "").strip():
            raise ValueError(f"queries: {path}: bad row {list(row.values())}")
        rows.append({name: (value or "").strip() for name, value in row.items()})
    return rows


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"queries: cannot read {path} as UTF-8 text: {error}") from None


def _without_repeats(queries: Iterable[Query]) -> list[Query]:
    first: dict[str, Query] = {}
    for query in queries:
        first.setdefault(query.query, query)
    return list(first.values())
