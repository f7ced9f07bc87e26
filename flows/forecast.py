"""What a configuration would cost before it runs: requests, hours and disk."""

import math

import pandas as pd
from pydantic import Field

from datasets.queries import load_queries
from datasets.settings import Settings
from flows.config import Config


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
    kilobytes_per_clip: float = Field(default=525.0, gt=0)
    """Features of a 20 s clip: 205 KB of 2D and 3D rows, 320 KB of log-mel."""


def forecast_curation(config: Config, yields: Yields | None = None) -> pd.DataFrame:
    """Requests, hours and disk from a configuration and assumed yields; touches nothing."""
    yields = yields or Yields()
    num_queries = len(load_queries(config.search.queries)[: config.search.max_queries])
    search_requests = num_queries * math.ceil(config.search.depth / yields.results_per_request)
    num_found = int(num_queries * config.search.depth * yields.new_share)
    num_clips = sum(config.splits.sizes.values())
    num_tried = min(num_found, config.run.max_videos or num_found)
    num_downloaded = math.ceil(num_tried * yields.selected_share)
    num_drawable = int(num_downloaded * yields.clips_per_video)
    gigabytes = num_downloaded * yields.minutes_per_video * yields.megabytes_per_minute / 1000
    rows = [
        ("queries", num_queries, config.search.queries),
        ("search requests", search_requests, f"depth {config.search.depth}, {yields.results_per_request} a page"),
        ("videos found", num_found, f"{yields.new_share:.0%} of results are new (assumed)"),
        ("videos tried", num_tried, "run.max_videos" if config.run.max_videos else "all that are found"),
        (
            "hours of asking",
            (num_queries + num_tried) / config.pacer.max_videos_per_hour,
            f"{config.pacer.max_videos_per_hour} requests an hour at most",
        ),
        ("GB of media", gigabytes, f"{num_downloaded:,} videos of {yields.minutes_per_video:g} min (assumed)"),
        ("clips to draw from", num_drawable, f"{yields.clips_per_video:g} a video (assumed); {num_clips:,} are drawn"),
        ("GB of features", num_clips * yields.kilobytes_per_clip / 1e6, f"{num_clips:,} clips of 20 s (assumed)"),
    ]
    return pd.DataFrame(rows, columns=["what", "amount", "from"]).astype({"amount": float})
