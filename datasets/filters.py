"""Rules over figures: which clips a training leaves out, or sees less often.

A rule is one line, `TABLE.COLUMN COMPARISON NUMBER`, that the clips to keep fulfil: `qualities.still_share <= 0.5`.
With `else WEIGHT` behind it, a clip that does not is not left out but drawn so much less often.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from datasets.numbers import read_number
from datasets.outcomes import OK, dropped
from datasets.schemas import TABLES
from datasets.settings import Settings, recipe_of
from datasets.splits.certificate import rows_digest
from datasets.splits.drawn import read_drawn
from datasets.suggestions import did_you_mean
from datasets.tables import read_ok
from datasets.wide import widen

MOST_RULES = 50
_LONGEST_RULE = 200
_LARGEST = 1e18
_RULE = re.compile(r"([a-z0-9_]+)\.([a-z0-9_]+) *(<=|>=|==|!=|<|>) *([-+.0-9eE]+)(?: +else +([-+.0-9eE]+))?")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KEYS = ("clip_id",), ("video_id",)
_FILLED_BY = {"qualities": "describe", "agreements": "agree"}
"""Commands that fill tables which are off by default."""
COMPARISONS: Mapping[str, Callable[..., Any]] = {
    "<=": pc.less_equal,
    ">=": pc.greater_equal,
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    ">": pc.greater,
}


def list_figures() -> dict[str, tuple[str, str]]:
    """{"TABLE.COLUMN": (table, column)} of everything that a rule may name: numbers of a clip, or of its video."""
    return {
        f"{name}.{column.name}": (name, column.name)
        for name, spec in TABLES.items()
        for column in spec.columns
        if spec.key in _KEYS and _is_number(column.type)
    }


def _is_number(of: pa.DataType) -> bool:
    return bool(pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_boolean(of))


@dataclass(frozen=True)
class Rule:
    """What a clip must fulfil."""

    name: str
    table: str
    column: str
    comparison: str
    value: float
    weight: float | None = None
    """How often a clip that does not is drawn, beside 1 of one that does; None: it is left out."""

    @property
    def text(self) -> str:
        """As it is written in a configuration."""
        rest = "" if self.weight is None else f" else {self.weight:.15g}"
        return f"{self.table}.{self.column} {self.comparison} {self.value:.15g}{rest}"


def read_rule(name: str, text: str) -> Rule:
    """One line of a configuration.

    Raises:
        ValueError: no rule, a figure that no table has, a number out of bounds; names what was written.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a rule's name has small letters, digits and _, at most 40, got {name[:80]!r}")
    found = _RULE.fullmatch(text.strip()) if len(text) <= _LONGEST_RULE else None
    if found is None:
        raise ValueError(f"{name}: must be like 'qualities.still_share <= 0.5', got {text[:_LONGEST_RULE]!r}")
    table, column, comparison, value, weight = found.groups()
    known = list_figures()
    if (figure := f"{table}.{column}") not in known:
        meant = did_you_mean(figure, known) or f"; such are {', '.join(sorted(known)[:3])}; docs/quality.md has more"
        raise ValueError(f"{name}: no table has a number {figure!r}{meant}")
    try:
        number = float(read_number(value, -_LARGEST, _LARGEST))
        share = None if weight is None else float(read_number(weight, 0.001, 1))
    except ValueError as error:
        raise ValueError(f"{name}: a number of {text!r} {error}") from None
    return Rule(name, table, column, comparison, number, share)


class FilterSettings(Settings):
    """Rules over what tables say of a clip. None by default: then no table, digest or recipe is another."""

    rules: Mapping[str, str] = Field(default_factory=dict, max_length=MOST_RULES)
    """What a clip must fulfil to be trained on, a line a rule, by names of your own: `still = "qualities.still_share <=
    0.5"`. With `else 0.2` behind it a clip that does not is drawn a fifth as often, and not left out."""
    missing: Literal["keep", "drop"] = "keep"
    """A clip without the figure: keep takes it for one that fulfils the rule, and tells how many; drop for one that
    does not."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    """Where rules that leave out apply. A filtered test split is another test: its figures stand apart."""

    @field_validator("rules")
    @classmethod
    def _check_rules(cls, rules: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in rules.items():
            read_rule(name, text)
        return rules

    @property
    def parsed(self) -> tuple[Rule, ...]:
        """The rules, in the order they are written in."""
        return tuple(read_rule(name, text) for name, text in self.rules.items())

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that the rules read."""
        return tuple(dict.fromkeys(rule.table for rule in self.parsed))

    @property
    def written(self) -> tuple[Any, ...]:
        """All of it that a result depends on, as JSON can hold it; spaces in a rule do not count."""
        return {rule.name: rule.text for rule in self.parsed}, self.missing, sorted(self.splits)

    def without(self, *names: str) -> "FilterSettings":
        """The same without rules of these names."""
        return self.model_copy(update={"rules": {n: text for n, text in self.rules.items() if n not in names}})


@dataclass(frozen=True)
class Figures:
    """What the rules judge the drawn clips by."""

    clips: pa.Table
    """clip_id, video_id, split, sorted by clip_id; only splits that rules apply to."""
    values: dict[str, pa.Array]
    """By rule, float64 [num clips], null where there is no figure."""
    recipe: str
    """Of the rules, the clips and their figures: equal ones have equal outcomes, wherever they were read."""


def read_figures(root: str | Path, settings: FilterSettings) -> Figures:
    """The drawn clips of a root with the figures that rules name.

    Raises:
        ValueError: a table that a rule names has no rows.
    """
    drawn = read_drawn(root)
    clips = widen(drawn.filter(pc.is_in(drawn["split"], pa.array(settings.splits)))).sort_by("clip_id")
    values: dict[str, pa.Array] = {}
    for rule in settings.parsed:
        key = TABLES[rule.table].key[0]
        table = widen(read_ok(root, rule.table, [key, rule.column]))
        if not table.num_rows:
            command = _FILLED_BY.get(rule.table)
            mend = f"run `python -m flows {command}` first" if command else "nothing has filled it"
            raise ValueError(f"filters.rules.{rule.name}: the table {rule.table} of {root} is empty: {mend}")
        rows = pc.index_in(clips[key], table[key].combine_chunks())
        values[rule.name] = table[rule.column].cast(pa.float64()).take(rows).combine_chunks()
    texts = {name: pc.fill_null(column.cast(pa.string()), "") for name, column in values.items()}
    judged = pa.table({"clip_id": clips["clip_id"], "split": clips["split"], **texts})
    return Figures(clips, values, recipe_of("filtered", *settings.written, rows_digest(judged)))


def judge_clips(settings: FilterSettings, figures: Figures) -> pa.Table:
    """A row for each clip and rule that it does not fulfil: table filtered, without common columns.

    Rules that only weigh say nothing of val and test, where nothing is drawn.
    """
    rows = []
    for rule in settings.parsed:
        values = figures.values[rule.name]
        fulfils = pc.fill_null(COMPARISONS[rule.comparison](values, rule.value), settings.missing == "keep")
        falls = pc.invert(fulfils)
        if rule.weight is not None:
            falls = pc.and_(falls, pc.equal(figures.clips["split"], "train").combine_chunks())
        fallen = figures.clips.filter(falls).to_pylist()
        for clip, value in zip(fallen, values.filter(falls).to_pylist(), strict=True):
            reason = "figure_missing" if value is None else "rule_not_fulfilled"
            outcome = dropped(reason, rule.text) if rule.weight is None else {**OK, "detail": rule.text}
            rows.append({**clip, "rule": rule.name, "value": value, "weight": rule.weight or 0.0, **outcome})
    spec = TABLES["filtered"]
    names = [*(column.name for column in spec.columns), "status", "reason", "detail"]
    return pa.Table.from_pylist(rows, schema=pa.schema([spec.schema.field(name) for name in names]))


def weigh(clip_ids: list[str], judged: pa.Table) -> npt.NDArray[np.float64]:
    """[N] how often each clip is drawn: the product of its rules' weights, 0 for one that is left out, else 1."""
    weights = dict.fromkeys(clip_ids, 1.0)
    for clip_id, weight in zip(judged["clip_id"].to_pylist(), judged["weight"].to_pylist(), strict=True):
        if clip_id in weights:
            weights[clip_id] *= weight
    return np.array(list(weights.values()), np.float64)


def count_rules(settings: FilterSettings, figures: Figures, judged: pa.Table) -> list[dict[str, Any]]:
    """A row a rule: its text, clips without a figure, clips that it drops or weighs, and those that no other does."""
    fallen = judged.group_by("clip_id").aggregate([([], "count_all")])
    lonely = fallen.filter(pc.equal(fallen["count_all"], 1))["clip_id"].combine_chunks()
    rows = []
    for rule in settings.parsed:
        own = judged.filter(pc.equal(judged["rule"], rule.name))
        rows.append({
            "rule": rule.name,
            "text": rule.text,
            "does": "leaves out" if rule.weight is None else "weighs",
            "clips": figures.clips.num_rows,
            "without_figure": figures.values[rule.name].null_count,
            "falls": own.num_rows,
            "alone": pc.sum(pc.is_in(own["clip_id"], lonely)).as_py() or 0,
        })  # fmt: skip
    return rows
