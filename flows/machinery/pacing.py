"""The pace that every request to a site keeps, and what people are told of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from extract.site.pacer import Pacer
from flows.machinery.progress import logger
from flows.machinery.run import Run


@contextmanager
def open_pacer(run: Run) -> Iterator[Pacer]:
    """The pace that every request of this run keeps; what was spent is written even when the run is interrupted."""
    is_asked = run.config.source.name != "folder"  # files of one's own are read as fast as they come
    settings = run.config.pacer.model_copy(update={"enabled": run.config.pacer.enabled and is_asked})
    pacer = Pacer(run.root, run.config.source.name, settings, run.run_id)
    try:
        yield pacer
    finally:
        pacer.save()


def tell_forecast(pacer: Pacer, what: str, num_left: int) -> None:
    """Say when so many more will be done, and whether the site asked us to stop before."""
    done = f"{pacer.finish_time(num_left):%F %H:%M} UTC"
    if pacer.open_until is not None:
        logger.warning("%s: %d %s left, done about %s", pacer.why_closed, num_left, what, done)
    elif num_left and pacer.is_enabled:
        logger.info("%d %s left, done about %s or sooner", num_left, what, done)
