"""Tables to a release: build it under the root, and bring it to folders, object stores or the Hub."""

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
from prefect import flow, task

from datasets.files import read_json, write_json
from datasets.releases.build import build_release, find_difference, is_new
from datasets.releases.changes import describe_changes
from datasets.releases.exports import EXPORT_FILE, export_path, list_exports
from datasets.releases.layout import list_releases, release_path
from datasets.releases.settings import ExportFormat
from datasets.releases.shards import ReleaseError, read_metadata
from datasets.releases.signatures import check_signature, read_secret_key, sign_release
from datasets.tables import read_ok
from datasets.wheels import CHECKOUT
from flows.clip_choices import read_choices
from flows.config import Config
from flows.destinations import send_release
from flows.exporting.build import check_has_writers, export_release
from flows.machinery.batches import TASK_OPTIONS
from flows.machinery.prepare import prepared
from flows.machinery.progress import logger
from flows.machinery.run import Run, code_version, open_run
from flows.stages.release_metrics import can_be_measured, finetuned_on, finetuned_on_clips, has_figures, measure_release
from flows.status import read_failures, read_funnel

_LOCK = CHECKOUT / "requirements.lock"


@flow(name="publish")
@prepared("publish")
def publish(
    config: Config,
    measure: bool = False,
    to: tuple[str, ...] = (),
    sign: Path | None = None,
    form: ExportFormat | None = None,
) -> str:
    """Build the next release of the root unless nothing changed since the last one, and send it to every destination.

    Args:
        config: the whole configuration; its root is a local folder.
        measure: train and evaluate every release that has no figures; else only what needs no training.
        to: destinations: folders, s3://BUCKET/PREFIX, hf://datasets/OWNER/NAME.
        sign: file of a secret key of minisign; its password, if it has one, in MINISIGN_PASSWORD.
        form: an export to make beside those of the settings; it is then what is sent.

    Returns:
        The version.

    Raises:
        ReleaseError: tables that make no release, or a root that is no local folder.
        OSError: a destination that cannot be written.
    """
    check_is_local(config.root)
    with open_run(config) as run:
        return publish_root(run, measure, to, sign, form)


def publish_root(run: Run, measure: bool, to: tuple[str, ...], sign: Path | None, form: ExportFormat | None) -> str:
    """The steps of `publish`, each only if there is something to do; what is sent is read back every time."""
    check_is_local(run.root)
    key = read_secret_key(sign, os.environ.get("MINISIGN_PASSWORD")) if sign is not None else None
    exports = exports_of(run.config, form)
    check_exports(run, exports)
    version = build_or_look(run)
    measure_releases(run, measure)
    for made in exports:
        if not export_path(run.root, made, version).exists():
            run.begin()
            make_export(run, version, made)
    if key is not None:
        made_of_it = [folder for folder in list_exports(run.root) if folder.name == version]
        for folder in (Path(release_path(run.root, version)), *made_of_it):
            if check_signature(folder, key.get_public_key()):
                run.begin()
                sign_release(folder, key)
    for destination in to:
        run.begin()
        send(run, version, destination, form)
    return version


def exports_of(config: Config, form: ExportFormat | None) -> tuple[ExportFormat, ...]:
    """What is made of a release: the exports of the settings, and the one asked for beside them."""
    return tuple(dict.fromkeys((*config.publish.exports, *([form] if form else []))))


def check_is_local(root: str) -> None:
    """Raise ReleaseError for a root that is not a local folder: a release is named by renaming a folder."""
    if "://" in root:
        raise ReleaseError(f"releases are made under a local root, got {root}: copy its tables to a folder first")


def check_exports(run: Run, exports: tuple[ExportFormat, ...]) -> None:
    """Raise what would stop an export of the next release, before that is built.

    Raises:
        ModuleNotFoundError: a library that is not installed.
        ReleaseError: a search page would have nothing to search by: no words, no shown title, no checkpoint.
    """
    check_has_writers(exports)
    if "search-page" not in exports:
        return
    clips = read_metadata(run.root, run.config.publish)
    said = read_ok(run.root, "transcripts", ["clip_id", "text"])
    texts = [said.filter(pc.is_in(said["clip_id"], clips["clip_id"].unique()))["text"]]
    texts += [clips["title"]] if "title" in clips.column_names else []
    if any(pc.any(pc.greater(pc.utf8_length(text), 0)).as_py() for text in texts) or finetuned_on_clips(run, clips):
        return
    # A page that is there stays, also when what it was made by is gone.
    is_made = export_path(run.root, "search-page", (list_releases(run.root) or [""])[-1]).joinpath(EXPORT_FILE).exists()
    if not is_made or is_new(run.root, run.config.publish):
        told = (
            "a search page needs words or a checkpoint: run `python -m flows transcribe` or `python -m flows finetune`"
        )
        raise ReleaseError(f"{run.root}: {told} first, or leave search-page out of publish.exports and --format")


def build_or_look(run: Run) -> str:
    """`build_next`, which is a task and builds to know whether it has to; a run that only looks leaves nothing."""
    if not run.only_looks:
        return build_next(run)
    if is_new(run.root, run.config.publish):
        run.begin()
    return list_releases(run.root)[-1]


@task(name="build release", **TASK_OPTIONS)
def build_next(run: Run) -> str:
    """The version of the last release, after building a new one if there is anything new."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    processor = next(named, platform.processor() or platform.machine())
    # What may differ between two builds of equal shards.
    built = {
        "run_id": run.run_id,
        "code_version": code_version(),
        "lock_sha256": hashlib.sha256(_LOCK.read_bytes()).hexdigest(),
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "processor": processor, "python": platform.python_version()},
        "config": run.config.model_dump(mode="json"),
    }
    choices, num_videos = read_choices(run.config)
    # The card's tables that are counted here: funnel, losses by reason, other choices.
    facts = {
        "funnel": json.loads(read_funnel(run.root).to_json(orient="records")),
        "losses": json.loads(read_failures(run.root).to_json(orient="records")),
        "choices": choices,
        "num_choice_videos": num_videos,
    }
    version = build_release(run.root, run.config.publish, built, datetime.now(UTC).date(), facts, _LOCK.read_text())
    if version is None:
        version = list_releases(run.root)[-1]
        logger.info("release %s holds what a new one would: nothing to build", version)
    else:
        logger.info("release %s: %s", version, release_path(run.root, version))
    return version


@task(name="export release", **TASK_OPTIONS)
def make_export(run: Run, version: str, form: ExportFormat) -> None:
    """One export of one release; a search page also finds what looks alike where `finetune` trained on its clips."""
    checkpoint = finetuned_on(run, version) if form == "search-page" else None
    folder = export_release(run.root, version, form, checkpoint)
    logger.info("release %s as %s: %s", version, form, folder)


@task(name="send release", **TASK_OPTIONS)
def send(run: Run, version: str, destination: str, form: ExportFormat | None) -> None:
    """Bring one release, or one export of it, to one destination, and remember that it is there."""
    folder = export_path(run.root, form, version) if form else Path(release_path(run.root, version))
    where = send_release(folder, version, destination)
    record = published_file(run.root)
    known = [entry for entry in read_json(record) or [] if (entry["version"], entry["to"]) != (version, destination)]
    sent = {"version": version, "to": destination, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(record, [*known, sent])
    logger.info("release %s is at %s, every byte read back", version, where)


def measure_releases(run: Run, may_train: bool) -> None:
    """Figures of every release by the fixed recipe, as far as they can be had."""
    for version in list_releases(run.root):
        if has_figures(run, version):
            continue
        if can_be_measured(run, version, may_train):
            run.begin()
            measure(run, version)
        else:
            logger.info("release %s has no figures: `publish --measure` trains and evaluates on it", version)


@task(name="measure release", **TASK_OPTIONS)
def measure(run: Run, version: str) -> None:
    """Figures of one release."""
    measure_release(run, version)


def published_file(root: str) -> Path:
    """Where a root remembers which release was sent where."""
    return Path(root) / "releases" / "published.json"


def preview(config: Config, to: tuple[str, ...], form: ExportFormat | None) -> pd.DataFrame:
    """What `publish` would do, as a table of (what, is): nothing is written."""
    check_is_local(config.root)
    exports = exports_of(config, form)
    check_exports(Run(config, "looks", only_looks=True), exports)
    metadata = read_metadata(config.root, config.publish)
    difference = find_difference(config.root, metadata)
    rows = [
        ("last release", difference.previous or "none"),
        ("next release", difference.version if difference.is_seen else "none, unless values or papers changed"),
        ("clips", f"{metadata.num_rows:,}"),
        *(line.split(": ", 1) for line in describe_changes(difference.changes)),
        ("values made otherwise", ", ".join(difference.new_recipes) or "none"),
        ("exports", ", ".join(exports) or "none"),
        ("goes to", ", ".join([f"{config.root}/releases", *to])),
    ]
    return pd.DataFrame(rows, columns=["what", "is"])
