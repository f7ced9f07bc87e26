"""What a configuration asks for, and what that would cost before it runs: requests, hours and disk."""

import math
from collections.abc import Sequence

import pandas as pd
import pyarrow.compute as pc
from pydantic import Field

from datasets.counts import count_found, count_ok, count_rows
from datasets.filters import count_rules, judge_clips, read_figures
from datasets.queries import Query, load_queries
from datasets.settings import Settings
from datasets.tables import keep_ok, read_table
from extract.clip_lists import TABLE_SUFFIXES, read_list
from extract.folder import list_media
from extract.sources import allowed_hosts, is_allowed_url, read_ids_file, video_id_of
from flows.config import Config, ConfigError


class Yields(Settings):
    """Assumed yields, where no run has measured them yet; `status` shows the real ones afterwards."""

    results_per_request: int = Field(default=20, ge=1)
    """Search results on one page of the site."""
    new_share: float = Field(default=0.3, gt=0, le=1)
    """Share of search results that are videos not found by another query."""
    selected_share: float = Field(default=0.5, gt=0, le=1)
    """Share of found videos that pass selection and download."""
    clips_per_video: float = Field(default=8.0, gt=0)
    minutes_per_video: float = Field(default=8.0, gt=0)
    megabytes_per_minute: float = Field(default=6.0, gt=0)
    """480p H.264 with AAC, about 0.8 Mbit/s."""
    seconds_per_clip: float = Field(default=20.0, gt=0)
    kilobytes_per_second: float = Field(default=26.25, gt=0)
    """Features: 10 KB of 2D and 3D rows, 16 KB of log-mel."""


WHOLE_VIDEOS = Yields(clips_per_video=1, seconds_per_clip=8 * 60)
"""Where a clip is a whole video."""


def plan_queries(config: Config) -> list[Query]:
    """All queries, in the order to ask them.

    Raises:
        ValueError: the list or file is not named or cannot be read.
    """
    if config.source.name == "folder":
        if config.source.folder is None:
            raise ConfigError('source.folder is not set: with source.name = "folder", name a folder of media files')
        return [Query(name) for name in list_media(config.source.folder)][: config.search.max_queries]
    if config.source.name != "ids":
        return load_queries(config.search.queries)[: config.search.max_queries]
    if config.source.ids_file is None:
        raise ValueError('source.ids_file is not set: with source.name = "ids", name a file with one id a line')
    path = config.source.ids_file
    if path.suffix.lower() in TABLE_SUFFIXES or config.clips.given:
        found = read_list(path, video_column=config.source.column)
        if config.clips.given and found.video_ids and not found.clips:  # told before the hours of download
            raise ConfigError(f"{path} names videos but no times of clips ({found.layout}): leave out --clips given")
        addresses = list(found.video_ids)
    else:
        addresses = read_ids_file(path)
    if not addresses:
        raise ConfigError(f"source.ids_file: {path} names no video")
    hosts = allowed_hosts(config.source)
    for address in addresses:
        if video_id_of(address) is None and "://" in address and not is_allowed_url(address, hosts):
            told = f"{address[:80]!r} is of none of the hosts that are asked, {', '.join(hosts)}"
            raise ConfigError(f"source.ids_file: {path}: {told}: see source.allowed_hosts")
    return [Query(address) for address in addresses][: config.search.max_queries]


def count_listings(config: Config) -> int:
    """How many of the queries must be asked for to know their videos; an id of a file needs no asking."""
    if config.source.name == "folder":
        return 0
    if config.source.name != "ids":
        return len(plan_queries(config))
    return sum(video_id_of(query.query) is None and "://" in query.query for query in plan_queries(config))


def forecast_curation(config: Config) -> pd.DataFrame:
    """Requests, hours and disk from a configuration and assumed yields; touches nothing."""
    yields = WHOLE_VIDEOS if config.clips.whole_videos else Yields()
    queries, num_listed = plan_queries(config), count_listings(config)
    search_requests = num_listed * math.ceil(config.search.depth / yields.results_per_request)
    num_found = len(queries) - num_listed + int(num_listed * config.search.depth * yields.new_share)
    num_tried = min(num_found, config.run.max_videos or num_found)
    num_downloaded = math.ceil(num_tried * yields.selected_share)
    num_drawable = int(num_downloaded * yields.clips_per_video)
    num_asked = sum(config.splits.sizes.values())
    num_clips = min(num_asked, num_drawable) if config.splits.scale else num_asked
    feature_gigabytes = num_clips * yields.seconds_per_clip * yields.kilobytes_per_second / 1e6
    is_own = config.source.name == "folder"
    gigabytes = num_downloaded * yields.minutes_per_video * yields.megabytes_per_minute / 1000
    if is_own and not config.source.copy_files:
        gigabytes = 0.0
    rows = [
        ("queries", len(queries), str(config.source.folder or config.source.ids_file or config.search.queries)),
        ("search requests", search_requests, f"depth {config.search.depth}, {yields.results_per_request} a page"),
        ("videos found", num_found, f"{yields.new_share:.0%} of results are new (assumed)"),
        *count_permitted(config),
        ("videos tried", num_tried, "run.max_videos" if config.run.max_videos else "all that are found"),
        (
            "hours of asking",
            0 if is_own else (num_listed + num_tried) / config.pacer.max_videos_per_hour,
            "none: files of a folder" if is_own else f"{config.pacer.max_videos_per_hour} requests an hour at most",
        ),
        ("GB of media", gigabytes, f"{num_downloaded:,} videos of {yields.minutes_per_video:g} min (assumed)"),
        ("clips to draw from", num_drawable, f"{yields.clips_per_video:g} a video (assumed); {num_clips:,} are drawn"),
        ("GB of features", feature_gigabytes, f"{num_clips:,} clips of {yields.seconds_per_clip:g} s (assumed)"),
        *count_filtered(config),
    ]
    return _to_frame(rows)


def count_permitted(config: Config) -> list[tuple[str, float, str]]:
    """How many of the videos known so far have the permission that is asked for; nothing where it is not."""
    if config.permissions.mode == "off":
        return []
    answers = read_table(config.root, "permissions", ["status", "is_permitted"])
    num_known = keep_ok(answers).num_rows
    told = f"of {num_known:,} that were answered for, {answers.num_rows - num_known:,} not answered"
    return [("videos with permission", pc.sum(answers["is_permitted"]).as_py() or 0, told)]


def count_filtered(config: Config) -> list[tuple[str, float | None, str]]:
    """How many of the clips drawn so far each rule leaves out or weighs; nothing where there are no rules."""
    settings = config.filters
    if not settings.rules:
        return []
    try:
        figures = read_figures(config.root, settings)
    except ValueError as error:
        return [("clips that rules leave out", None, str(error))]
    rows: list[tuple[str, float | None, str]] = []
    for row in count_rules(settings, figures, judge_clips(settings, figures)):
        missing = f"; {row['without_figure']:,} without a figure, {settings.missing}" if row["without_figure"] else ""
        told = f"of {row['clips']:,}, {row['alone']:,} by it alone: {row['text']}{missing}"
        rows.append((f"clips that rule {row['rule']} {row['does']}", row["falls"], told))
    return rows


def forecast_rules(config: Config) -> pd.DataFrame:
    """`count_filtered` for people, before anything is trained."""
    return _to_frame(count_filtered(config))


def _to_frame(rows: Sequence[tuple[str, float | None, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["what", "amount", "from"]).astype({"amount": float})


def forecast_rest(config: Config) -> pd.DataFrame:
    """What a root still lacks of its plan and what that takes, by the yields that it has had itself.

    Returns:
        Columns what, amount, from; amounts that need a yield are absent while nothing is decided yet.
    """
    root, planned = config.root, plan_queries(config)
    num_searched, num_found = count_ok(root, "searches")["items"], count_found(root)
    num_decided = sum(int(row["items"] or 0) for row in count_rows(root, "videos"))
    media, num_clips = count_ok(root, "media"), count_ok(root, "clips")["items"]
    queries_left = max(len(planned) - num_searched, 0)
    to_find = int(queries_left * num_found / num_searched) if num_searched else 0
    videos_left = max(min(num_found + to_find, config.run.max_videos or num_found + to_find) - num_decided, 0)
    share = videos_left / num_decided if num_decided else None
    gigabytes = None if share is None else share * media["num_bytes"] / 1e9
    asked = sum(config.splits.sizes.values())
    rows = [
        ("queries left", queries_left, f"of {len(planned):,}"),
        ("videos left to decide", videos_left, f"{num_found:,} found, {num_decided:,} decided"),
        (
            "hours of asking left",
            (queries_left + videos_left) / config.pacer.max_videos_per_hour,
            "at the pacer's rate",
        ),
        ("GB of media to come", gigabytes, f"{media['items']:,} of {num_decided:,} decided videos were downloaded"),
        ("clips in the end", None if share is None else num_clips * (1 + share), f"{num_clips:,} now, {asked:,} asked"),
        *count_filtered(config),
    ]
    return _to_frame(rows)
