"""Whether owners allow training on the found videos: asked before anything is fetched, and again later."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from time import sleep
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from datasets.outcomes import Status, TransientError, dropped
from datasets.schemas import TABLES
from datasets.settings import recipe_of
from datasets.tables import keep_ok, read_table
from datasets.tombstones import is_tombstoned, read_tombstones
from extract.media_store import media_path, remove_media
from extract.permission.asking import ask_permission, read_host, read_key, reserve, reserved_by_file
from extract.permission.credentials import can_read, read_reservations
from extract.permission.signals import HostSignals
from extract.permission.web import Web
from extract.selection import preselect
from extract.site.pacer import Pacer
from flows.config import Config, ConfigError
from flows.machinery.batches import TASK_OPTIONS, attempt_of, cut_batches, run_batches, settle_row
from flows.machinery.progress import logger
from flows.machinery.run import Run

Row = dict[str, Any]
_TIME = TABLES["permissions"].schema.field("asked_at").type
_COLUMNS = [
    "video_id",
    "status",
    "permitted",
    "signals",
    "etag",
    "is_permitted",
    "was_permitted",
    "asked_at",
    "attempt",
]


def permission_recipe(config: Config) -> str:
    """What an answer depends on: whom it was asked of, and under which names we may be permitted."""
    return recipe_of(config.source, config.permissions)


def ask_permissions(run: Run) -> None:
    """Ask for every found video whose answer is missing or old: table permissions. Nothing where the mode is off.

    Raises:
        ConfigError: media of one's own, which have no owner to ask.
    """
    config, mode = run.config, run.config.permissions.mode
    if mode == "off":
        return
    if config.source.name == "folder":
        raise ConfigError(
            f'permissions.mode = "{mode}" asks owners, and source.name = "folder" is your own: set it to off'
        )
    if not can_read():
        logger.warning("what media files say of training themselves is not read: make setup-credentials")
    recipe = permission_recipe(config)
    key = read_key(config.permissions.key_file)
    earlier = {row["video_id"]: row for row in read_table(run.root, "permissions", _COLUMNS, recipe).to_pylist()}
    todo = _left_to_ask(run, earlier)
    pacer = Pacer(run.root, f"permissions of {config.source.name}", config.pacer, run.run_id)
    web = Web(config.permissions.timeout_s, pacer)
    try:
        if todo.num_rows:
            run.begin()
            host = read_host(config.source, web)
            batches = cut_batches(todo, config.run.videos_per_batch)
            asking = (recipe, earlier, host, web, key, pacer)
            run_batches(ask_batch, batches, run, *asking, description="ask for permission")
    except TransientError as error:
        logger.warning("permission is asked for by the next run: %s", error)
    finally:
        web.close()
    run.record("permissions", recipe)


def _left_to_ask(run: Run, earlier: Mapping[str, Row]) -> pa.Table:
    """Found videos that no rule over search results drops and that were not taken down: video_id, attempt."""
    oldest = _oldest(run.config)
    found = read_table(run.root, "discoveries", ["video_id", "duration_ms", "view_count"]).to_pylist()
    tombstones, rows = read_tombstones(run.root), []
    for video in {row["video_id"]: row for row in found}.values():
        known = earlier.get(video["video_id"])
        if known is not None and known["status"] == Status.OK and known["asked_at"] >= oldest:
            continue
        if is_tombstoned(tombstones, "video", video["video_id"]) or preselect(video, run.config.selection):
            continue
        rows.append({"video_id": video["video_id"], "attempt": known["attempt"] + 1 if known else 0})
    return pa.Table.from_pylist(rows, schema=pa.schema([("video_id", pa.string()), ("attempt", pa.int32())]))


@task(name="ask for permission", **TASK_OPTIONS)
def ask_batch(
    batch: pa.Table,
    run: Run,
    recipe: str,
    earlier: Mapping[str, Row],
    host: HostSignals,
    web: Web,
    key: dict[str, str],
    pacer: Pacer,
) -> None:
    """Ask for a batch of videos; none has a row while the breaker is open."""
    config = run.config
    licenses = dict(zip(*read_table(run.root, "videos", ["video_id", "license"]).to_pydict().values(), strict=True))

    def ask_row(video_id: str) -> Row | None:
        if pacer.open_until is not None:
            return None
        sleep(config.permissions.pause_s)
        known = earlier.get(video_id)
        ask = partial(ask_permission, video_id, config.source, config.permissions, host, web, key, known)
        row = settle_row(ask, lambda outcome: {"video_id": video_id, **outcome}, config.run)
        if row["reason"] == "rate_limited":
            return None
        was_permitted = bool(known and (known["was_permitted"] or known["is_permitted"]))
        kept = {"signals": reserved_by_file(known), "was_permitted": was_permitted}
        return {**kept, **row, "license": licenses.get(video_id)}

    with ThreadPoolExecutor(config.download.num_threads) as threads:
        rows = list(threads.map(ask_row, batch["video_id"].to_pylist()))
    run.write("permissions", filter(None, rows), recipe, attempt_of(batch))


def heed_files(run: Run, fetched: list[tuple[Row | None, Row | None]]) -> list[tuple[Row | None, Row | None]]:
    """What fetched files reserve themselves goes before every other word: it is kept in `permissions`, and where a
    permission is required, file and media row go and the video has none.

    Args:
        run: of which configuration and root.
        fetched: rows of `videos` and `media`, before they are written.
    """
    config = run.config
    ids = [media["video_id"] for _, media in fetched if media is not None and media["status"] == Status.OK]
    told = {video_id: read_reservations(media_path(config.media_root, video_id)) for video_id in ids}
    reserved = {video_id: signals for video_id, signals in told.items() if signals}
    if not reserved:
        return fetched
    if config.permissions.mode == "require":
        for video_id in reserved:
            remove_media(config.media_root, video_id)
        none = dropped("no_permission", "its file reserves training or mining: table permissions")
        fetched = [
            ({**video, **none}, None) if video and video["video_id"] in reserved else (video, media)
            for video, media in fetched
        ]
    recipe = permission_recipe(config)
    answers = read_table(run.root, "permissions", [*_COLUMNS, "license"], recipe).to_pylist()
    known = {row["video_id"]: row for row in answers if row["video_id"] in reserved}
    rows = [reserve(video_id, signals, known.get(video_id)) for video_id, signals in reserved.items()]
    run.write("permissions", rows, recipe, 1 + max((row["attempt"] for row in known.values()), default=-1))
    return fetched


def read_permitted(config: Config) -> dict[str, bool]:
    """Every video that was answered for, and whether we may train on it. Where the mode is `require`, an answer that is
    too old is none.
    """
    columns = ["video_id", "is_permitted", "status", "asked_at"]
    answers = keep_ok(read_table(config.root, "permissions", columns, permission_recipe(config)))
    if config.permissions.mode == "require":
        answers = answers.filter(pc.greater_equal(answers["asked_at"], pa.scalar(_oldest(config), _TIME)))
    return dict(zip(answers["video_id"].to_pylist(), answers["is_permitted"].to_pylist(), strict=True))


def _oldest(config: Config) -> datetime:
    """When an answer that still counts was given at the earliest."""
    return datetime.now(UTC) - timedelta(days=config.permissions.ask_again_after_days)
