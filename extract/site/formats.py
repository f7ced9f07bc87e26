"""Which of a video's formats to fetch. Pure: yt-dlp's format dicts in, one or two of them out."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets.outcomes import RowError
from extract.language import ORIGINAL_TRACK, base_language

Format = Mapping[str, Any]

# Everything else would start another program, or reach for something that is not the web.
PROTOCOLS = frozenset({"http", "https", "m3u8_native", "http_dash_segments"})


class NoFormatError(RowError):
    """No format may be taken: "no_audio" or "no_original_audio"."""


def choose_formats(formats: Sequence[Format], max_height: int) -> list[Format]:
    """One file with H.264 and the original sound where possible, else video and sound apart.

    Args:
        formats: usable formats, worst first, with their protocols.
        max_height: of the picture's shorter side, in pixels; higher only when there is nothing else.

    Returns:
        [both in one], or [video, audio], or nothing if there is no video.

    Raises:
        NoFormatError: there is video but no sound, or no sound in the original language.
    """
    usable = [item for item in formats if item.get("protocol") in PROTOCOLS and not item.get("has_drm")]
    videos = [item for item in usable if item.get("vcodec") != "none"]
    if not videos:
        return []
    audible = original_audio(usable)
    both = [item for item in audible if item.get("vcodec") != "none"]
    mute = [item for item in videos if item.get("acodec") == "none"]
    sounds = [item for item in audible if item.get("vcodec") == "none"]
    wishes: list[Callable[[Format], bool]] = [
        lambda item: is_h264(item) and fits(item, max_height),
        lambda item: fits(item, max_height),
        lambda item: True,
    ]
    for wish in wishes:
        wanted_both = [item for item in both if wish(item)]
        if wanted_both:
            return [wanted_both[-1]]
        wanted_mute = [item for item in mute if wish(item)]
        if wanted_mute and sounds:
            return [wanted_mute[-1], sounds[-1]]
    raise NoFormatError("no_audio", "sound comes with no video")


def original_audio(formats: Sequence[Format]) -> list[Format]:
    """Formats with sound in the original language.

    The site marks the original of several tracks. A lone unmarked language is the original; of several languages
    without a mark none can be told from a dub.

    Raises:
        NoFormatError: no sound ("no_audio"), or none that is the original ("no_original_audio").
    """
    audible = [item for item in formats if item.get("acodec") != "none"]
    if not audible:
        raise NoFormatError("no_audio", f"{len(formats)} formats, none with sound")
    audible = [item for item in audible if not str(item.get("language") or "").endswith("-desc")]
    marked = [item for item in audible if (item.get("language_preference") or -1) >= ORIGINAL_TRACK]
    languages = sorted({base for item in audible if (base := base_language(item.get("language")))})
    if marked:
        return marked
    if len(languages) > 1 or not audible:
        raise NoFormatError("no_original_audio", f"tracks {', '.join(languages)}, none marked as the original")
    return audible


def is_h264(item: Format) -> bool:
    """True for H.264 by its codec string."""
    return str(item.get("vcodec") or "").startswith(("avc1", "avc3", "h264"))


def fits(item: Format, max_height: int) -> bool:
    """True if the picture's shorter side is known and at most `max_height`: 480p of an upright video is 480 wide."""
    sides = [side for side in (item.get("height"), item.get("width")) if side]
    return bool(sides) and min(sides) <= max_height


def format_key(chosen: Sequence[Format]) -> str:
    """Tells one encoding from another: the site's own ids and sizes."""
    return "+".join(f"{item.get('source_format_id')}:{item.get('filesize') or ''}" for item in chosen)


def expected_bytes(chosen: Sequence[Format]) -> int:
    """Announced size of what will be fetched, 0 where unknown."""
    return sum(int(item.get("filesize") or item.get("filesize_approx") or 0) for item in chosen)


def playlist_addresses(playlist: str) -> list[str]:
    """Every address that an HLS playlist names: its pieces, keys, maps and other playlists."""
    lines = [line.strip() for line in playlist.splitlines()]
    named = [address for line in lines if line.startswith("#") for address in re.findall(r'URI="([^"]*)"', line)]
    return named + [line for line in lines if line and not line.startswith("#")]
