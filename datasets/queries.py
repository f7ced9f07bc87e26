"""Query lists: what to search for, each query with its facets, so that yield per facet can be reported.

A list is a plain text file, a TSV, or a grammar: names, and parts crossed with what is made of them, each with the
phrases that people use. Facets are the list's own columns. `datasets/queries/README.md` documents the grammar and the
sources of the words.
"""

import csv
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, ValidationError

from datasets.schemas import TABLES
from datasets.seeded_order import drawn_by
from datasets.settings import Settings
from datasets.suggestions import did_you_mean
from datasets.tables import read_table

GRAMMARS = Path(__file__).parent / "queries"
YIELDS = ("queries", "videos found", "videos selected", "videos downloaded", "clips")
"""What the queries of a facet's value brought, counted: the columns beside the facet's own."""
_NO_FACETS = frozenset({*TABLES["searches"].schema.names, *YIELDS})


@dataclass(frozen=True)
class Query:
    """One query and what it is about: the list's own columns, those that apply to it."""

    query: str
    facets: Mapping[str, str] = field(default_factory=dict, hash=False)


class Grammar(Settings):
    """One language's words and how queries are made of them."""

    language: str
    """ISO 639-1 code of the language of the queries."""

    names: str
    """TSV beside the grammar: its first column names something, every other one is a facet of it and may be empty."""

    parts: str
    """TSV beside the grammar: its first column names a part, `kind` its kind; others say where the word is from."""

    made_by: str
    """The facet whose values are the keys of `kinds`."""

    name_phrases: list[str] = Field(min_length=1)
    """Query templates for what `names` names, with a slot called like its first column."""

    made_phrases: list[str] = Field(min_length=1)
    """Query templates for what is made of a part, with the same slot."""

    kinds: dict[str, dict[str, str]]
    """For each kind of part, value of `made_by` to a name's template, with a slot called like the first column of
    `parts`."""


def shipped_grammars() -> list[str]:
    """Names that `load_queries` takes without a path."""
    return sorted(path.stem for path in GRAMMARS.glob("*.toml"))


def load_queries(path_or_name: str | Path) -> list[Query]:
    """Queries of a file or of a shipped grammar, in the order to search them, no query twice.

    Args:
        path_or_name: a plain text file (one query a line, `#` starts a comment line), a TSV with a header (query, and
            facets of any name), a grammar of one's own (.toml), or a name of `shipped_grammars()`.

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
        _, rows = _read_rows(path, ("query",), key="query")
        queries = [Query(row["query"], _facets_of(path, row, leave_out=("query",))) for row in rows]
    else:
        lines = (line.strip() for line in _read_text(path).splitlines())
        queries = [Query(line) for line in lines if line and not line.startswith("#")]
    if not queries:
        raise ValueError(f"queries: {path} holds no query")
    return _without_repeats(queries)


def shipped_words() -> list[str]:
    """Names and parts of the shipped grammars, longest first."""
    words: set[str] = set()
    for name in shipped_grammars():
        grammar = _read_grammar(GRAMMARS / f"{name}.toml")
        for table in (grammar.names, grammar.parts):
            key, rows = _read_rows(GRAMMARS / table)
            words |= {row[key] for row in rows}
    return sorted(words, key=lambda word: (-len(word), word))


def find_word(title: str, words: Sequence[str]) -> str | None:
    """The first of `words` that a title holds; words of Latin letters as whole words."""
    folded = title.casefold()
    found = (word for word in words if re.search(rf"(?<![a-z]){re.escape(word.casefold())}(?![a-z])", folded))
    return next(found, None)


def expand_grammar(path: Path) -> list[Query]:
    """All queries of a grammar; round by round over what is named, so that every prefix is varied.

    The order is the same on any machine: names go by their hash, which mixes kinds and ways of making, and in each
    round neighbours get different phrases.
    """
    grammar = _read_grammar(path)
    names, parts = path.parent / grammar.names, path.parent / grammar.parts
    slot, rows = _read_rows(names)
    _check_slots(path, slot, {"name_phrases": grammar.name_phrases, "made_phrases": grammar.made_phrases})
    named = _without_repeats(Query(row[slot], _facets_of(names, row)) for row in rows)
    # Every part with everything that is made of its kind.
    made = []
    part, rows = _read_rows(parts, ("kind",))
    _check_slots(path, part, {f"kinds.{kind}": made_of.values() for kind, made_of in grammar.kinds.items()})
    for row in rows:
        if row["kind"] not in grammar.kinds:
            raise ValueError(f"queries: {parts}: kind of {row[part]} must be one of {list(grammar.kinds)}")
        for made_by, template in grammar.kinds[row["kind"]].items():
            name = template.replace(f"{{{part}}}", row[part])
            made.append(Query(name, _facets_of(path, {slot: name, grammar.made_by: made_by})))
    # What is listed by name keeps its facets and all of its phrases.
    known = {query.query for query in named}
    items = [(query, grammar.name_phrases) for query in named]
    items += [(query, grammar.made_phrases) for query in _without_repeats(made) if query.query not in known]
    items.sort(key=lambda item: drawn_by(item[0].query))
    num_rounds = max(len(grammar.name_phrases), len(grammar.made_phrases))
    return _without_repeats(
        replace(query, query=phrases[(turn + place) % len(phrases)].replace(f"{{{slot}}}", query.query))
        for turn in range(num_rounds)
        for place, (query, phrases) in enumerate(items)
        if turn < len(phrases)
    )


def list_facets(root: str | Path) -> list[str]:
    """The facets that the queries of a root may have, in their list's order."""
    own = TABLES["searches"].schema.names
    return [name for name in read_table(root, "searches").column_names if name not in own]


def _facets_of(path: Path, row: Mapping[str, str], leave_out: Sequence[str] = ()) -> dict[str, str]:
    """What a row says beside its query; a column without a name says nothing."""
    taken = sorted({*row} & _NO_FACETS - {*leave_out})
    if taken:
        raise ValueError(f"queries: {path}: a facet cannot be called {taken[0]!r}, a column of ours: rename it")
    return {name: value for name, value in row.items() if name and value and name not in leave_out}


def _check_slots(path: Path, slot: str, templates: Mapping[str, Iterable[str]]) -> None:
    for field_, texts in templates.items():
        for text in texts:
            if text.count(f"{{{slot}}}") != 1:
                raise ValueError(f"queries: {path}: {field_} needs the slot {{{slot}}} once, got {text!r}")


def _read_grammar(path: Path) -> Grammar:
    try:
        return Grammar.model_validate(tomllib.loads(_read_text(path)))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"queries: {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"queries: {path}: {field}: {first['msg'].removeprefix('Value error, ')}") from None


def _read_rows(path: Path, required: Sequence[str] = (), key: str | None = None) -> tuple[str, list[dict[str, str]]]:
    """(`key`, or the first column's name; rows of a TSV, none of which has an empty key); lines with # are left out."""
    lines = [line for line in _read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [name for name in required if name not in (reader.fieldnames or [])]
    if missing:
        raise ValueError(f"queries: {path} needs a header with {', '.join(required)}, missing {', '.join(missing)}")
    rows, key = [], key or (reader.fieldnames or [""])[0]
    for row in reader:
        if None in row or not (row[key] or "").strip():
            raise ValueError(f"queries: {path}: bad row {list(row.values())}")
        rows.append({name: (value or "").strip() for name, value in row.items()})
    return key, rows


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
