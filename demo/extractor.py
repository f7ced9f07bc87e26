"""yt-dlp extractors for the demo's site; they say what YouTube's own extractor says, in its words.

Given to the engine with `YoutubeDL.add_info_extractor`. Search needs the site's address: the environment variable
DEMO_SITE, for example http://127.0.0.1:43210; watch pages carry it in their URL.
"""

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from yt_dlp.extractor.common import InfoExtractor, SearchInfoExtractor
from yt_dlp.utils import ExtractorError, float_or_none, remove_end

_RATE_LIMITED = "This content isn't available, try again later"
_LOGIN_HINT = (
    "Use --cookies-from-browser or --cookies for the authentication. See  "
    "https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies"
)


class DemoVideoIE(InfoExtractor):  # type: ignore[misc]
    """One watch page."""

    IE_NAME = "demo"
    _VALID_URL = r"(?P<site>http://127\.0\.0\.1:\d+)/watch\?v=(?P<id>[0-9A-Za-z_-]{11})(?:$|[&#])"

    def _real_extract(self, url: str) -> dict[str, Any]:
        video_id = self._match_id(url)
        webpage = self._download_webpage(url, video_id)
        text = self._search_regex(
            r'<script id="metadata" type="application/json">(.*?)</script>', webpage, "metadata", flags=re.DOTALL
        )
        metadata = self._parse_json(text, video_id)
        self._refuse_unplayable(metadata.get("playability") or {}, metadata.get("countries"), video_id)
        return self._describe(video_id, url, metadata)

    def _refuse_unplayable(self, playability: dict[str, str], countries: list[str] | None, video_id: str) -> None:
        """Raise as YouTube's extractor does for a page without formats."""
        reason, subreason = playability.get("reason"), playability.get("subreason")
        if playability.get("status") == "OK" or not reason:
            return
        if subreason and subreason.startswith("The uploader has not made this video available in your country"):
            self.raise_geo_restricted(subreason, countries, metadata_available=True)
        message = f"{reason}. {subreason}" if subreason else reason
        if "sign in" in message.lower():
            message = f"{remove_end(message.strip(), '.')}. {_LOGIN_HINT}"
        elif _RATE_LIMITED in message:
            message = (
                f"{remove_end(message.strip(), '.')}. The current session has been rate-limited by "
                "YouTube for up to an hour. It is recommended to use `-t sleep` to add a delay between video requests "
                "to avoid exceeding the rate limit."
            )
        self.raise_no_formats(message, expected=True, video_id=video_id)

    def _describe(self, video_id: str, url: str, metadata: dict[str, Any]) -> dict[str, Any]:
        captions = {
            language: [{"url": f"{url}#{language}", "ext": "vtt"}]
            for language in metadata.get("automatic_captions") or ()
        }
        return {
            "id": video_id,
            "title": metadata.get("title"),
            "description": metadata.get("description"),
            "duration": float_or_none(metadata.get("duration_ms"), 1000),
            "view_count": metadata.get("view_count"),
            "channel": metadata.get("channel"),
            "channel_id": metadata.get("channel_id"),
            "uploader": metadata.get("channel"),
            "upload_date": metadata.get("upload_date"),
            "license": metadata.get("license"),
            "modified_content_notice": metadata.get("modified_content_notice"),
            "language": metadata.get("language"),
            "live_status": metadata.get("live_status", "not_live"),
            "age_limit": metadata.get("age_limit", 0),
            "availability": metadata.get("availability"),
            "webpage_url": url,
            "automatic_captions": captions,
            "formats": self._list_formats(video_id, metadata),
        }

    def _list_formats(self, video_id: str, metadata: dict[str, Any]) -> list[dict[str, Any]]:
        formats: list[dict[str, Any]] = []
        for media in metadata.get("formats") or ():
            if media.get("protocol") == "m3u8":
                formats += self._extract_m3u8_formats(media["url"], video_id, "mp4", m3u8_id=media["format_id"])
            else:
                formats.append(media)
        return formats


class DemoSearchIE(SearchInfoExtractor):  # type: ignore[misc]
    """`demosearchN:words`: the first N results of the site's search, without a request per video."""

    IE_NAME = "demo:search"
    _SEARCH_KEY = "demosearch"

    def _search_results(self, query: str) -> Iterator[dict[str, Any]]:
        site = os.environ.get("DEMO_SITE", "").rstrip("/")
        if not site.startswith("http://127.0.0.1:"):
            raise ExtractorError(
                f"DEMO_SITE must be the demo site's address like http://127.0.0.1:43210, got {site!r}", expected=True
            )
        page = 1
        while True:
            url = f"{site}/search.json?{urlencode({'q': query, 'page': page})}"
            answer = self._download_json(url, query, note=f"Downloading page {page}")
            for item in answer["items"]:
                yield self._describe(site, item)
            if not answer["has_next"]:
                return
            page += 1

    def _describe(self, site: str, item: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self.url_result(
            f"{site}/watch?v={item['id']}", DemoVideoIE, item["id"], item["title"],
            duration=float_or_none(item["duration_ms"], 1000),
            view_count=item["view_count"],
            channel=item["channel"],
            channel_id=item["channel_id"],
        )  # fmt: skip
        return result
