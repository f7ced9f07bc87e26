"""A root to report on, its page built, and the page read back."""

from html.parser import HTMLParser
from pathlib import Path

from datasets.ids import make_clip_id
from datasets.outcomes import OK, dropped, failed
from datasets.tables import make_table, record_run, write_part
from flows.config import Config
from flows.report.build import build_report

SCRIPT = "</h3><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
SEGMENTS = [(0, 4000, "music"), (4000, 12000, "speech"), (12000, 15000, "music"), (15000, 24000, "speech")]


def write(root, name, rows):
    write_part(root, name, make_table(name, rows, recipe="r", run_id="x"))


def make_report_root(root):
    """A root of three videos: one with media and two clips, one whose title is an attack, one that is gone."""
    titles = {"-a": "みそ汁", "bad": SCRIPT, "gone": "gone"}
    urls = {"-a": "https://example.org/watch?v=-a&x=1", "bad": "javascript:alert(3)", "gone": None}
    outcome = {"gone": failed("removed", "<b>HTTP 410</b>")}
    videos = [{"video_id": v, "title": t, "url": urls[v], **outcome.get(v, OK)} for v, t in titles.items()]
    write(root, "videos", videos)
    write(
        root, "media", [{"video_id": v, "media_path": f"0f/{v}.mp4", "duration_ms": 24000, **OK} for v in ("-a", "bad")]
    )
    write(
        root,
        "segmentations",
        [{"video_id": v, "engine": "fast-smn", "duration_ms": 24000, "speech_ms": 17000, **OK} for v in ("-a", "bad")],
    )
    write(
        root,
        "segments",
        [
            {"video_id": v, "start_ms": start, "end_ms": end, "label": label, **OK}
            for v in ("-a", "bad")
            for start, end, label in SEGMENTS
        ],
    )
    spans = [(4000, 12000, OK), (15000, 24000, OK), (12000, 12500, dropped("clip_too_short"))]
    clips = [
        {"clip_id": make_clip_id("-a", start, end), "video_id": "-a", "start_ms": start, "end_ms": end, **outcome}
        for start, end, outcome in spans
    ]
    write(root, "clips", clips)
    write(root, "splits", [{"clip_id": clips[0]["clip_id"], "video_id": "-a", "split": "test", **OK}])
    encoder = {
        "name": "resnext101_3d",
        "engine": "torch",
        "precision": "fp32",
        "trained": False,
        "weights_sha256": "ab",
    }
    record_run(root, "features_3d", "cafe", {"encoder": encoder, "code_version": "v1"})
    (root / "media_files" / "0f").mkdir(parents=True)
    (root / "media_files" / "0f" / "-a.mp4").touch()
    return root


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def build(root, **options):
    return Path(build_report(Config(root=str(root)), **options)).read_text(encoding="utf-8")
