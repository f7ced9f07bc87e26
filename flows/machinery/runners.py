"""Where the batches of a stage run: in threads of this process, or on a Ray cluster by prefect-ray.

Only stages that compute go to the cluster. Searching and downloading stay in this process whatever the configuration
says: one pacer, with its breaker, can keep a site's pace only while it sees every request.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from datasets.wheels import CHECKOUT
from flows.config import Config

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.tasks import Task

Submit = Callable[..., "PrefectFuture[Any]"]
"""Called with a task and its arguments."""


def stages_on_ray(config: Config) -> dict[str, dict[str, float]]:
    """What Ray sets aside for a batch of each stage that runs there; empty when the work stays on this machine."""
    if config.run.runner == "local":
        return {}
    run = config.run
    # Of features without a number: as many as decode, and one that feeds the network.
    featurize_cpus = run.featurize_cpus or (config.features.decode_processes or 0) + 1
    return {
        "segment": {"num_cpus": run.segment_cpus, "num_gpus": _gpus(run.segment_gpus, config.speech.device)},
        "featurize": {"num_cpus": featurize_cpus, "num_gpus": _gpus(run.featurize_gpus, config.features.device)},
    }


def _gpus(asked: float | None, device: str) -> float:
    return asked if asked is not None else float(device.startswith("cuda"))


@contextmanager
def open_runner(stage: str, config: Config) -> Iterator[Submit]:
    """A function that submits tasks of a stage, and waits for none; the connection to a cluster ends with the block.

    Raises:
        OSError: the cluster cannot be reached, or gives up on a batch that ended its workers again and again.
    """
    resources = stages_on_ray(config).get(stage)
    if resources is None:
        yield lambda task, *args: task.submit(*args)
        return
    # Ray takes seconds to import, and only a run on a cluster needs it.
    from prefect.settings import PREFECT_API_URL
    from prefect.utilities.callables import get_call_parameters
    from prefect_ray import RayTaskRunner
    from prefect_ray.context import remote_options
    from ray.exceptions import RayError

    # Workers import this checkout, from the same path, and speak to the same Prefect server. Credentials are not passed
    # on, since Ray shows such variables on its pages: nodes have their own.
    variables = {"PYTHONPATH": str(CHECKOUT), "PREFECT_API_URL": PREFECT_API_URL.value() or ""}
    own = {"log_to_driver": False, "logging_level": logging.WARNING, "runtime_env": {"env_vars": variables}}
    try:
        with RayTaskRunner(config.run.ray_address, own) as runner, remote_options(**resources):

            def submit(task: "Task[..., Any]", *args: Any) -> "PrefectFuture[Any]":
                future: PrefectFuture[Any] = runner.submit(task, get_call_parameters(task.fn, args, {}))
                return future

            yield submit
    except RayError as error:
        told = f"Ray gave up on a batch of the stage {stage}: {str(error).strip().splitlines()[0]}"
        raise OSError(f"{told}; the same command does what is missing") from error
