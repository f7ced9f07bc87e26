"""How every flow begins and ends: has this machine what it needs, may it run now, and what is shown of it."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.config import Config
from flows.machinery.artifacts import show_root
from flows.machinery.doctor import require
from flows.machinery.locks import RootBusyError, check_root_is_free
from flows.status import read_funnel

EXTRACTORS_VARIABLE = "CURATION_EXTRACTORS"
"""Extractor classes that runs of deployments may import, separated by commas; `serve` sets it for its own."""
F = TypeVar("F", bound=Callable[..., Any])


class NothingToDoError(Exception):
    """A scheduled run has nothing to do; the message says why. Its run is skipped, not failed."""


def prepared(command: str) -> Callable[[F], F]:
    """Below `@flow`: ask the doctor before the work, and leave artifacts about the root after it.

    A run of a deployment that cannot work now ends in the state Skipped, whose message says why: another run holds the
    root, it was missed by more than `schedules.max_late_s`, or there is nothing to do. Elsewhere these are errors.

    Args:
        command: what `flows.machinery.doctor` is to look at.
    """

    def wrap(function: F) -> F:
        @wraps(function)
        def begin(config: Config, *args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                if _is_deployed():
                    # No code that no configuration file of this machine names: whoever reaches Prefect sets a run's
                    # parameters.
                    allowed = os.environ.get(EXTRACTORS_VARIABLE, "").split(",")
                    if strange := [name for name in config.source.extractors if name not in allowed]:
                        told = f"names {strange[0]}, which is code, and not allowed"
                        mend = (
                            f"serve a configuration that has it, or set {EXTRACTORS_VARIABLE} where the worker starts"
                        )
                        raise ValueError(f"source.extractors of a deployment {told}: {mend}")
                    late_s = (datetime.now(UTC) - flow_run.get_scheduled_start_time()).total_seconds()
                    if late_s > config.schedules.max_late_s:
                        late = f"missed by {late_s / 60:.0f} min, more than schedules.max_late_s"
                        raise NothingToDoError(f"{late} = {config.schedules.max_late_s}; the next run does its work")
                    check_root_is_free(config.root, config.run.part)
                require(command, config)
                result = function(config, *args, **kwargs)
                if _is_deployed():
                    counts = read_funnel(config.root).set_index("stage")["items"]
                    has = f"{counts['videos downloaded']:,} videos and {counts['clips']:,} clips"
                    _tell(f"went well in {time.monotonic() - began:,.0f} s; {config.root} has {has}")
                return result
            except (RootBusyError, NothingToDoError) as error:
                if not _is_deployed():
                    raise
                _tell(f"skipped: {error}")
                raise _skip(str(error)) from None
            finally:
                if flow_run.get_id() and not flow_run.get_parent_flow_run_id():
                    show_root(config)

        return cast(F, begin)

    return wrap


def _tell(outcome: str) -> None:
    """One line in the log of `serve`, where Prefect itself only tells of what went wrong."""
    print(f"{datetime.now():%H:%M:%S} {flow_run.get_flow_name()}: {outcome}", flush=True)


def _skip(why: str) -> Abort:
    """Prefect's signal to end this run as Skipped: of a state that a flow returns its engine logs a traceback."""
    state: Any = Cancelled(name="Skipped", message=f"skipped: {why}")
    if run_id := flow_run.get_id():
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(run_id), state, force=True)
    signal = Abort(state.message)
    signal.__dict__["state"] = state  # read by Prefect's engine, which no longer asks its server then
    return signal


def _is_deployed() -> bool:
    """True in a run that a deployment started; not in the flows that it calls."""
    context = FlowRunContext.get()  # prefect.runtime.deployment asks the server each time in a run that has none
    has_one = context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None
    return has_one and not flow_run.get_parent_flow_run_id()
