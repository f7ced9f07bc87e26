"""The whole job: curate, featurize, transcribe where a model is named, fine-tune, evaluate."""

from prefect import flow

from flows.config import Config
from flows.machinery.prepare import prepared
from flows.stages.curate import curate
from flows.stages.evaluate import evaluate
from flows.stages.featurize import featurize
from flows.stages.train import finetune
from flows.stages.transcribe import transcribe


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
    finetune(config)
    evaluate(config)
