"""A channel whose videos are a few bytes: enough for the site and the extractor."""

import json
import random
from pathlib import Path

import pytest

from demo.catalog import EXTRAS, describe_extra
from demo.plan import make_id
from demo.site import open_site, running


def make_item(number, **changes):
    item = {
        "id": make_id(3, str(number)),
        "kind": "narrated",
        "title": f"人参の料理 {number}",
        "description": "作り方 <b>&</b>",
        "duration_ms": 61_500,
        "view_count": 1000 + number,
        "channel": "小さな台所",
        "channel_id": "UCsmall-kitchen-demo-001",
        "upload_date": "20250102",
        "license": None,
        "language": "ja",
        "availability": "public",
    }
    return item | {"file": f"videos/{item['id']}.mp4"} | changes


@pytest.fixture(scope="session")
def bytes_of_video():
    return random.Random(5).randbytes(300_000)


@pytest.fixture(scope="session")
def small_channel(tmp_path_factory, bytes_of_video) -> Path:
    folder = tmp_path_factory.mktemp("site")
    items = [make_item(number) for number in range(23)]
    items.append(make_item(100, title="</script><script>alert('x')</script>レモン", id="-" + make_id(3, "dash")[1:]))
    pages = {extra.name: extra for extra in EXTRAS if not extra.duration_ms}
    items += [describe_extra(extra, make_id(3, name), 0) for name, extra in pages.items()]
    (folder / "videos").mkdir()
    for item in items:
        if item["file"]:
            (folder / item["file"]).write_bytes(bytes_of_video)
    (folder / "catalog.json").write_text(json.dumps({"seed": 3, "items": items}))
    return folder


@pytest.fixture(scope="session")
def site(small_channel):
    with running(open_site(small_channel)) as server:
        yield server
