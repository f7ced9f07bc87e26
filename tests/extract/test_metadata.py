"""What a site says reaches yt-dlp and our rows by known names only, in types and sizes that can be."""

from typing import Any

import pytest

from extract.site.metadata import MAX_FORMATS, MAX_SEGMENTS, clean_metadata

FORMAT = {"format_id": "18", "url": "https://site.example/a.mp4", "ext": "mp4", "height": 360}


ORDERS = (
    *("__postprocessors", "__files_to_move", "__x_forwarded_for_ip", "requested_formats", "filepath", "cookies"),
    *("section_start", "hls_aes", "impersonate", "subtitles", "entries", "_filename"),
)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_to_yt_dlp_is_not_passed_on(order: str) -> None:
    cleaned = clean_metadata({"id": "a", order: ["x"], "formats": [{**FORMAT, order: ["x"]}]})
    assert cleaned == {"id": "a", "formats": [FORMAT]}


def test_headers_are_those_of_a_browser() -> None:
    headers = {
        "Referer": "https://site.example/",
        "Ytdl-request-proxy": "http://127.0.0.1:1",
        "Cookie": "a=b",
        "Origin": 5,
    }
    assert clean_metadata({"http_headers": headers}) == {"http_headers": {"Referer": "https://site.example/"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [("duration", float("inf")), ("duration", "12"), ("view_count", 10**400), ("view_count", -1), ("age_limit", True)],
)
def test_a_number_that_cannot_be_says_nothing(name: str, value: Any) -> None:
    assert clean_metadata({name: value}) == {name: None}


def test_more_formats_and_segments_than_can_be_are_not_looked_at() -> None:
    many = {**FORMAT, "fragments": [{"url": "https://site.example/1"}] * 300_000}
    (cleaned,) = clean_metadata({"formats": [many]})["formats"]
    assert len(cleaned["fragments"]) == MAX_SEGMENTS + 1  # one more than is taken, so that it is refused
    assert len(clean_metadata({"formats": [FORMAT] * 60_000})["formats"]) == MAX_FORMATS
