"""What a host says to all of data mining and training: tdmrep.json, ai.txt, the AI lines of robots.txt. Pure.

Sources: W3C TDM Reservation Protocol (w3.org/community/reports/tdmrep), Spawning's ai.txt, RFC 9309, Cloudflare's
Content-Signal, IETF AIPREF's Content-Usage. What cannot be read says nothing, as the protocols ask.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

AI_AGENTS = (
    "ai2bot",
    "amazonbot",
    "anthropic-ai",
    "applebot-extended",
    "bytespider",
    "ccbot",
    "claudebot",
    "cohere-training-data-crawler",
    "diffbot",
    "google-extended",
    "gptbot",
    "meta-externalagent",
)
"""Names by which robots.txt speaks to those who collect for training."""
_TRAINING = {"content-signal": ("ai-train=no", "ai-train=yes"), "content-usage": ("train-ai=n", "train-ai=y")}
"""Rules of robots.txt about training itself: what reserves it, and what allows it."""
_RULES = frozenset({"allow", "disallow", *_TRAINING})
MAX_LINES = 20_000
_ANY_VIDEO = "/video.mp4"
"""ai.txt speaks of kinds of files."""


@dataclass(frozen=True)
class Signal:
    """One thing that a host says of training on what lies at a path."""

    where: str
    is_reserved: bool
    """True: not without asking. False: said to be allowed."""
    told: str

    def __str__(self) -> str:
        return f"{self.where}: {'reserved' if self.is_reserved else 'allowed'} ({self.told[:80]})"


@dataclass(frozen=True)
class Group:
    """Lines of robots.txt or ai.txt for some agents."""

    agents: frozenset[str]
    rules: tuple[tuple[str, str], ...]
    """(field in lower case, value)."""


@dataclass(frozen=True)
class HostSignals:
    """Everything a host says, parsed once for all its videos."""

    tdmrep: tuple[tuple[str, bool], ...] = ()
    """(pattern of paths, reserved?)"""
    robots: tuple[Group, ...] = ()
    ai_txt: tuple[Group, ...] = ()

    def at(self, path: str) -> list[Signal]:
        """The signals for what lies at a path with its query."""
        return [*_read_tdmrep(self.tdmrep, path), *_read_robots(self.robots, path), *_read_ai_txt(self.ai_txt, path)]


def parse_tdmrep(text: str) -> tuple[tuple[str, bool], ...]:
    """Rules of /.well-known/tdmrep.json; those of another form are left out."""
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    rules = [rule for rule in told if isinstance(rule, dict)] if isinstance(told, list) else []
    found = ((rule.get("location"), rule.get("tdm-reservation")) for rule in rules[:MAX_LINES])
    return tuple((place, mark == 1) for place, mark in found if isinstance(place, str) and mark in (0, 1))


def parse_groups(text: str) -> tuple[Group, ...]:
    """Groups of robots.txt, or of ai.txt, which looks the same: RFC 9309, 2.2.1. Other records end no group: 2.2.4."""
    groups: list[Group] = []
    agents: list[str] = []
    rules: list[tuple[str, str]] = []
    for line in text.splitlines()[:MAX_LINES]:
        name, separator, value = line.partition("#")[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if not separator:
            continue
        if name == "user-agent":
            if rules:
                groups.append(Group(frozenset(agents), tuple(rules)))
                agents, rules = [], []
            agents.append(value.lower())
        elif agents and name in _RULES:
            rules.append((name, value))
    return (*groups, Group(frozenset(agents), tuple(rules)))


def matches(pattern: str, path: str) -> bool:
    """Whether a path begins as a pattern says: `*` is anything, `$` at its end the path's end. No regular expression:
    the pattern is a stranger's.
    """
    is_whole = pattern.endswith("$")
    first, *pieces = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not pieces:
        return path == first if is_whole else True
    place = len(first)
    for piece in pieces[:-1] if is_whole else pieces:
        place = path.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return not is_whole or (path.endswith(pieces[-1]) and len(path) - len(pieces[-1]) >= place)


def _strongest(rules: list[tuple[str, bool]], path: str) -> tuple[str, bool] | None:
    """The longest pattern that matches, a reservation before its equal."""
    found = [(pattern, is_reserved) for pattern, is_reserved in rules if pattern and matches(pattern, path)]
    return max(found, key=lambda rule: (len(rule[0]), rule[1]), default=None)


def _access(groups: list[Group]) -> list[tuple[str, bool]]:
    """Allow and Disallow of groups, as (pattern, reserved?)."""
    rules = [rule for group in groups for rule in group.rules]
    return [(value, name == "disallow") for name, value in rules if name in ("allow", "disallow")]


def _read_tdmrep(rules: tuple[tuple[str, bool], ...], path: str) -> Iterator[Signal]:
    strongest = _strongest(list(rules), path)
    if strongest is not None:
        yield Signal("tdmrep.json", strongest[1], strongest[0])


def _read_ai_txt(groups: tuple[Group, ...], path: str) -> Iterator[Signal]:
    rules = _access([group for group in groups if "*" in group.agents])
    found = [rule for rule in (_strongest(rules, path), _strongest(rules, _ANY_VIDEO)) if rule is not None]
    if found:
        pattern, is_reserved = max(found, key=lambda rule: rule[1])
        yield Signal("ai.txt", is_reserved, pattern)


def _read_robots(groups: tuple[Group, ...], path: str) -> Iterator[Signal]:
    """A refusal of a collector for training, and what is said of training itself.

    A collector that may come in is another's: that allows us nothing.
    """
    for agent in AI_AGENTS:
        strongest = _strongest(_access([group for group in groups if agent in group.agents]), path)
        if strongest is not None and strongest[1]:
            yield Signal("robots.txt", True, f"{agent}: {strongest[0]}")
    for group in groups:
        if group.agents & {"*", *AI_AGENTS}:
            for name in _TRAINING:
                yield from _read_training(group, name, path)


def _read_training(group: Group, name: str, path: str) -> list[Signal]:
    """What a group's rules of one name say of training; a pattern of paths may stand first, and the longest counts."""
    no, yes = _TRAINING[name]
    found: dict[int, list[Signal]] = defaultdict(list)
    for value in [value for rule, value in group.rules if rule == name]:
        pattern, told = value.split(maxsplit=1) if re.match(r"[/*]\S*\s", value) else ("/", value)
        said = {word.replace(" ", "").lower() for word in told.replace(";", ",").split(",")}
        if (no in said or yes in said) and matches(pattern, path):
            found[len(pattern)].append(Signal("robots.txt", no in said, f"{name}: {value}"))
    return found[max(found, default=0)]
