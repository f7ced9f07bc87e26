"""A real Prefect server for the flows, one small root that the whole pipeline has run over, and a browser."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flows.commands.demo import SITE_VARIABLE, point_at, render_channel, serve_channel
from flows.config import Config, load_config
from tests.kills import SMALL
from tests.watch import Seen, watch

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's test harness: a temporary server and database, not the developer's."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered channel of four narrated videos."""
    folder = tmp_path_factory.mktemp("world") / "channel"
    render_channel(folder, None, num_videos=4)
    return folder


@pytest.fixture(scope="session")
def site(channel: Path) -> Iterator[str]:
    """Address of the channel's web site."""
    with serve_channel(channel) as address:
        yield address


@pytest.fixture(scope="session")
def small_config(site: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The demo's configuration at the size of a test."""
    root = tmp_path_factory.mktemp("roots") / "small"
    return point_at(load_config(CONFIGS / "demo.toml", str(root), SMALL), site)


@pytest.fixture(autouse=True)
def search_where_the_channel_is(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's search extractor reads an environment variable, which another test's demo may have left elsewhere."""
    if "small_config" in request.fixturenames:
        monkeypatch.setenv(SITE_VARIABLE, request.getfixturevalue("site"))


@pytest.fixture(scope="session")
def small_words(small_config: Config) -> list[str]:
    """What makes the demo's configuration the small one, as words of the command line."""
    return [f"--set={value}" for value in (*SMALL, f"source.watch_url={small_config.source.watch_url}")]


@pytest.fixture(scope="session")
def watched_pipeline(small_config: Config, prefect_server: None) -> Seen:
    """What the whole pipeline did to the world outside while it ran over the small root."""
    from flows.stages.pipeline import pipeline

    address = small_config.source.watch_url.removesuffix("/watch?v={video_id}")
    with watch() as seen, pytest.MonkeyPatch.context() as patch:
        patch.setenv(SITE_VARIABLE, address)
        pipeline(small_config)
    return seen


@pytest.fixture(scope="session")
def small_root(small_config: Config, watched_pipeline: Seen) -> str:
    """A root that the whole pipeline has run over."""
    return small_config.root


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless Chromium of this machine. Of one test alone: while it is there, asyncio runs in this thread."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs a Chromium, a program of the system: make setup-debian")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
