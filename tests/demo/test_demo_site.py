import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from demo.search import search_items
from demo.site import open_site, parse_range, running
from demo.waiting import rendering


def get(url, **headers):
    with urlopen(Request(url, headers=headers), timeout=10) as answer:
        return answer.status, dict(answer.headers), answer.read()


def test_a_file_comes_whole_with_its_length(site, bytes_of_video):
    video_id = next(iter(site.items))
    status, headers, body = get(f"{site.url}/media/{video_id}.mp4")
    assert (status, headers["Content-Length"], body) == (200, str(len(bytes_of_video)), bytes_of_video)


RANGES = {
    "bytes=10-19": slice(10, 20),
    "bytes=299990-": slice(299990, None),
    "bytes=-5": slice(-5, None),
    "bytes=5-999999": slice(5, None),
}


@pytest.mark.parametrize(("header", "part"), RANGES.items())
def test_a_range_comes_as_206(site, bytes_of_video, header, part):
    status, headers, body = get(f"{site.url}/media/{next(iter(site.items))}.mp4", Range=header)
    assert (status, body) == (206, bytes_of_video[part])
    assert headers["Content-Range"].endswith(f"/{len(bytes_of_video)}")


def test_a_range_past_the_end_is_416(site):
    with pytest.raises(HTTPError, match="416"):
        get(f"{site.url}/media/{next(iter(site.items))}.mp4", Range="bytes=300000-")


@pytest.mark.parametrize("header", [None, "bytes=-", "bytes=a-b", "bytes=1-2,5-6", "lines=1-2"])
def test_other_range_headers_mean_the_whole_file(header):
    assert parse_range(header, 100) is None


@pytest.mark.parametrize(
    "path", ["/nothing", "/watch?v=aaaaaaaaaaa", "/watch", "/media/../catalog.json", "/media/..%2f.mp4"]
)
def test_what_is_not_there_is_404(site, path):
    with pytest.raises(HTTPError, match="404"):
        get(site.url + path)


def test_a_private_video_has_no_file(site):
    (private,) = [key for key, item in site.items.items() if item["availability"] == "private"]
    with pytest.raises(HTTPError, match="404"):
        get(f"{site.url}/media/{private}.mp4")


@pytest.fixture
def site_of_one(tmp_path, site):
    """A site whose only video is not there yet."""
    item = next(item for item in site.items.values() if item["file"])
    (tmp_path / "videos").mkdir()
    (tmp_path / "catalog.json").write_text(json.dumps({"seed": 3, "items": [item]}))
    with running(open_site(tmp_path)) as server:
        yield server, item


def test_who_asks_for_a_video_that_is_being_rendered_waits_for_it(site_of_one):
    server, item = site_of_one
    address = f"{server.url}/media/{item['id']}.mp4"
    with ThreadPoolExecutor(1) as pool, rendering(server.directory):
        answer = pool.submit(get, address)
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.5)
        (server.directory / item["file"]).write_bytes(b"rendered")
        assert answer.result(timeout=10)[2] == b"rendered"


def test_a_video_that_nobody_renders_is_404_at_once(site_of_one):
    server, item = site_of_one
    with pytest.raises(HTTPError, match="404"):
        get(f"{server.url}/media/{item['id']}.mp4")


def test_two_renderers_of_one_channel_are_refused(tmp_path):
    with rendering(tmp_path), pytest.raises(ValueError, match="another process renders there"), rendering(tmp_path):
        pass


def test_titles_cannot_become_markup(site):
    (item,) = [item for item in site.items.values() if item["id"].startswith("-")]
    for page in ("/", f"/watch?v={item['id']}", f"/search?q={quote('レモン')}"):
        body = get(site.url + page)[2].decode()
        assert "<script>alert" not in body and "&lt;/script&gt;" in body
    text = re.search(r'<script id="metadata" type="application/json">(.*?)</script>', body_of_watch(site, item))
    assert json.loads(text[1])["title"] == item["title"]


def body_of_watch(site, item):
    return get(f"{site.url}/watch?v={item['id']}")[2].decode()


def test_search_pages_hold_every_result_once(site):
    found, page = [], 1
    while True:
        answer = json.loads(get(f"{site.url}/search.json?q={quote('人参')}&page={page}")[2])
        found += [item["id"] for item in answer["items"]]
        if not answer["has_next"]:
            break
        page += 1
    assert len(found) == len(set(found)) == answer["num_results"] == 23
    assert b'rel="next"' in get(f"{site.url}/search?q={quote('人参')}")[2]


def test_title_words_rank_above_description_words_and_then_views_decide():
    items = [
        {"id": "a", "title": "カレー", "description": "人参", "view_count": 9},
        {"id": "b", "title": "人参", "description": "", "view_count": 1},
        {"id": "c", "title": "ニンジン", "description": "", "view_count": 99},
        {"id": "d", "title": "カレー", "description": "人参", "view_count": 10},
    ]
    assert [item["id"] for item in search_items(items, "人参")] == ["b", "d", "a"]
    assert [item["id"] for item in search_items(items, "ﾆﾝｼﾞﾝ")] == ["c"]
    assert search_items(items, "") == []


def test_a_folder_without_a_channel_is_refused_with_the_command_to_run(tmp_path):
    with pytest.raises(ValueError, match=r"no catalog.json there; run `python -m demo render --out"):
        open_site(tmp_path)


def test_serve_writes_its_port_and_ends_cleanly_when_told(small_channel, tmp_path):
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "demo", "serve", "--dir", str(small_channel), "--port-file", str(port_file)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not port_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert get(f"http://127.0.0.1:{int(port_file.read_text())}/")[0] == 200
        server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=20)
    finally:
        server.kill()
        server.wait()
    assert (server.returncode, errors) == (0, "") and "DEMO_SITE=http://127.0.0.1:" in output
    assert not port_file.exists()


def test_serving_nothing_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "demo", "serve", "--dir", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "no catalog.json" in run.stderr
