"""What a release tells of its clips, and the best of them for a score each."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from datasets.releases.layout import read_manifest, read_shards
from datasets.releases.shards import ReleaseError
from datasets.wide import widen
from flows.finding.words import WordIndex
from flows.report.links import keep_web_address

_COLUMNS = ("clip_id", "video_id", "split", "start_ms", "end_ms", "url")


@dataclass(frozen=True)
class Clip:
    """One clip of a release, as it is shown to whoever searches."""

    clip_id: str
    video_id: str
    split: str
    start_ms: int
    end_ms: int
    link: str | None
    """The source at the second where the clip begins; None where the release names no web address."""
    title: str | None
    """None where the release does not show titles."""
    words: str | None
    """None where it has no transcript."""


@dataclass(frozen=True)
class Found:
    """One result."""

    clip: Clip
    score: float


def read_clips(release: str) -> list[Clip]:
    """The clips of a release, a folder or URL, sorted by clip_id.

    Raises:
        ReleaseError: no release, or shards that cannot be read.
    """
    families = read_manifest(release)["families"]
    words = {}
    if "transcripts" in families:
        said = read_shards(release, "transcripts", columns=["clip_id", "text"])
        words = dict(zip(said["clip_id"].to_pylist(), said["text"].to_pylist(), strict=True))
    titles = ["title"] if "title" in families["metadata"]["columns"] else []
    rows = widen(read_shards(release, columns=[*_COLUMNS, *titles])).sort_by("clip_id").to_pylist()
    return [
        Clip(
            clip_id=row["clip_id"],
            video_id=row["video_id"],
            split=row["split"],
            start_ms=row["start_ms"],
            end_ms=row["end_ms"],
            link=link_at(row["url"], row["start_ms"]),
            title=row.get("title"),
            words=words.get(row["clip_id"]),
        )
        for row in rows
    ]


def link_at(url: str | None, start_ms: int) -> str | None:
    """A web address that begins at a time; None for an address of another kind."""
    address = keep_web_address(url)
    if address is None:
        return None
    host = urlsplit(address).hostname or ""
    if host == "youtu.be" or host == "youtube.com" or host.endswith(".youtube.com"):
        return f"{address}{'&' if '?' in address else '?'}t={start_ms // 1000}s"
    return f"{address.partition('#')[0]}#t={start_ms // 1000}"


def find_words(release: str, query: str, num_results: int) -> list[Found]:
    """The clips whose transcripts and titles match some words best.

    Raises:
        ReleaseError: a release without words.
    """
    clips = read_clips(release)
    if not any(clip.words or clip.title for clip in clips):
        raise ReleaseError(
            f"{release} has no words to search: run `python -m flows transcribe` and publish again, or search by --wav"
        )
    index = WordIndex([" ".join(filter(None, (clip.title, clip.words))) for clip in clips])
    return best_of(clips, index.score(query), num_results, least=0.0)


def best_of(clips: list[Clip], scores: NDArray[np.floating], num_results: int, least: float = -np.inf) -> list[Found]:
    """The best clips first, equal ones by clip_id; only scores above `least`."""
    order = np.argsort(-scores, kind="stable")[:num_results]
    return [Found(clips[i], float(scores[i])) for i in order if scores[i] > least]
