"""Is it the language asked for? Evidence from metadata, each score by itself, and the cascade that weighs it.

From strong to weak: the original audio track, the original-language automatic caption (the site's own speech
recognition), the language the uploader declared, script and words of title and description.
"""

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from extract.text_language import identify_text, known_languages

ORIGINAL_TRACK = 10
"""yt-dlp's `language_preference` of the original audio track; dubbed tracks have less."""


@dataclass(frozen=True)
class Script:
    """What proves a language in title and description: a row of languages.tsv."""

    letters: re.Pattern[str]
    """Of Japanese only kana: Chinese has Han too."""
    min_share: float
    """Least share of these among all letters, 0 to 1."""
    is_shared: bool
    """Others use these letters too (Devanagari is Marathi's, Latin half the world's): the text must be identified."""
    measured: str = "precision and recall not measured"
    """How often it is right, in words."""


def _read_scripts() -> dict[str, Script]:
    lines = Path(__file__).with_name("languages.tsv").read_text(encoding="utf-8").splitlines()
    found = {}
    for row in csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t"):
        told = f"precision {row['precision']}, recall {row['recall']} on held-out titles"
        measured = {"measured": told} if row["precision"] else {}
        letters = re.compile(f"[{row['letters']}]")
        found[row["language"]] = Script(letters, float(row["min_share"]), row["shared"] == "yes", **measured)
    return found


SCRIPTS: Mapping[str, Script] = _read_scripts()
"""By ISO 639 code."""
ANY_SCRIPT = Script(re.compile(r"[^\W\d_]"), 0.0, True)
"""Of a language without a row: its text alone tells."""

MAX_TEXT_CHARS = 5000
"""As much of a text is looked at; the longest description that YouTube takes."""

_NOT_PROSE = re.compile(r"https?://\S+|www\.\S+|[^\s@]{1,64}@[^\s@]{1,255}|[@#＃][\w\-]+|\d+[a-zA-Z]{1,3}\b")


@dataclass(frozen=True)
class LanguageEvidence:
    """What metadata say about the spoken language; None where they say nothing."""

    audio_language: str | None
    """Language of the original (or only) audio track."""
    metadata_language: str | None
    """As the uploader declared it."""
    has_original_caption: bool | None
    """The automatic caption of the original speech is in the language asked for; None without such a caption."""
    script_share: float | None
    """Share of letters of title and description in the language's script, 0 to 1."""
    text_language: str | None = None
    """What title and description are written in; None where the script alone decides (`Script.is_shared`)."""


# Where ISO 639 has two codes of two letters, or CLDR prefers one of three: those that sites and py3langid write. And
# countries that people write for their languages, where no language has these letters.
_OTHER_NAMES = {"fil": "tl", "nb": "no", "jp": "ja", "cn": "zh"}


@lru_cache(maxsize=4096)
def base_language(code: str | None) -> str | None:
    """The language of a code in the shortest form of ISO 639: ja for jpn, JPN, ja-JP and ja_JP, zh for chi and zho.

    What one language of a group is nearly always meant by is that group: zh for cmn, ar for arb, fa for pes.
    None where nothing is said: no code, und, mul and mis, or one of the private codes from qaa to qtz, of which DVB
    writes qaa for the original sound. What is no code stays as it is, in small letters.
    """
    from langcodes import Language
    from langcodes.tag_parser import LanguageTagError

    first = re.split("[-_]", (code or "").strip())[0].lower()
    if first in ("", "und", "mul", "mis") or (len(first) == 3 and "qaa" <= first <= "qtz"):
        return None
    try:
        found = str(Language.get(first).prefer_macrolanguage().language)
        return _OTHER_NAMES.get(found, found)
    except LanguageTagError:
        return first


def check_language(language: str) -> str:
    """`language` in its shortest form if it can be told; raises ValueError otherwise."""
    base = base_language(language)
    if base is None or (base not in SCRIPTS and base not in known_languages()):
        told = "an ISO 639 code of a language that can be told, such as ja, hi, en, ko, de, sw"
        raise ValueError(f"language must be {told}, got {language!r}")
    return base


def script_of(language: str) -> Script:
    """The row of a language, or what stands for those without one; raises ValueError for no known language."""
    return SCRIPTS.get(check_language(language), ANY_SCRIPT)


def describe_language(language: str) -> str:
    """How a language is told where metadata say nothing, and how often that is right."""
    script = script_of(language)
    way = "the text is identified" if script is ANY_SCRIPT else "by its letters"
    way += " and the text is identified" if script.is_shared and script is not ANY_SCRIPT else ""
    return f"{language} where only title and description tell: {way}; {script.measured}"


def script_share(text: str, language: str) -> float | None:
    """Share of the letters of `text` in the language's script; addresses, hashtags and units do not count.

    Returns:
        0 to 1, or None for a text without letters.
    """
    prose = _prose(text)
    num_letters = sum(unicodedata.category(char)[0] in "LM" for char in prose)
    if num_letters == 0:
        return None
    return min(1.0, len(script_of(language).letters.findall(prose)) / num_letters)


def _prose(text: str) -> str:
    return unicodedata.normalize("NFKC", _NOT_PROSE.sub(" ", text[:MAX_TEXT_CHARS]))


def text_share(title: str, description: str, language: str) -> float | None:
    """`script_share` of title and description together, the title counting as much as the description."""
    shares = [
        share for share in (script_share(title, language), script_share(description, language)) if share is not None
    ]
    return sum(shares) / len(shares) if shares else None


def gather_evidence(metadata: Mapping[str, Any], language: str) -> LanguageEvidence:
    """Evidence from yt-dlp's metadata of one video."""
    originals = [key.removesuffix("-orig") for key in metadata.get("automatic_captions") or {} if key.endswith("-orig")]
    audible = [item for item in metadata.get("formats") or [] if item.get("acodec") != "none" and item.get("language")]
    original_tracks = [item for item in audible if (item.get("language_preference") or -1) >= ORIGINAL_TRACK]
    languages = {base_language(item["language"]) for item in original_tracks or audible} - {None}
    title, description = metadata.get("title") or "", metadata.get("description") or ""
    return LanguageEvidence(
        audio_language=languages.pop() if len(languages) == 1 else None,
        metadata_language=base_language(metadata.get("language")),
        has_original_caption=language in map(base_language, originals) if originals else None,
        script_share=text_share(title, description, language),
        text_language=identify_text(_prose(f"{title}\n{description}")) if script_of(language).is_shared else None,
    )


def is_language(evidence: LanguageEvidence, language: str, min_script_share: float | None = None) -> bool:
    """The cascade: the strongest evidence there is decides; without any the answer is no.

    Args:
        evidence: the scores.
        language: the language asked for.
        min_script_share: 0 to 1; None: the language's own in languages.tsv.
    """
    script = script_of(language)
    min_share = script.min_share if min_script_share is None else min_script_share
    if evidence.audio_language is not None:
        return evidence.audio_language == language
    if evidence.has_original_caption is not None:
        return evidence.has_original_caption
    if evidence.metadata_language is not None:
        return evidence.metadata_language == language
    has_script = evidence.script_share is not None and evidence.script_share >= min_share
    return has_script and (not script.is_shared or evidence.text_language == language)
