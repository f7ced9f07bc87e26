"""The flow of an experiment: measure its tables, write the results."""

from typing import Any

from prefect import flow

from flows.config import Config
from flows.experiments.measure import fill_root, measure_table
from flows.experiments.results import make_document, write_results
from flows.experiments.settings import TABLES_OF, Experiment
from flows.machinery.locks import hold_root
from flows.machinery.prepare import prepared
from flows.machinery.run import code_version
from flows.stages.featurize import featurize
from flows.stages.pairs import fill_pairs


@flow(name="experiment")
@prepared("experiment")
def run_experiment(config: Config, experiment: Experiment) -> dict[str, Any]:
    """One of the paper's experiments with what there is; training of a row is not done twice, a killed one goes on.

    Where the configuration names metadata files of spoken captions, their pairs and features are made first.

    Returns:
        What was written to OUT/EXPERIMENT.json.
    """
    if config.pairs.files:
        fill_pairs(config)
        featurize(config)
    out = fill_root(config.experiments.out, config)
    with hold_root(out):
        results = [measure_table(config, table) for table in TABLES_OF[experiment]]
        document = make_document(experiment.value, results, config.evaluate.model_dump(mode="json"), code_version())
        write_results(out, experiment.value, document)
    return document
