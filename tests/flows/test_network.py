"""Whom a run talks to."""

from urllib.parse import urlsplit

from prefect.settings import PREFECT_API_URL

from flows.config import Config
from tests.watch import Seen


def test_a_whole_run_connects_to_its_site_and_to_prefect_and_to_nobody_else(
    small_config: Config, watched_pipeline: Seen
) -> None:
    site, prefect = urlsplit(small_config.source.watch_url), urlsplit(PREFECT_API_URL.value())
    assert {port for _, port in watched_pipeline.connections} == {site.port, prefect.port}
    assert {host for host, _ in watched_pipeline.connections} | set(watched_pipeline.names) <= {
        "127.0.0.1",
        "localhost",
        "::1",
        site.hostname,
    }
