"""One TOML file to one frozen configuration, composed of the settings of each stage."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from datasets.files import check_place
from datasets.filters import FilterSettings
from datasets.places_audio import PairSettings
from datasets.releases.settings import PublishSettings
from datasets.settings import OUTSIDE_RECIPE, Settings, hide_secrets, refuse_secrets, without_secrets
from datasets.splits.draw import SplitSettings
from datasets.suggestions import did_you_mean
from extract.clips import ClipSettings
from extract.permission.settings import PermissionSettings
from extract.selection import SelectionSettings
from extract.site.pacer import PacerSettings
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings
from extract.speech.settings import SpeechSettings
from extract.transcripts import TranscriptSettings
from features.settings import FeatureSettings
from flows.experiments.settings import ExperimentSettings
from model.settings import RECIPES, AgreeSettings, EvaluateSettings, TrainSettings, WindowSettings


class SearchSettings(Settings):
    """What is searched for."""

    queries: Annotated[str, OUTSIDE_RECIPE] = "japanese_cooking"
    """Name of a shipped grammar of `datasets/queries`, or a file with one query a line."""
    max_queries: Annotated[int | None, OUTSIDE_RECIPE] = Field(default=None, ge=1)
    """Only the first so many queries; all when not set."""
    depth: int = Field(default=200, ge=1, le=1000)
    """Results taken per query; HowTo100M took the first 200."""
    again_after_days: Annotated[int | None, OUTSIDE_RECIPE] = Field(default=None, ge=1)
    """Search a query again after so many days, for videos that are new; never when not set."""
    max_per_run: Annotated[int | None, OUTSIDE_RECIPE] = Field(default=None, ge=1)
    """Searches of one run: queries never searched, then those searched longest ago; all when not set."""


class RunSettings(Settings):
    """How the work is spread; none of it changes a result."""

    media_root: str | None = None
    """Local folder of the downloaded media; ROOT/media_files when not set."""
    cache_dir: str | None = None
    """Local folder for memory-mapped copies of the features that training reads; in memory when not set."""
    max_videos: int | None = Field(default=None, ge=1)
    """Decide at most so many videos in this root, best-ranked first; the rest stays for when it is raised."""
    part: str | None = Field(None, pattern=r"^[1-9][0-9]{0,3}/[1-9][0-9]{0,3}$")
    """3/16: only that sixteenth of the videos, beside runs over the others (`--part` of featurize and transcribe);
    all when not set."""
    num_workers: int = Field(default=2, ge=1)
    """Batches done at once."""
    runner: Literal["local", "ray"] = "local"
    """Where batches of segmentation and features are done: in this process, or on a Ray cluster (docs/clusters.md)."""
    ray_address: str | None = None
    """HOST:PORT of a cluster that this machine is part of, or ray://HOST:PORT; when not set, the one that runs on this
    machine or that RAY_ADDRESS names, else one is started here."""
    segment_cpus: int = Field(default=1, ge=1)
    """CPUs of a batch of segmentation on Ray: so many files at once."""
    segment_gpus: float | None = Field(default=None, ge=0)
    """GPUs of one; when not set, 1 if speech.device is a GPU."""
    featurize_cpus: int | None = Field(default=None, ge=1)
    """CPUs of a batch of features on Ray; beside a GPU so many processes decode for it: cores of a node / its GPUs.
    When not set, features.decode_processes and one more, else 1."""
    featurize_gpus: float | None = Field(default=None, ge=0)
    """GPUs of one; when not set, 1 if features.device is a GPU."""
    queries_per_batch: int = Field(default=20, ge=1)
    """Searches that are one task and one part."""
    videos_per_batch: int = Field(default=50, ge=1)
    """Videos of a batch of downloads or of segmentation: what a kill loses at most is the batch's unwritten rows."""
    clips_per_batch: int = Field(default=200, ge=1)
    """Clips of a batch of features."""
    max_tries: int = Field(default=3, ge=1)
    """Tries of a row that meets transient trouble, the first included."""
    first_retry_delay_s: float = Field(default=2.0, ge=0)
    """Seconds before the second try; each further one waits twice as long, with some chance added."""
    max_retry_delay_s: float = Field(default=60.0, ge=0)
    """Longest wait between two tries, in seconds."""
    max_unexpected_share: float = Field(default=0.05, ge=0, le=1)
    """A command ends with exit code 1 when more than this share of a table's rows failed for reason `unexpected`."""


def _check_when(when: str | int) -> str | int:
    if isinstance(when, int) and when < 1:
        raise ValueError("an interval is at least 1 second")
    if isinstance(when, str) and when:
        # Slow to import, and the defaults need no check.
        from prefect.client.schemas.schedules import CronSchedule

        CronSchedule(cron=when)
    return when


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        told = f"no such time zone: names are like Asia/Tokyo, got {name!r}"
        raise ValueError(told + did_you_mean(name, available_timezones())) from error
    return name


When = Annotated[int | str, AfterValidator(_check_when)]
"""A cron string ("0 3 * * *"), or every so many seconds; an empty string: only when somebody starts it."""


class ScheduleSettings(Settings):
    """When each deployment of `serve` runs. None of it changes a result."""

    timezone: Annotated[str, AfterValidator(_check_timezone)] = "UTC"
    """Time zone of the cron strings."""
    curate_daily: When = "0 3 * * *"
    """When new videos are searched for, downloaded, segmented and cut: a cron string, or every so many seconds."""
    regenerate: When = ""
    """When the lists of `regenerate_from` are fetched again; an empty string: only when somebody starts it."""
    publish: When = "0 12 * * *"
    """When a release is made, if enough clips are new."""
    pipeline: When = "0 6 * * 0"
    """When the whole job runs, training and evaluation too."""
    refresh_availability: When = "0 9 * * 6"
    """When the site is asked which videos can still be had."""
    housekeeping: When = "0 1 * * 0"
    """When old run records and cached copies go, and small parts are merged."""
    max_late_s: int = Field(default=3600, ge=1)
    """A scheduled run that begins later than this was missed: it is skipped with a reason."""
    requests_a_day: int = Field(default=4000, ge=1)
    """`curate-daily` asks the site at most so often in one UTC day, all runs together."""
    searches_a_day: int = Field(default=200, ge=1)
    """`curate-daily` searches so many queries: those never searched, then those searched longest ago."""
    search_again_after_days: int = Field(default=30, ge=1)
    """`curate-daily` searches a query again after so many days, for videos that are new."""
    publish_after_clips: int = Field(default=500, ge=1)
    """`publish` builds a release when so many clips came to those that the last one was drawn from."""
    publish_to: tuple[str, ...] = ()
    """Where the deployment `publish` sends a release: folders, s3://BUCKET/PREFIX, hf://datasets/OWNER/NAME. The
    command `publish` sends it where its `--to` says, and only there."""
    regenerate_from: tuple[str, ...] = ()
    """Release or clip lists that `regenerate` fetches, as on its command line."""
    regenerate_root: str | None = None
    """Root of its own that `regenerate` fills; ROOT_regenerated when not set."""
    keep_days: int = Field(default=30, ge=1)
    """`housekeeping` deletes run records and cached copies of features older than this."""
    site: str | None = None
    """Web address under which the root is served, for links in Prefect's pages; file:// when not set."""


class Config(Settings):
    """The whole configuration; also the parameter of every flow, so that Prefect's form shows it."""

    root: Annotated[str, AfterValidator(check_place), AfterValidator(refuse_secrets)] = "data/root"
    """Dataset root: a local folder, or for the tables any fsspec URL."""
    search: SearchSettings = SearchSettings()
    source: SourceSettings = SourceSettings()
    pacer: PacerSettings = PacerSettings()
    permissions: PermissionSettings = PermissionSettings()
    selection: SelectionSettings = SelectionSettings()
    download: DownloadSettings = DownloadSettings()
    speech: SpeechSettings = SpeechSettings()
    clips: ClipSettings = ClipSettings()
    splits: SplitSettings = SplitSettings()
    transcripts: TranscriptSettings = TranscriptSettings()
    pairs: PairSettings = PairSettings()
    features: FeatureSettings = FeatureSettings()
    filters: FilterSettings = FilterSettings()
    agree: AgreeSettings = AgreeSettings()
    windows: WindowSettings = WindowSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    publish: PublishSettings = PublishSettings()
    experiments: ExperimentSettings = ExperimentSettings()
    run: RunSettings = RunSettings()
    schedules: ScheduleSettings = ScheduleSettings()

    @property
    def media_root(self) -> Path:
        """Folder of the downloaded media; always local, and apart from the table `media`, which others read whole."""
        return Path(self.run.media_root or Path(self.root) / "media_files")


REPORT_FILE, GALLERY_FILE, RULES_FILE, SEARCH_PAGE = "report.html", "gallery.html", "rules.html", "search/index.html"
"""Pages in a root: that of rules where there are some, that of search where `search-page --to ROOT/search` wrote it."""
_NOT_TOML = (ValueError, RecursionError)  # tomllib lets Python's own limits through: of digits, of nesting


class ConfigError(ValueError):
    """A configuration that cannot be used; one line a fault."""


def load_config(
    path: Path | None = None,
    root: str | None = None,
    overrides: Sequence[str] | None = None,
    recipes: Sequence[str] | None = None,
    beneath: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read a TOML file, apply `--recipe`, then `--set stage.field=value` and `--root`, and check everything.

    Args:
        path: the file; without one everything has its default.
        root: of `--root`.
        overrides: of `--set`.
        recipes: of `--recipe`.
        beneath: {stage: {field: value}} that stand where the file and what follows it say nothing.

    Raises:
        ConfigError: no such file, not TOML, an unknown field or a value out of range; names field and value.
    """
    values = _read_toml(path) if path else {}
    for stage, fields in (beneath or {}).items():
        given = values.get(stage, {})
        values[stage] = {**fields, **given} if isinstance(given, dict) else given
    for recipe in recipes or ():
        if recipe not in RECIPES:
            raise ConfigError(
                f"--recipe must be one of {', '.join(RECIPES)}, got {recipe!r}{did_you_mean(recipe, RECIPES)}"
            )
        train = values.get("train", {})
        if not isinstance(train, dict):
            raise ConfigError(f"train: must be a stage with fields, got {train!r}")
        values["train"] = {**train, **RECIPES[recipe]}  # what it does not name, such as the sizes, stays
    for override in overrides or ():
        _apply_override(values, override)
    if root is not None:
        values["root"] = root
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_describe(fault, path, overrides or ()) for fault in error.errors())) from error


def _describe(fault: Mapping[str, Any], path: Path | None, overrides: Sequence[str]) -> str:
    """One line: the field, what is wrong with it, where it was said, the value, and what to do."""
    field = ".".join(str(part) for part in fault["loc"]) or "configuration"
    named = [override.partition("=")[0].strip() for override in overrides]
    by_set = [name for name in named if f"{name}.".startswith(f"{field}.") or f"{field}.".startswith(f"{name}.")]
    where = f" (--set {by_set[-1]})" if by_set else f" in {path}" if path else ""
    given = repr(hide_secrets(fault["input"]))
    got = f"{where}, got {given if len(given) <= 200 else f'{given[:200]} ...'}"
    if fault["type"] == "extra_forbidden":
        meant = did_you_mean(by_set[-1] if by_set else field, list_fields(Config))
        return f"{field}: no such field{got}{meant or '; docs/configuration.md lists them all'}"
    told = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    told = "must be a stage with fields" if fault["type"] == "model_type" else told
    told = told if "match pattern" not in told else "is not written as docs/configuration.md shows"
    return f"{field}: {without_secrets(told)}{where if ', got ' in told else got}"


def list_fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every name that a file or --set may use: stages, and the fields within them after a dot."""
    names = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += list_fields(field.annotation, f"{prefix}{name}.")
    return names


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file {path}: see configs/ for examples") from error
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except _NOT_TOML as error:
        raise ConfigError(f"{path} is not TOML: {str(error)[:200]}") from error


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"--set takes stage.field=value, got {override!r}")
    *stages, field = name.strip().split(".")
    place = values
    for stage in stages:
        place = place.setdefault(stage, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {name}: {stage} is a value, not a stage")
    try:
        place[field] = tomllib.loads(f"value = {text.strip()}")["value"]
    except _NOT_TOML:  # the text itself, so that strings need no quotes on the command line
        place[field] = text.strip()
    if stages == ["train"]:
        # What is set for all reaches the rows of the paper's tables too that have a `train` of their own.
        for table in _dicts_in(values.get("experiments")):
            for row in _dicts_in(table.get("rows")):
                if isinstance(row.get("train"), dict):
                    row["train"][field] = place[field]


def _dicts_in(value: Any) -> list[dict[str, Any]]:
    return [inner for inner in value.values() if isinstance(inner, dict)] if isinstance(value, dict) else []
