"""How a command runs its flow: with a Prefect server where there is work, and without one where there is none."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from flows.config import Config
from flows.machinery.server import is_beside, server_address

if TYPE_CHECKING:
    from prefect import Flow

T = TypeVar("T")


def run_flow(
    start_server: Callable[[], None] | None,
    flow: "Flow[..., T]",
    work: Callable[..., T],
    config: Config,
    *args: Any,
    retry: tuple[str, ...] | None = None,
) -> T:
    """Do what a flow does, and return what it returns.

    Where a server is configured, its pages show every run. Elsewhere one is started once a look has found something to
    do; what has nothing to do says so. Of the processes of torchrun the first is the flow, the others work beside it.

    Args:
        start_server: of `reserve_server`, which was called before Prefect was loaded.
        flow: its name is that of the doctor's list, too.
        work: of a run and `args`: what the flow does while it holds the root.
        config: the whole configuration.
        args: further arguments of the flow.
        retry: reasons whose rows are done again; None for a flow that takes none.
    """
    # Loaded here: `--version` and an error in the configuration need none of it.
    from flows.machinery.doctor import require
    from flows.machinery.run import Run, WorkLeftError, look

    if is_beside():
        return work(Run(config, "beside-the-flow"), *args)
    if start_server is not None:
        try:
            result = look(work, config, *args, retry=retry or ())
        except WorkLeftError:
            start_server()
        except (ValueError, OSError):
            require(flow.name, config, is_served=False)  # what the machine lacks is told best by the doctor
            raise
        else:
            logging.getLogger("curation").info("nothing is left to do in %s", config.root)
            return result
    require(flow.name, config)
    from httpx import HTTPError  # of Prefect's client, which is loaded by now

    try:
        return flow(config, *args, **({} if retry is None else {"retry": retry}))
    except (HTTPError, RuntimeError) as error:
        cause = error if isinstance(error, HTTPError) else error.__cause__
        asked = getattr(cause, "_request", None)
        if asked is None or not str(asked.url).startswith(server_address() or "-"):
            raise
        told = f"Prefect's server at {server_address()} no longer answers: {cause}"
        raise OSError(f"{told}; the same command goes on where this one stopped") from error
