import pytest
from yt_dlp import YoutubeDL
from yt_dlp.utils import DownloadError

from demo.extractor import DemoSearchIE, DemoVideoIE


def engine(**parameters):
    parameters = {"quiet": True, "noprogress": True, "logger": Quiet(), "cachedir": False} | parameters
    downloader = YoutubeDL(parameters, auto_init=False)
    for extractor in (DemoVideoIE(), DemoSearchIE()):
        downloader.add_info_extractor(extractor)
    downloader.add_default_info_extractors()
    return downloader


class Quiet:
    """A logger that says nothing."""

    def debug(self, message):
        pass

    info = warning = error = debug


def find(site, **wanted):
    return next(key for key, item in site.items.items() if wanted.items() <= item.items())


@pytest.fixture(autouse=True)
def site_address(site, monkeypatch):
    monkeypatch.setenv("DEMO_SITE", site.url)


@pytest.mark.parametrize("depth", [1, 10, 11, 200])
def test_search_gives_as_many_results_as_asked_for_across_pages(site, depth):
    with engine(extract_flat=True) as downloader:
        entries = downloader.extract_info(f"demosearch{depth}:人参", download=False)["entries"]
    assert len(entries) == min(depth, 23)
    assert entries[0]["duration"] == 61.5 and entries[0]["view_count"] == 1022
    assert entries[0]["url"] == f"{site.url}/watch?v={entries[0]['id']}"


def test_search_without_an_address_says_what_to_set(monkeypatch):
    monkeypatch.delenv("DEMO_SITE")
    with (
        engine(extract_flat=True) as downloader,
        pytest.raises(DownloadError, match="DEMO_SITE must be the demo site's"),
    ):
        downloader.extract_info("demosearch:人参", download=False)


def test_metadata_are_as_rich_as_the_pipeline_needs(site):
    video_id = find(site, title="人参の料理 0")
    with engine() as downloader:
        info = downloader.extract_info(f"{site.url}/watch?v={video_id}", download=False)
    assert (info["id"], info["duration"], info["language"], info["live_status"]) == (video_id, 61.5, "ja", "not_live")
    assert (info["age_limit"], info["availability"], info["upload_date"]) == (0, "public", "20250102")
    assert set(info["automatic_captions"]) == {"ja-orig", "ja", "en"}
    (media,) = info["formats"]
    assert media["language_preference"] == 10 and media["vcodec"].startswith("avc1") and media["height"] == 180


def test_a_download_has_the_files_bytes_also_for_an_id_that_begins_with_a_hyphen(site, bytes_of_video, tmp_path):
    video_id = next(key for key in site.items if key.startswith("-"))
    with engine(outtmpl={"default": str(tmp_path / "%(id)s.%(ext)s")}) as downloader:
        downloader.extract_info(f"{site.url}/watch?v={video_id}")
    assert (tmp_path / f"{video_id}.mp4").read_bytes() == bytes_of_video


@pytest.mark.parametrize(
    ("availability", "words"),
    [
        ("private", "Private video. Sign in if you've been granted access to this video"),
        ("removed", "Video unavailable. This video has been removed by the uploader"),
    ],
)
def test_refused_videos_say_so_in_youtubes_words(site, availability, words):
    with engine() as downloader, pytest.raises(DownloadError, match=words) as raised:
        downloader.extract_info(f"{site.url}/watch?v={find(site, availability=availability)}", download=False)
    assert raised.value.exc_info[1].expected


@pytest.mark.parametrize("address", ["https://example.com/watch?v=abcdefghijk", "http://127.0.0.1:80/watch?v=short"])
def test_other_addresses_are_not_its_own(address):
    assert not DemoVideoIE.suitable(address)
