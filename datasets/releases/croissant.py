"""A release as Croissant 1.1 with the responsible-AI fields: https://docs.mlcommons.org/croissant."""

import re
from datetime import datetime
from typing import Any

Row = dict[str, Any]


def describe_croissant(content: Row, fetched_from: datetime | None, fetched_until: datetime | None) -> Row:
    """JSON-LD of a release: a record set a family, read from its shards, and what a responsible user must know.

    Args:
        content: what the data card is filled with (`datasets.releases.cards`).
        fetched_from: when the first of the videos was fetched.
        fetched_until: when the last was.
    """
    # Brings rdflib and pandas: only where a release is made.
    import mlcroissant as mlc

    sets = [
        mlc.FileSet(
            id=f"{family}-shards",
            name=f"{family}-shards",
            encoding_formats=["application/x-parquet"],
            includes=[f"data/{family}/*.parquet"],
        )
        for family in content["families"]
    ]
    records = [_record_set(mlc, family, row["columns"], content) for family, row in content["families"].items()]
    metadata = mlc.Metadata(
        conforms_to=["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        name=content["name"],
        version=content["version"],
        description=f"{content['num_clips']:,} clips of {content['num_videos']:,} videos: ids, times and features.",
        cite_as=f"{', '.join(content['authors'])}: {content['name']} {content['version']}, {content['today']}",
        license=[content["license"]],
        creators=[mlc.Organization(name=author) for author in content["authors"]],
        date_published=datetime.fromisoformat(content["today"]),
        in_language=[content["language"]] if content["language"] else None,
        keywords=["audio-visual retrieval", "narrated video", "speech"],
        distribution=sets,
        record_sets=records,
        **_responsible_use(content, fetched_from, fetched_until),
    )
    described: Row = metadata.to_json()
    return described


def _record_set(mlc: Any, family: str, columns: dict[str, str], content: Row) -> Any:
    fields = []
    for name, kind in columns.items():
        # By its Arrow type; of lists the first dimension is time, so its size is open (-1).
        sizes = ["-1"] * len(re.findall(r"(?<!_)list<", kind)) + re.findall(r"\[(\d+)\]", kind)
        innermost = kind.rpartition(": ")[2]
        fields.append(
            mlc.Field(
                id=f"{family}/{name}",
                name=f"{family}/{name}",
                data_types=[next(getattr(mlc.DataType, found) for word, found in _TYPES.items() if word in innermost)],
                is_array=True if sizes else None,
                array_shape=",".join(sizes) or None,
                source=mlc.Source(file_set=f"{family}-shards", extract=mlc.Extract(column=name)),
            )
        )
    return mlc.RecordSet(
        id=family, name=family, description=content["meaning"][family], key=[f"{family}/clip_id"], fields=fields
    )


# By the innermost Arrow type; halffloat before float.
_TYPES = {
    "string": "TEXT",
    "int": "INTEGER",
    "halffloat": "FLOAT16",
    "float": "FLOAT32",
    "double": "FLOAT64",
    "bool": "BOOL",
}


def _name_network(encoder: Row) -> str:
    """A network in words: trained or not, its weights, their licence."""
    state = "trained" if encoder["trained"] else "UNTRAINED"
    terms = f", licence of the weights: {encoder['license']}" if encoder["license"] else ""
    return f"{encoder['name']} ({state}, sha256 {encoder['weights_sha256']}{terms})"


def _responsible_use(content: Row, fetched_from: datetime | None, fetched_until: datetime | None) -> Row:
    """The RAI vocabulary, filled from settings and tables."""
    config, facts = content["config"], content["facts"]
    encoders = [row["encoder"] for row in content["families"].values() if row["encoder"]]
    networks = [_name_network(encoder) for encoder in encoders if encoder["weights_sha256"]]
    lost = [f"{row['items']} rows of {row['table']} {row['status']}: {row['reason']}" for row in facts["losses"]]
    certificate = content["certificate"]
    return {
        "data_collection": (
            f"Videos found by queries on the source {config['source']['name']!r}, selected by language "
            f"({content['language'] or 'any'}), length and views, and cut where a CNN heard speech."
        ),
        "data_collection_type": ["Web Scraping"],
        "data_collection_missing_data": "; ".join(lost) or "no row of any table fell out",
        "data_collection_raw_data": "Videos of others, which are no part of this; metadata have id, format and sha256.",
        "data_collection_timeframe": [time for time in (fetched_from, fetched_until) if time],
        "data_preprocessing_protocol": [
            f"speech segmentation by {config['speech']['engine']}",
            f"clips of {config['clips']['min_ms']} to {config['clips']['max_ms']} ms, pauses of up to "
            f"{config['clips']['bridge_gap_ms']} ms bridged",
            "2D and 3D features L2-normalised, log-mel of 40 bands at 16 kHz",
        ],
        "data_manipulation_protocol": (
            "Train, val and test drawn at random; no video in two splits"
            + "".join(f", no {name} in two splits" for name in certificate["group_by"])
            + "; splits.certificate.json is the proof."
        ),
        "machine_annotation_tools": [f"inaSpeechSegmenter CNN ({config['speech']['engine']})", *networks],
        "data_use_cases": [
            "Training and evaluation of audio-visual retrieval",
            "Not: recognition or profiles of persons",
        ],
        "data_biases": [
            "What search ranks high is over-represented: professional channels, popular dishes, some regions.",
            "Speech over music is partly lost; quiet and accented speech may be.",
        ],
        "data_limitations": [
            *(f"{name} carry no learned knowledge: untrained weights" for name in content["untrained"]),
            "Videos disappear: what is regenerated later is a part of this.",
        ],
        "data_social_impact": "Ids of home cooks' videos are personal data; RESPONSIBLE_USE.md says how to get out.",
        "personal_sensitive_information": ["Ids of videos; channels hashed; no pictures, sound, names or transcripts"],
        "data_release_maintenance_plan": (
            f"Versioned; removals make a new version and withdraw older ones. Contact: {content['contact']}."
        ),
    }
