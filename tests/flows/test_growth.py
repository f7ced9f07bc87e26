"""A channel found bit by bit: what was drawn stays where it was drawn."""

import json

from datasets.splits.certificate import verify_certificate
from datasets.splits.pins import read_assignment
from flows.config import Config


def write_titles(channel, path):
    """The narrated videos' titles as queries, each of which finds its video first."""
    catalog = json.loads((channel / "catalog.json").read_text(encoding="utf-8"))
    titles = [item["title"] for item in catalog["items"] if item["kind"] == "narrated"]
    path.write_text("\n".join(titles), encoding="utf-8")


def test_growing_the_channel_with_its_own_splits_pinned_moves_no_clip(tmp_path, channel, small_config, prefect_server):
    from flows.stages.curate import curate

    write_titles(channel, tmp_path / "queries.txt")
    root, drawn = tmp_path / "root", {}
    asked = {"train": 1000, "val": 300, "test": 300, "scale": True, "group_by_duplicates": True}
    for max_queries in (3, None):
        config = small_config.model_dump()
        config["root"] = str(root)
        config["search"] = {"queries": str(tmp_path / "queries.txt"), "max_queries": max_queries, "depth": 1}
        config["splits"] |= asked | {"pinned_from": str(root)}
        curate(Config.model_validate(config))
        grown = {row["clip_id"]: row["split"] for row in read_assignment(root).to_pylist()}
        assert verify_certificate(root) == []
        assert drawn.items() <= grown.items() and len(grown) > len(drawn)
        drawn = grown
