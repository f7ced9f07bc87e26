"""Checkpoints to recall: retrieval in both directions, measured on the clips of a root."""

from typing import Any

from prefect import flow

from datasets.files import sha256_of
from datasets.outcomes import OK
from datasets.settings import recipe_of
from datasets.tables import current_recipe, list_parts
from flows.config import Config
from flows.machinery.prepare import prepared
from flows.machinery.run import Run, open_run
from flows.stages.filter import filter_clips, filter_recipe
from flows.stages.train import TABLES_READ, checkpoint_folder, load_split
from model.history import MODEL_FILE


@flow(name="evaluate")
@prepared("evaluate")
def evaluate(config: Config) -> None:
    """Measure retrieval on the test and train clips with the checkpoint of this configuration."""
    with open_run(config) as run:
        evaluate_checkpoint(run)


def evaluate_checkpoint(run: Run) -> None:
    """Evaluate this configuration's checkpoint: table evaluations, a row a split and direction; table ranks, a row a
    query of them.
    """
    filter_clips(run)
    rules = filter_recipe(run)
    checkpoint = checkpoint_folder(run) / MODEL_FILE
    if not checkpoint.is_file():
        mend = "run `python -m flows finetune` first"
        raise ValueError(f"no checkpoint of this configuration at {checkpoint}: {mend}")
    read = [current_recipe(run.root, table) for table in TABLES_READ]
    recipe = recipe_of(run.config.evaluate, sha256_of(checkpoint), read, *rules)
    if not all(list_parts(run.root, table, recipe) for table in ("evaluations", "ranks")):
        run.begin()
        # torch takes seconds to load, and what is measured already needs none.
        from model.checkpoints import load_avlnet
        from model.evaluate import embed_clips, evaluation_rows, rank_rows, retrieval_reports

        rows: list[dict[str, Any]] = []
        ranks: list[dict[str, Any]] = []
        for split in ("train", "test"):
            clips = load_split(run, split)
            model = load_avlnet(checkpoint, video_dim=clips.video_dim)
            audio, video = embed_clips(model, clips, run.config.evaluate)
            report = retrieval_reports(audio, video, run.config.evaluate)
            filtered = rules if split in run.config.filters.splits else ()  # another set of clips, by another name
            release = "-".join(["working", str(current_recipe(run.root, "splits")), *filtered])
            names = sha256_of(checkpoint), release, split
            rows += [{**row, **OK} for row in evaluation_rows(report, *names)]
            ranks += [{**row, **OK} for row in rank_rows(audio, video, clips, *names)]
        run.write("ranks", ranks, recipe)
        run.write("evaluations", rows, recipe)
    run.record("ranks", recipe)
    run.record("evaluations", recipe)
