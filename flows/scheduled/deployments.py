"""The deployments: which flow runs under which name, when. prefect.yaml holds the same for a work pool."""

import asyncio
import os
import signal
from datetime import timedelta
from typing import Any, cast

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from datasets.wheels import CHECKOUT
from flows.config import Config, ConfigError, When
from flows.machinery.doctor import require
from flows.machinery.prepare import EXTRACTORS_VARIABLE
from flows.machinery.server import START_A_SERVER
from flows.scheduled.daily import curate_daily, pipeline_with_pages, publish_when_enough
from flows.scheduled.housekeeping import housekeeping
from flows.stages.availability import check_availability
from flows.stages.regenerate import regenerate

DEPLOYMENTS: dict[str, Flow[..., Any]] = {
    "curate-daily": curate_daily,
    "regenerate": regenerate,
    "publish": publish_when_enough,
    "pipeline": pipeline_with_pages,
    "refresh-availability": check_availability,
    "housekeeping": housekeeping,
}
"""Name of a deployment, with underscores also its field of `ScheduleSettings`, to its flow."""

# Of two runs of a deployment the later one is cancelled; of two deployments of a root it is skipped by the root's lock.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


def serve_deployments(config: Config) -> None:
    """Register the deployments of a root with Prefect, and run them in processes of this machine until interrupted.

    Raises:
        ConfigError: no Prefect server is named, or it does not answer.
    """
    if not os.environ.get("PREFECT_API_URL"):
        mend = f"start one by `{START_A_SERVER} --host 127.0.0.1`, and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        raise ConfigError(f"serve needs a Prefect server, and PREFECT_API_URL is not set: {mend}")
    require("housekeeping", config)
    # What a run may import is said here, by the configuration's file, and not by the parameters of the run.
    os.environ[EXTRACTORS_VARIABLE] = ",".join(config.source.extractors)
    # Runs are processes of their own, which must find our `datasets` before any other.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    runner = Runner(pause_on_shutdown=True)
    for deployment in list_deployments(config):
        runner.add_deployment(deployment)
    print(f"serving {', '.join(DEPLOYMENTS)} of {config.root}; Ctrl-C ends it", flush=True)
    asyncio.run(_run_until_told(runner))


async def _run_until_told(runner: Runner) -> None:
    """Run what is due until SIGTERM or Ctrl-C; then end what runs, mark it, and pause the schedules.

    Prefect's own handler exits in the midst of its loop, which leaves schedules on and runs unmarked.
    """
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    serving, waiting = asyncio.create_task(runner.start()), asyncio.create_task(told.wait())
    await asyncio.sleep(0)  # it takes SIGTERM as it starts, and we after it
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    if told.is_set() and not serving.done():
        await runner.astop()
    waiting.cancel()
    await serving


def list_deployments(config: Config) -> list[RunnerDeployment]:
    """Every deployment of a root, by module path: a path entrypoint would put flows/ first among the imports."""
    config = keep_splits(config)
    timezone, made = config.schedules.timezone, []
    for name, flow in DEPLOYMENTS.items():
        when: When = getattr(config.schedules, name.replace("-", "_"))
        schedules: list[CronSchedule | IntervalSchedule] = []
        if isinstance(when, int):
            schedules = [IntervalSchedule(interval=timedelta(seconds=when), timezone=timezone)]
        elif when:
            schedules = [CronSchedule(cron=when, timezone=timezone)]
        parameters: dict[str, Any] = {"config": config.model_dump(mode="json")}
        if name == "regenerate":
            root = config.schedules.regenerate_root or f"{config.root.rstrip('/')}_regenerated"
            parameters = {"config": config.model_copy(update={"root": root}).model_dump(mode="json")}
            parameters["lists"] = list(config.schedules.regenerate_from)
        deployment = flow.to_deployment(
            name,
            schedules=schedules,
            parameters=parameters,
            concurrency_limit=ONE_AT_A_TIME,
            tags=[config.root],
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        made.append(deployment)
    # Coroutines only inside of an event loop.
    return cast(list[RunnerDeployment], made)


def keep_splits(config: Config) -> Config:
    """The configuration of a root that grows: a clip stays in the split it was drawn into, unless told otherwise."""
    splits = config.splits.model_copy(update={"pinned_from": config.splits.pinned_from or config.root})
    return config.model_copy(update={"splits": splits})
