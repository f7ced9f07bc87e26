"""From data change to metric change: every release trained and measured by the same fixed recipe.

The recipe is the settings of training and evaluation and the weights to start from; only figures of one recipe are
compared (flows.report.release_history). A release is trained on its own train clips, measured on its own test clips: a
change is that of the data as a whole: of what was learned from, and of what was asked.
"""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from datasets.files import sha256_of, write_json
from datasets.filters import FilterSettings
from datasets.outcomes import OK
from datasets.releases.layout import read_manifest, read_shards, release_path
from datasets.releases.shards import describe_family, families_of
from datasets.settings import recipe_of
from datasets.splits.certificate import rows_digest
from datasets.tables import read_table
from flows.machinery.progress import logger
from flows.machinery.run import Run
from flows.stages.train import TRAINED_ON_FILE, checkpoint_folder, digest_of_init, train_on
from model.history import MODEL_FILE

# The rest of `model` loads torch, which takes seconds: it is imported where a release is measured.
_KEYS = ["clip_id", "video_id", "split"]


def fixed_recipe(run: Run) -> str:
    """Hash of everything but the data that a release's figures depend on."""
    return recipe_of("release", run.config.train, run.config.evaluate, digest_of_init(run.config.train))


def has_figures(run: Run, version: str) -> bool:
    """Whether the table evaluations has a release's figures by this recipe."""
    return version in read_table(run.root, "evaluations", ["release"], recipe=fixed_recipe(run))["release"].to_pylist()


def can_be_measured(run: Run, version: str, may_train: bool) -> bool:
    """Whether a release has test clips, and a checkpoint of `finetune` counts for it, or one may be trained."""
    has_test = "test" in read_manifest(release_path(run.root, version))["splits"]
    return has_test and (may_train or finetuned_on(run, version) is not None)


def measure_release(run: Run, version: str) -> None:
    """Add a release's figures to the table evaluations, after training on it where no checkpoint counts for it.

    Args:
        run: its configuration is the fixed recipe.
        version: of a release under the root.
    """
    from model.data import load_clips
    from model.evaluate import evaluate, evaluation_rows

    recipe, release = fixed_recipe(run), release_path(run.root, version)
    own_cache = f"{run.config.run.cache_dir}/{version}" if run.config.run.cache_dir else None
    checkpoint = finetuned_on(run, version)
    if checkpoint is None:
        shards = [file["sha256"] for file in read_manifest(release)["files"]]
        folder = Path(run.root) / "checkpoints" / recipe_of("release", recipe, shards)
        videos = read_shards(release, columns=["video_id", "split"])
        used = videos.filter(pa.compute.is_in(videos["split"], pa.array(["train", "val"])))["video_id"]
        write_json(folder / TRAINED_ON_FILE, {"recipes": {}, "release": version, "num_videos": len(used.unique())})
        checkpoint = train_on(
            release, run.config.train, folder, f"train on release {version}", recipe_of(shards), own_cache
        )
    clips = load_clips(release, "test", run.config.train.families, own_cache)
    report = evaluate(checkpoint, clips, run.config.evaluate)
    rows = [{**row, **OK} for row in evaluation_rows(report, sha256_of(checkpoint), version, "test")]
    run.write("evaluations", rows, recipe)
    logger.info("release %s measured by the recipe %s", version, recipe)


def finetuned_on(run: Run, version: str) -> Path | None:
    """What `finetune` trained by this recipe, if the working tables hold just this release's clips and features."""
    release = release_path(run.root, version)
    made = {name: row["made"] for name, row in read_manifest(release)["families"].items()}
    if made != {name: describe_family(run.root, name) for name in families_of(run.root)}:
        return None
    return finetuned_on_clips(run, read_shards(release, columns=_KEYS))


def finetuned_on_clips(run: Run, clips: pa.Table) -> Path | None:
    """What `finetune` trained by this recipe, if the splits hold just these clips, a table with video_id and split."""
    plain = replace(run, config=run.config.model_copy(update={"filters": FilterSettings()}))  # a release has no rules
    checkpoint = checkpoint_folder(plain) / MODEL_FILE
    if not checkpoint.is_file():
        return None
    working = read_table(run.root, "splits", _KEYS)
    return checkpoint if rows_digest(working) == rows_digest(clips.select(_KEYS)) else None
