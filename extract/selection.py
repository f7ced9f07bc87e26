"""Which found videos are worth a download: rules over metadata, each with its reason."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from datasets.outcomes import dropped
from datasets.settings import Settings
from extract.clip_lists import read_list
from extract.language import check_language, gather_evidence, is_language
from extract.spoken_language import identify_speech
from extract.whisper import check_whisper_model, make_classifier

logger = logging.getLogger("curation")  # the one that people see


class SelectionSettings(Settings):
    """Rules of selection."""

    min_duration_ms: int = Field(default=10_000, ge=0)
    """Shorter videos are dropped. Below the shortest clip there is nothing to cut."""
    max_duration_ms: int = Field(default=2_000_000, gt=0)
    """Longer videos are dropped: 2,000 s, as HowTo100M did."""
    min_views: int = Field(default=100, ge=0)
    """Videos with fewer views are dropped: 100, as HowTo100M did. An unknown count passes."""
    language: Annotated[str, AfterValidator(check_language)] | None = "ja"
    """Spoken language asked for, by its ISO 639 code: ja, hi, en, ko ...: any that extract/languages.tsv or py3langid
    knows; None takes any."""
    min_script_share: float | None = Field(default=None, ge=0, le=1)
    """Least share of letters of title and description in the language's script, where no stronger evidence is there;
    None: 0.25 of kana for Japanese, 0.5 of Latin for English, 0 of Devanagari for Hindi, which is written in both.
    English and Hindi texts must also be identified as such."""
    spoken_model: Annotated[Path, AfterValidator(check_whisper_model)] | None = None
    """Folder of a Whisper model for CTranslate2: what is spoken is then identified on three windows of the downloaded
    audio. Needs `make setup-whisper`; off when not set."""
    min_spoken_score: float = Field(default=0.5, ge=0, le=1)
    """Least mean probability of the language asked for over those windows."""
    allow_age_restricted: bool = False
    """Age-restricted videos cannot be had without an account."""
    creative_commons_only: bool = False
    """Take only videos whose licence says Creative Commons."""

    known_lists: tuple[Path, ...] = ()
    """Videos that another dataset has, as release folders or clip lists (see `regenerate`): dropped, so that the two
    stay apart. What this root knows is never asked for twice anyway."""

    @model_validator(mode="after")
    def _check_durations(self) -> "SelectionSettings":
        if self.min_duration_ms >= self.max_duration_ms:
            raise ValueError(
                f"min_duration_ms must be below max_duration_ms, got {self.min_duration_ms} and {self.max_duration_ms}"
            )
        return self


TAKE_ALL = SelectionSettings(
    min_duration_ms=0, max_duration_ms=2**53, min_views=0, language=None, allow_age_restricted=True
)
"""For videos that were selected before, here or elsewhere: only what cannot be had is left out."""


def select(metadata: Mapping[str, Any], settings: SelectionSettings) -> dict[str, Any] | None:
    """The first rule that rejects a video.

    Args:
        metadata: yt-dlp's metadata of one video (`duration` in seconds, `view_count`, `live_status` ...).
        settings: the rules.

    Returns:
        The outcome columns of a dropped row, or None for a video to download.
    """
    live_status = metadata.get("live_status")
    if metadata.get("is_live") or live_status in ("is_live", "is_upcoming", "post_live"):
        return dropped("not_yet_live", f"live status is {live_status or 'is_live'}")
    if metadata.get("availability") in ("premium_only", "subscriber_only"):
        return dropped("members_only", f"availability is {metadata['availability']}")
    if metadata.get("availability") == "private":
        return dropped("private", "availability is private")
    if (metadata.get("age_limit") or 0) >= 18 and not settings.allow_age_restricted:
        return dropped("age_restricted", f"age limit is {metadata['age_limit']}")
    if outcome := _check_figures(to_ms(metadata.get("duration")), metadata.get("view_count"), settings):
        return outcome
    license_name = str(metadata.get("license") or "")
    if settings.creative_commons_only and not license_name.lower().startswith(("creative commons", "cc-by", "cc by")):
        return dropped("license_not_allowed", license_name or "no licence named")
    if settings.language is not None:
        evidence = gather_evidence(metadata, settings.language)
        if not is_language(evidence, settings.language, settings.min_script_share):
            return dropped("wrong_language", f"asked for {settings.language}: {evidence}")
    return None


def select_by_speech(
    media_path: Path, settings: SelectionSettings, audio_track: int | None = None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The rule that listens, where `spoken_model` is set.

    Args:
        media_path: a complete file.
        settings: the rules.
        audio_track: index of the stream that is heard, where there are several.

    Returns:
        (columns spoken_language and spoken_score, the outcome columns of a dropped row or None). Neither where nothing
        was heard: silence is in no other language.

    Raises:
        MediaError: the audio cannot be decoded.
    """
    if settings.spoken_model is None or settings.language is None:
        return {}, None
    scores = identify_speech(media_path, make_classifier(settings.spoken_model), audio_track)
    if not scores:
        return {}, None
    best, score = max(scores, key=lambda name: scores[name]), scores.get(settings.language, 0.0)
    heard = {"spoken_language": best, "spoken_score": score}
    if score >= settings.min_spoken_score:
        return heard, None
    return heard, dropped("wrong_language", f"asked for {settings.language}, heard {best} ({scores[best]:.2f})")


@lru_cache(maxsize=4)
def read_known(lists: tuple[Path, ...]) -> frozenset[str]:
    """Ids of the videos that `known_lists` name.

    Raises:
        ClipListError: a list that cannot be read.
    """
    known: set[str] = set()
    for path in lists:
        found = read_list(path)
        logger.info("selection.known_lists: %s: %s", path, found.describe())
        known |= {*found.video_ids, *(row["video_id"] for row in found.skipped)}
    return frozenset(known)


def preselect(discovery: Mapping[str, Any], settings: SelectionSettings) -> dict[str, Any] | None:
    """The rules that a search result answers without a request for the video: known elsewhere, length and views."""
    if discovery.get("video_id") in read_known(settings.known_lists):
        return dropped("already_known", "named by selection.known_lists")
    return _check_figures(discovery.get("duration_ms"), discovery.get("view_count"), settings)


def to_ms(seconds: Any) -> int | None:
    """Seconds, as yt-dlp gives them, to whole milliseconds; None stays None."""
    return None if seconds is None else round(float(seconds) * 1000)


def _check_figures(duration_ms: int | None, views: int | None, settings: SelectionSettings) -> dict[str, Any] | None:
    """The rules of length and views; what is not known passes."""
    if duration_ms is not None and duration_ms < settings.min_duration_ms:
        return dropped("video_too_short", f"{duration_ms} ms")
    if duration_ms is not None and duration_ms > settings.max_duration_ms:
        return dropped("video_too_long", f"{duration_ms} ms")
    if views is not None and views < settings.min_views:
        return dropped("too_few_views", f"{views} views")
    return None
