"""A video's permission as a row: the platform's answer for it, else what its host says to all."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from datasets.ids import check_video_id
from datasets.outcomes import OK, RowError, failed
from extract.permission.credentials import FROM_FILE
from extract.permission.settings import PermissionSettings, trainability_address
from extract.permission.signals import HostSignals, Signal, parse_groups, parse_tdmrep
from extract.permission.web import Answer, Web
from extract.sources import SourceSettings, watch_url

Row = dict[str, Any]
MAX_ANSWER_BYTES = 64 << 10
MAX_PARTIES = 1000
MAX_NAME_CHARS = 200


def read_host(source: SourceSettings, web: Web) -> HostSignals:
    """What the host of a source's watch pages says to all of data mining; what it does not serve says nothing.

    Raises:
        TransientError: the host gave no answer, or refused one.
    """
    parts = urlsplit(source.watch_url)

    def read(path: str) -> str:
        answer = web.get(f"{parts.scheme}://{parts.netloc}{path}")
        return answer.text if answer.status == 200 else ""

    return HostSignals(
        parse_tdmrep(read("/.well-known/tdmrep.json")), parse_groups(read("/robots.txt")), parse_groups(read("/ai.txt"))
    )


def read_key(path: Path | None) -> dict[str, str]:
    """The header that carries an API key; none without a file. The key stands in no address, no table and no message.

    Raises:
        ValueError: the file cannot be read, or holds no key.
    """
    if path is None:
        return {}
    try:
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"permissions.key_file: cannot read {path}: {type(error).__name__}") from error
    if not key.isprintable() or not key or " " in key:
        raise ValueError(f"permissions.key_file: {path} must hold one key on one line")
    return {"X-Goog-Api-Key": key}


def ask_permission(
    video_id: str,
    source: SourceSettings,
    settings: PermissionSettings,
    host: HostSignals,
    web: Web,
    key: Mapping[str, str],
    earlier: Row | None = None,
) -> Row:
    """Ask for one video.

    Args:
        video_id: the video.
        source: where it lies.
        settings: who is asked, and under which names we may be permitted.
        host: what its host says to all.
        web: the connections.
        key: of `read_key`.
        earlier: the row of the last answer: asked again, the platform may say that it still holds; and what the file
            itself was found to say goes on to hold (`reserved_by_file`).

    Returns:
        Row of `permissions` without the common columns but the outcome's, and without the licence.

    Raises:
        TransientError: network, rate_limited.
        ValueError: `video_id` is none.
    """
    parts = urlsplit(watch_url(video_id, source))
    signals = host.at(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    was_permitted = bool(earlier and (earlier["was_permitted"] or earlier["is_permitted"]))
    row: Row = {"video_id": video_id, "permitted": None, "etag": None, "was_permitted": was_permitted}
    by_file = reserved_by_file(earlier)
    row |= {"signals": [*map(str, signals), *by_file], "asked_at": datetime.now(UTC)}
    address = trainability_address(settings, source)
    if address is not None:
        asked = address.replace("{video_id}", check_video_id(video_id))
        known = earlier if earlier and earlier["etag"] and earlier["permitted"] is not None else None
        headers = {**key, **({"If-None-Match": known["etag"]} if known else {})}
        answer = web.get(asked, headers, MAX_ANSWER_BYTES)
        try:
            row |= _read_answer(video_id, answer, known)
        except RowError as error:
            return {**row, **failed(error.reason, error.detail)}
    may_train = not by_file and is_permitted(row["permitted"], signals, settings.parties)
    return {**row, "is_permitted": may_train, **OK}


def reserve(video_id: str, signals: list[Signal], known: Row | None) -> Row:
    """The row of a video whose own file reserves it; `known` is the last answer of others."""
    before = dict.fromkeys(("permitted", "license", "etag", "signals", "was_permitted", "is_permitted")) | (known or {})
    own = [str(signal) for signal in signals]
    return {
        "video_id": video_id,
        **{name: before[name] for name in ("permitted", "license", "etag")},
        "signals": [*(signal for signal in before["signals"] or () if signal not in own), *own],
        "is_permitted": False,
        "was_permitted": bool(before["was_permitted"] or before["is_permitted"]),
        "asked_at": datetime.now(UTC),
        **OK,
    }


def reserved_by_file(row: Row | None) -> list[str]:
    """The signals of a row of `permissions` that the video's own file gave, when it had been fetched."""
    return [signal for signal in (row and row["signals"]) or () if signal.startswith(FROM_FILE)]


def is_permitted(permitted: Collection[str] | None, signals: list[Signal], parties: Collection[str]) -> bool:
    """Whether we may train: by the answer for the video where there is one, else by what its host says to all.

    Nothing said permits nothing, and one reservation outweighs any number of other signals.
    """
    if permitted is not None:
        return "none" not in permitted and not set(permitted).isdisjoint({"all", *parties})
    return bool(signals) and not any(signal.is_reserved for signal in signals)


def _read_answer(video_id: str, answer: Answer, known: Row | None) -> Row:
    """`permitted` and `etag` of an answer about a video, which may be anybody's; raises RowError for what is none."""
    if answer.status == 304 and known is not None:
        return {"permitted": known["permitted"], "etag": known["etag"]}
    if answer.status != 200:
        raise RowError("unavailable", f"HTTP {answer.status}")
    try:
        told: Any = json.loads(answer.text)
    except (ValueError, RecursionError) as error:
        raise RowError("bad_answer", "the answer is no JSON") from error
    if not isinstance(told, dict) or told.get("videoId") != video_id:
        raise RowError("bad_answer", "the answer is about another video")
    parties = told.get("permitted", [])
    if not isinstance(parties, list) or len(parties) > MAX_PARTIES or not all(map(_is_name, parties)):
        raise RowError("bad_answer", "`permitted` is no list of names")
    etag: Any = answer.etag or told.get("etag")
    return {"permitted": parties, "etag": etag if _is_name(etag) and etag.isascii() else None}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME_CHARS and value.isprintable()
