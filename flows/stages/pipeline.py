"""The whole job: curate, featurize, transcribe and describe where that is asked for, fine-tune, evaluate."""

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


@flow(name="pipeline")
@prepared("pipeline")
def pipeline(config: Config, retry: tuple[str, ...] = ()) -> None:
    """From queries to the retrieval table; does only what is not done.

    Args:
        config: the whole configuration.
        retry: reasons whose rows are done again.
    """
    curate(config, retry)
    featurize(config, retry)
    if config.transcripts.model is not None:
        transcribe(config, retry)
    if "qualities" in config.filters.tables:
        describe(config, retry)
    if "agreements" in config.filters.tables:
        agree(config, retry)
    finetune(config)
    evaluate(config)


def do_all(run: Run) -> None:
    """What these flows do, one after the other."""
    curate_root(run)
    compute_features(run)
    if run.config.transcripts.model is not None:
        transcribe_root(run)
    if "qualities" in run.config.filters.tables:
        describe_clips(run)
    if "agreements" in run.config.filters.tables:
        score_clips(run)
    train_model(run)
    evaluate_checkpoint(run)
