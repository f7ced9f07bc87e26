"""The papers of a release, written from its tables: data card, changelog, licence, citation, Croissant."""

import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from datasets.files import no_room_is_of, write_bytes, write_json
from datasets.outside_text import one_line
from datasets.releases.changes import describe_changes, is_empty
from datasets.releases.croissant import describe_croissant
from datasets.releases.layout import CARD_FILE, CHANGELOG_FILE, CROISSANT_FILE, release_path
from datasets.releases.settings import PublishSettings
from datasets.splits.certificate import read_certificate
from datasets.tables import read_ok, read_table
from datasets.wheels import CHECKOUT
from datasets.wording import format_amount

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

MEANING = {
    "metadata": "the clip manifest: ids, split, times, and the format and sha256 of the file it was cut from",
    "pooled": "2D and 3D features, maximum over time, each of length 1 (float32)",
    "features_2d": "2D features over time, rows of length 1 (float16), with their times",
    "features_3d": "3D features over time, rows of length 1 (float16), with their times",
    "features_sound": "features of sound: the mean of the encoder's frames in each second (float16), with their times",
    "log_mel": "log-mel frames of 25 ms every 10 ms, 40 bands, dB below the clip's maximum (float32)",
    "transcripts": "what is said, written down by a speech recogniser: text, language and its confidence",
}

Row = dict[str, Any]


def fill_template(path: Path, content: Row) -> bytes:
    """Markdown or YAML for people: texts of the web never get there (titles stay in shards), so nothing is escaped."""
    templates = Environment(
        loader=FileSystemLoader(path.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    templates.globals.update(number="{:,}".format, length=format_amount)
    return templates.get_template(path.name).render(content).encode()


def write_papers(
    root: str | Path,
    folder: Path,
    manifest: Row,
    settings: PublishSettings,
    today: date,
    facts: Mapping[str, Any],
) -> None:
    """Write everything about a release that people and search engines read.

    Args:
        root: the dataset root.
        folder: the release's folder, which holds its shards and certificate.
        manifest: of this release.
        settings: names, licence, contact.
        today: the date of the release.
        facts: `funnel`, `losses`, `choices` (records for the card's tables) and `num_choice_videos`.
    """
    content = _gather(root, folder, manifest, settings, today, facts)
    papers = {CARD_FILE: "README.md.jinja", "CITATION.cff": "CITATION.cff.jinja"}
    if settings.license_file is None:
        papers["LICENSE"] = "LICENSE.jinja"
    else:
        with no_room_is_of(folder / "LICENSE"):
            shutil.copyfile(settings.license_file, folder / "LICENSE")
    for name, template in papers.items():
        write_bytes(folder / name, fill_template(Path(__file__).parent / "templates" / template, content))
    earlier = ""
    if manifest["previous"] is not None:
        text = (Path(release_path(root, manifest["previous"])) / CHANGELOG_FILE).read_text(encoding="utf-8")
        earlier = text[text.index("\n## ") :]
    changelog = f"# Changelog of {manifest['name']}\n\nRemoved ids are only in `removed.tsv`, hashed.\n"
    changelog += f"\n## {manifest['version']} - {today}\n\n{_describe(manifest)}\n\n"
    changelog += f"{content['num_clips']:,} clips.\n{earlier}"
    write_bytes(folder / CHANGELOG_FILE, changelog.encode())
    for name, copy in (("LICENSE", "LICENSE-SOFTWARE"), ("RESPONSIBLE_USE.md", "RESPONSIBLE_USE.md")):
        with no_room_is_of(folder / copy):
            shutil.copyfile(CHECKOUT / name, folder / copy)
    fetched = pc.min_max(read_table(root, "media", ["fetched_at"])["fetched_at"]).as_py()
    write_json(folder / CROISSANT_FILE, describe_croissant(content, fetched["min"], fetched["max"]))


# Captions of a list were made by no network: there are no weights, and nothing was computed.
_UNSAID = {"engine": None, "weights_sha256": None, "license": "not stated"}


def _gather(
    root: str | Path,
    folder: Path,
    manifest: Row,
    settings: PublishSettings,
    today: date,
    facts: Mapping[str, Any],
) -> Row:
    """Everything the papers are filled with."""
    families = {
        name: {**row, "encoder": row.get("encoder") and {**_UNSAID, **row["encoder"]}}
        for name, row in manifest["families"].items()
    }
    encoders = {name: row["encoder"] for name, row in families.items() if row["encoder"]}
    language = manifest["config"]["selection"]["language"]
    videos = read_table(root, "videos", ["video_id", "license"])
    drawn = read_table(root, "splits", ["video_id"])["video_id"]
    asked = read_ok(root, "permissions", ["video_id", "is_permitted"])
    asked = asked.filter(pc.is_in(asked["video_id"], drawn))
    named = videos.filter(pc.and_(pc.is_in(videos["video_id"], drawn), pc.is_valid(videos["license"])))["license"]
    licenses = [
        # No text of the web but what looks like a licence.
        {"license": "".join(c for c in one_line(row["values"], 60) if c not in "[]<>|`"), "videos": row["counts"]}
        for row in named.value_counts().to_pylist()
        if row["values"].replace(" ", "").isascii()
    ]
    return manifest | {
        "families": families,
        "num_clips": sum(row["clips"] for row in manifest["splits"].values()),
        "num_videos": sum(row["videos"] for row in manifest["splits"].values()),
        "untrained": {name: made_by for name, made_by in encoders.items() if not made_by["trained"]},
        "certificate": read_certificate(folder),
        "meaning": MEANING,
        "tiers": {"tiny": settings.tiny_clips, "small": settings.small_clips},
        "shards": manifest["tiers"],
        "language": language,
        "language_sentence": f"Spoken language asked for: `{language}`." if language else "Any spoken language.",
        "facts": facts,
        "changes_text": _describe(manifest),
        "contact": settings.contact or "whoever published it (they named no address)",
        "license": settings.license if settings.license != "other" else "the terms that come with it",
        "authors": settings.authors or (f"The makers of {settings.name}",),
        "today": today.isoformat(),
        "num_asked": asked.num_rows,
        "num_permitted": pc.sum(asked["is_permitted"]).as_py() or 0,
        "video_licenses": sorted(licenses, key=lambda row: (-row["videos"], row["license"])),
        "front_matter": _front_matter(manifest, settings, language),
    }


def _front_matter(manifest: Row, settings: PublishSettings, language: str | None) -> str:
    """What the Hub reads: https://huggingface.co/docs/hub/datasets-cards; one configuration a family and tier."""
    num_clips = sum(row["clips"] for row in manifest["splits"].values())
    size = next((name for limit, name in _SIZES if num_clips < limit), "n>1M")
    terms = {"license_name": "terms-of-the-release", "license_link": "LICENSE"} if settings.license == "other" else {}
    content = {
        **({"language": [language]} if language else {}),
        "license": settings.license,
        **terms,
        "pretty_name": settings.name,
        "size_categories": [size],
        "task_categories": ["feature-extraction", "text-to-video"],
        "tags": ["audio-visual-retrieval", "narrated-video", "speech"],
        "configs": list_configurations(manifest),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def list_configurations(manifest: Row) -> list[Row]:
    """`metadata`, `pooled`, ... over all shards, and `metadata-tiny`, ... over the first ones."""
    configurations: list[Row] = []
    for tier in reversed(manifest["tiers"]):
        for family in manifest["families"]:
            data_files = []
            for split, count in manifest["tiers"][tier].items():
                own = [f for f in manifest["files"] if f["family"] == family and f["split"] == split]
                if not any(file["rows"] for file in own[:count]):
                    continue  # as of words that nobody says: a reader fails on a split without rows
                paths = [file["path"] for file in own]
                is_whole = count == manifest["tiers"]["full"][split]
                data_files.append(
                    {"split": split, "path": f"data/{family}/{split}-*.parquet" if is_whole else paths[:count]}
                )
            if not data_files:
                continue
            configurations.append(
                {
                    "config_name": family if tier == "full" else f"{family}-{tier}",
                    **({"default": True} if (family, tier) == ("metadata", "full") else {}),
                    "data_files": data_files,
                }
            )
    return configurations


def _describe(manifest: Row) -> str:
    if manifest["previous"] is None:
        return "The first release."
    lines = describe_changes(manifest["changes"])
    if manifest["changes"]["new_recipes"]:
        lines.append(f"values made otherwise than before: {', '.join(manifest['changes']['new_recipes'])}")
    if is_empty(manifest["changes"]) and not lines:
        lines.append("the same clips; values or metadata changed")
    return "\n".join([f"Since {manifest['previous']}:", "", *(f"- {line}" for line in lines)])
