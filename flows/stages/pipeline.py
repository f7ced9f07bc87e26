"""The whole job: curate, featurize, transcribe and describe where that is asked for, fine-tune, evaluate."""

from collections.abc import Callable

from prefect import flow

from flows.config import Config
from flows.machinery.prepare import prepared
from flows.machinery.run import Run
from flows.stages.agree import agree, score_clips
from flows.stages.curate import curate, curate_root
from flows.stages.describe import describe, describe_clips
from flows.stages.evaluate import evaluate, evaluate_checkpoint
from flows.stages.featurize import compute_features, featurize
from flows.stages.train import finetune, train_model
from flows.stages.transcribe import transcribe, transcribe_root

Stage = tuple[Callable[..., None], Callable[[Run], None]]
"""A flow, and what it does while it holds the root."""


@flow(name="pipeline")
@prepared("pipeline")
def pipeline(config: Config, retry: tuple[str, ...] = ()) -> None:
    """From queries to the retrieval table; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.
    """
    for stage, _ in list_stages(config):
        stage(config, retry)
    finetune(config)
    evaluate(config)


def do_all(run: Run) -> None:
    """What these flows do, one after the other."""
    for _, work in list_stages(run.config):
        work(run)
    train_model(run)
    evaluate_checkpoint(run)


def list_stages(config: Config) -> list[Stage]:
    """What is asked for before the training, in order."""
    stages: list[Stage] = [(curate, curate_root), (featurize, compute_features)]
    if config.transcripts.model is not None:
        stages.append((transcribe, transcribe_root))
    if "qualities" in config.filters.tables:
        stages.append((describe, describe_clips))
    if "agreements" in config.filters.tables:
        stages.append((agree, score_clips))
    return stages
