"""What owners and hosts say of training, and how little it takes to mean no."""

import json

import httpx
import pytest

from datasets.outcomes import TransientError
from extract.permission.asking import ask_permission, is_permitted, read_host, read_key
from extract.permission.settings import PermissionSettings, trainability_address
from extract.permission.signals import HostSignals, matches, parse_groups, parse_tdmrep
from extract.permission.web import Answer, Web
from extract.sources import SourceSettings

YOUTUBE = SourceSettings()
SITE = SourceSettings(name="site", watch_url="http://127.0.0.1:9/watch?v={video_id}")
VIDEO = "jNQXAC9IVRw"


class Told(Web):
    """Answers without a network; notes what was asked, and with which headers."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def get(self, url, headers=None, max_bytes=0):
        self.asked.append((url, headers or {}))
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Answer) else Answer(200, json.dumps(answer))


def answer(**fields):
    return {"videoId": VIDEO, "kind": "youtube#videoTrainability", "etag": "e1", "permitted": ["all"]} | fields


def ask(told, parties=(), earlier=None, key=None):
    settings = PermissionSettings(mode="record", parties=parties)
    return ask_permission(VIDEO, YOUTUBE, settings, HostSignals(), told, key or {}, earlier)


@pytest.mark.parametrize(
    ("permitted", "parties", "may"),
    [
        (["all"], (), True),
        (["none"], ("none",), False),
        (["all", "none"], (), False),
        (["A Lab", "B Lab"], ("B Lab",), True),
        (["A Lab", "B Lab"], ("C Lab",), False),
        ([], (), False),
    ],
)
def test_all_or_a_list_with_us_permits_and_nothing_else_does(permitted, parties, may):
    assert ask(Told(answer(permitted=permitted)), parties)["is_permitted"] is may


def test_youtube_is_asked_at_the_address_that_it_documents():
    told = Told(answer())
    ask(told)
    assert told.asked[0][0] == f"https://youtube.googleapis.com/youtube/v3/videoTrainability?id={VIDEO}"
    assert trainability_address(PermissionSettings(), SITE) is None
    assert trainability_address(PermissionSettings(), SITE.model_copy(update={"name": "ids"})) is None
    assert trainability_address(PermissionSettings(), SourceSettings(name="ids")) is not None


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[" * 100_000,
        json.dumps([answer()]),
        json.dumps(answer(videoId="another0000")),
        json.dumps(answer(permitted="all")),
        json.dumps(answer(permitted=[["all"]])),
        json.dumps(answer(permitted=["x" * 10_000])),
        json.dumps(answer(permitted=["all"] * 5000)),
    ],
)
def test_an_answer_of_another_form_is_a_failed_row_and_no_permission(text):
    row = ask(Told(Answer(200, text)))
    assert (row["status"], row["reason"]) == ("failed", "bad_answer")
    assert row.get("is_permitted") is None


def test_an_unknown_video_is_a_failed_row():
    assert ask(Told(Answer(404, "")))["reason"] == "unavailable"


def test_an_answer_that_still_holds_is_asked_for_by_its_etag_and_kept():
    first = ask(Told(answer(permitted=["A Lab"])), ("A Lab",))
    told = Told(Answer(304, ""))
    again = ask(told, ("A Lab",), first)
    assert told.asked[0][1] == {"If-None-Match": "e1"}
    assert (again["permitted"], again["etag"], again["is_permitted"]) == (["A Lab"], "e1", True)


def test_an_etag_that_would_add_a_header_is_not_sent():
    assert ask(Told(answer(etag="x\r\nCookie: y")))["etag"] is None


def test_what_was_permitted_once_is_remembered():
    first = ask(Told(answer()))
    second = ask(Told(answer(permitted=["none"], etag="e2")), earlier=first)
    third = ask(Told(answer(permitted=["none"], etag="e2")), earlier=second)
    assert [(row["is_permitted"], row["was_permitted"]) for row in (first, second, third)] == [
        (True, False),
        (False, True),
        (False, True),
    ]


def test_the_key_goes_in_a_header_to_the_platform_and_into_no_row(tmp_path):
    (tmp_path / "key").write_text("SECRET\n")
    told = Told(answer())
    row = ask(told, key=read_key(tmp_path / "key"))
    assert told.asked[0][1] == {"X-Goog-Api-Key": "SECRET"}
    assert "SECRET" not in told.asked[0][0] + str(row)


@pytest.mark.parametrize("content", [b"", b"a b", b"a\nb", b"\xff"])
def test_a_key_file_without_a_key_is_named_but_not_told(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ValueError, match=r"permissions\.key_file"):
        read_key(tmp_path / "key")


def test_an_address_with_a_secret_is_kept_without_it():
    settings = PermissionSettings(trainability_url="https://x.test/t?id={video_id}&key=SECRET")
    assert "SECRET" not in settings.model_dump_json()
    with pytest.raises(ValueError, match="trainability_url must be an http"):
        PermissionSettings(trainability_url="ftp://x.test/{video_id}")


@pytest.mark.parametrize(
    ("pattern", "path", "does"),
    [
        ("/", "/watch?v=a", True),
        ("/watch", "/watch?v=a", True),
        ("/watch$", "/watch?v=a", False),
        ("*.mp4", "/media/a.mp4", True),
        ("*.mp4$", "/media/a.mp4?x", False),
        ("/a*b*c$", "/a-b-b-c", True),
        ("/a*a$", "/a", False),
        ("*" * 5000 + "b", "/" + "a" * 5000, False),
    ],
)
def test_patterns_match_as_in_robots_txt(pattern, path, does):
    assert matches(pattern, path) is does


RESERVED, ALLOWED, SILENT = True, False, None


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("tdmrep", '[{"location": "/", "tdm-reservation": 1}]', RESERVED),
        ("tdmrep", '[{"location": "/", "tdm-reservation": 1}, {"location": "/watch", "tdm-reservation": 0}]', ALLOWED),
        ("tdmrep", '[{"location": "/blog", "tdm-reservation": 1}]', SILENT),
        ("tdmrep", '{"location": "/"}', SILENT),
        ("tdmrep", '[7, {"location": 3, "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 2}]', SILENT),
        ("robots", "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /", RESERVED),
        ("robots", "User-agent: gptbot # all of it\nDisallow: /\nAllow: /watch", SILENT),
        ("robots", "User-agent: *\nDisallow: /", SILENT),
        ("robots", "User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /", RESERVED),
        ("robots", "User-agent: *\nContent-Signal: ai-train=yes", ALLOWED),
        ("robots", "User-agent: *\nContent-Usage: train-ai=n", RESERVED),
        ("robots", "User-agent: *\nDisallow:\nCrawl-delay:\nAllow: /", SILENT),
        ("robots", "User-agent: GPTBot\nSitemap: http://host/map.xml\nUser-agent: Other\nDisallow: /", RESERVED),
        ("robots", "User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /watch search=y, train-ai=n", RESERVED),
        ("robots", "User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /watch train-ai=y", ALLOWED),
        ("robots", "User-agent: *\nContent-Usage: /blog train-ai=n", SILENT),
        ("robots", "<html>not found</html>", SILENT),
        ("ai_txt", "User-Agent: *\nDisallow: *.mp4", RESERVED),
        ("ai_txt", "User-Agent: *\nDisallow: /\nAllow: *.mp4", RESERVED),
        ("ai_txt", "User-Agent: *\nAllow: /", ALLOWED),
    ],
)
def test_what_a_host_says_to_all_is_read(file, text, says):
    parsed = parse_tdmrep(text) if file == "tdmrep" else parse_groups(text)
    signals = HostSignals(**{file: parsed}).at("/watch?v=a")
    assert ({signal.is_reserved for signal in signals} or {SILENT}) == {says}


def test_one_reservation_outweighs_other_signals_and_silence_permits_nothing():
    both = HostSignals(
        parse_tdmrep('[{"location": "/", "tdm-reservation": 0}]'), parse_groups("User-agent: CCBot\nDisallow: /")
    )
    assert not is_permitted(None, both.at("/watch"), ())
    assert not is_permitted(None, [], ())
    assert is_permitted(["all"], both.at("/watch"), ())


def test_a_host_is_asked_for_its_three_files_and_may_have_none():
    told = Told(Answer(404, "[]"), Answer(403, ""), Answer(302, ""))
    assert read_host(SITE, told).at("/watch") == []
    assert [url for url, _ in told.asked] == [
        f"http://127.0.0.1:9/{name}" for name in (".well-known/tdmrep.json", "robots.txt", "ai.txt")
    ]


def test_a_host_that_does_not_answer_is_transient_trouble_without_its_address():
    with pytest.raises(TransientError) as caught:
        Web(timeout_s=1).get("http://127.0.0.1:9/?key=SECRET")
    assert caught.value.reason == "network"
    assert "SECRET" not in str(caught.value)


def test_a_file_may_begin_with_a_mark_of_its_encoding(monkeypatch):
    robots = httpx.Response(200, stream=httpx.ByteStream(b"\xef\xbb\xbfUser-agent: GPTBot\nDisallow: /"))
    client = httpx.Client(transport=httpx.MockTransport(lambda _: robots))
    monkeypatch.setattr(httpx, "Client", lambda **_: client)
    text = Web(timeout_s=5).get("http://host/robots.txt").text
    assert [signal.is_reserved for signal in HostSignals(robots=parse_groups(text)).at("/")] == [True]
