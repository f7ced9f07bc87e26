"""Stands in for yt-dlp's network: answers its YouTube extractor with recorded or made answers of the site.

Everything between is real: yt-dlp's extractor and downloader, our session with its hosts and limits. An answer is in
the structure of ../shared/cases/youtube, where `streamingData.sabr` says that the site named such an address.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError

Answer = Mapping[str, Any]
# What yt-dlp looks for in a page before it asks another player.
SETTINGS = {"INNERTUBE_CONTEXT": {"client": {"clientName": "WEB_EMBEDDED_PLAYER", "clientVersion": "1.20260601"}}}
PAGE = f"<html><script>ytcfg.set({json.dumps(SETTINGS)}); var ytInitialData = {{}};</script></html>".encode()


class Replay:
    """The site's answers, and what was asked.

    Args:
        players: by video id, what a player of the site is told.
        searches: by query, the pages of results.
        files: a picture and a sound for whatever format is fetched.
    """

    def __init__(
        self,
        players: Mapping[str, Answer],
        searches: Mapping[str, Sequence[Answer]],
        files: tuple[Path, Path],
    ) -> None:
        self.players, self.searches, self.files = players, searches, files
        self.fetched: list[tuple[str, str]] = []
        """(itag, sound track) of each format that was fetched, a track "" for a picture or an only sound."""
        self._query = ""

    def urlopen(self, request: Any) -> Response:
        """In place of `yt_dlp.YoutubeDL.urlopen`."""
        url = request if isinstance(request, str) else request.url
        parts = urlsplit(url)
        body = json.loads(request.data) if not isinstance(request, str) and request.data else {}
        match parts.path:
            case "/youtubei/v1/search":
                return _response(url, self._search(body))
            case "/youtubei/v1/player":
                return _response(url, with_addresses(self.players[body["videoId"]]))
            case "/youtubei/v1/next":
                return _response(url, {"contents": {}})
            case "/videoplayback":
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.fetched.append((asked["itag"], asked.get("track", "")))
                return _response(url, self.files[asked["kind"] == "audio"].read_bytes())
            case path if path in ("", "/watch") or path.startswith("/embed/"):
                return _response(url, PAGE)
        raise HTTPError(Response(io.BytesIO(), url, {}, 404))

    def _search(self, body: Mapping[str, Any]) -> Answer:
        if "query" in body:
            self._query = body["query"]
        pages = self.searches[self._query]
        return pages[0] if "query" in body else pages[1] if len(pages) > 1 else {}


def with_addresses(answer: Answer) -> Answer:
    """A player's answer in which each address tells what it is of, and the withheld ones are there again."""
    told = answer.get("streamingData") or {}
    streams: dict[str, Any] = {"expiresInSeconds": "21540"}
    for name in ("formats", "adaptiveFormats"):
        streams[name] = [_with_address(item) for item in told.get(name) or []]
    if told.get("sabr"):
        streams["serverAbrStreamingUrl"] = "https://rr1---sn-example.googlevideo.com/videoplayback?sabr=1"
    return {**answer, "streamingData": streams}


def _with_address(item: Answer) -> Answer:
    if "url" not in item:
        return item
    track = (item.get("audioTrack") or {}).get("id", "")
    return {**item, "url": f"{item['url']}&kind={item['mimeType'].split('/')[0]}&track={track}"}


class _Whole(Response):
    """Reads until there is no more, as yt-dlp's answers from a network do: our limits hand out a piece at a time."""

    def read(self, amt: int | None = None) -> bytes:
        """As of a file."""
        return super().read(amt) if amt is not None else b"".join(iter(lambda: super(_Whole, self).read(1 << 20), b""))


def _response(url: str, content: Any) -> Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return _Whole(io.BytesIO(body), url, {"Content-Length": str(len(body))}, 200)


# ---- answers in the recorded structure


def picture(itag: int, height: int, codec: str = "avc1.4d401e") -> Answer:
    """A format with a picture only."""
    return {**_stream(itag, f'video/mp4; codecs="{codec}"'), "width": height * 16 // 9, "height": height, "fps": 30}


def sound(itag: int, track: str = "", is_default: bool = False, name: str = "") -> Answer:
    """A format with sound only; `track` such as ja.3: a language and what kind of track it is."""
    named = {"audioTrack": {"displayName": name, "id": track, "audioIsDefault": is_default}} if track else {}
    return {**_stream(itag, 'audio/mp4; codecs="mp4a.40.2"'), "audioSampleRate": "44100", "audioChannels": 2, **named}


def _stream(itag: int, kind: str) -> dict[str, Any]:
    address = f"https://rr1---sn-example.googlevideo.com/videoplayback?expire=1999999999&itag={itag}"
    return {"itag": itag, "mimeType": kind, "bitrate": 50_000 + itag, "contentLength": "100000", "url": address}


ORDINARY = (picture(137, 1080), picture(135, 480), picture(248, 480, "vp09.00.30.08"), picture(134, 360), sound(140))


def player(video_id: str, formats: Sequence[Answer] = ORDINARY, **more: Any) -> dict[str, Any]:
    """What a player is told of a video that plays."""
    details = {"videoId": video_id, "title": "肉じゃがの作り方", "lengthSeconds": "12", "channelId": "UC1"}
    return {
        "playabilityStatus": {"status": "OK", "playableInEmbed": True},
        "videoDetails": {
            **details,
            "viewCount": "5000",
            "shortDescription": "簡単なレシピです",
            "isLiveContent": False,
        },
        "streamingData": {"formats": [], "adaptiveFormats": list(formats), "hls": False, "sabr": False},
        **more,
    }


def refused(video_id: str, status: str, reason: str, subreason: str = "", **details: Any) -> dict[str, Any]:
    """What a player is told of a video that does not play."""
    screen = {"reason": {"simpleText": reason}, **({"subreason": {"simpleText": subreason}} if subreason else {})}
    answer = player(video_id, ())
    answer["videoDetails"] |= details
    answer["playabilityStatus"] = {
        "status": status,
        "reason": reason,
        "errorScreen": {"playerErrorMessageRenderer": screen},
    }
    return answer


def results(*video_ids: str) -> Answer:
    """A page of search results."""
    videos = [
        {
            "videoRenderer": {
                "videoId": video_id,
                "title": {"runs": [{"text": "肉じゃがの作り方"}]},
                "lengthText": {"simpleText": "0:12"},
                "viewCountText": {"simpleText": "5,000 views"},
            }
        }
        for video_id in video_ids
    ]
    listed = {"sectionListRenderer": {"contents": [{"itemSectionRenderer": {"contents": videos}}]}}
    return {"contents": {"twoColumnSearchResultsRenderer": {"primaryContents": listed}}}
