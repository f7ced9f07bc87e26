"""The search page in a browser without network: how long an answer takes, and whether it is Python's.

    python -m benchmarks.bench_search [NUM_CLIPS] [--queries 200]

Clips with 12 words each of a Zipf-like vocabulary and 1,024 numbers an embedding. Words and "more like this" are asked
in headless Chromium and of `flows.finding`; how often eight bits give the ten results of the numbers themselves stands
beside it.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from benchmarks.limits import tell
from flows.finding.clips import Clip, best_of
from flows.finding.index import Index
from flows.finding.search_page import NUM_RESULTS, SPEECH_FILE, read_runtime, render_search_page, speech_script
from flows.finding.speech_model import export_speech_query
from flows.finding.words import WordIndex
from model.avlnet import AVLNet

SIZE = 1024
SYLLABLES = [a + b for a in "kstnhmrgzdb" for b in "aeiou"]
ANSWER = """text => {
  const began = performance.now();
  query.value = text; answer();
  return [performance.now() - began, [...document.querySelectorAll("#found li")].map(item => item.dataset.clip)];
}"""
HEAR = """async () => {
  const samples = Float32Array.from({ length: 80000 }, (_, i) => Math.sin(i * i * 1e-5) / 2);
  const began = performance.now();
  best(scoreSpeech(await embedSpeech(samples)), -Infinity);
  return performance.now() - began;
}"""
LIKE = """number => {
  const began = performance.now();
  const found = best(scoreLike(number), -2);
  return [performance.now() - began, found];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_clips", nargs="?", type=int, default=3000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--speech", type=Path, help="folder dist of onnxruntime-web: also speak to the page")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    words = np.array(["".join(random.choice(SYLLABLES, 3)) for _ in range(5000)])
    common = 1 / np.arange(1, len(words) + 1)
    texts = [" ".join(random.choice(words, 12, p=common / common.sum())) for _ in range(arguments.num_clips)]
    clips = [Clip(f"v_{i:09d}_{i + 1:09d}", "v", "train", i, i + 1, None, None, text) for i, text in enumerate(texts)]
    rows = random.standard_normal((arguments.num_clips, SIZE)).astype(np.float32)
    index = Index.of(rows)
    began = time.perf_counter()
    page = render_search_page("benchmark", clips, index)
    print(
        f"page of {arguments.num_clips} clips: {len(page.encode()) / 1e6:.1f} MB, {time.perf_counter() - began:.1f} s"
    )
    tell("  index", len(page.partition('id="index"')[2].partition("</script>")[0]) / 1e6, "MB", at_most=4.0)

    asked = [" ".join(random.choice(words, 2)) for _ in range(arguments.queries)]
    own = random.integers(0, arguments.num_clips, arguments.queries)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "index.html"
        path.write_text(page, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(offline=True).new_page()
        began = time.perf_counter()
        shown.goto(path.as_uri())
        tell("  page opens", time.perf_counter() - began, "s", at_most=10.0)
        by_words = [shown.evaluate(ANSWER, query) for query in asked]
        by_picture = [shown.evaluate(LIKE, int(number)) for number in own]
        browser.close()
    if arguments.speech:
        hear(arguments.speech, clips, index)
    tell("  answer to words, slowest", max(ms for ms, _ in by_words) / 1000, "s", at_most=1.0)
    tell("  more like this, slowest", max(ms for ms, _ in by_picture) / 1000, "s", at_most=1.0)
    print(f"  medians: {statistics.median(ms for ms, _ in by_words):.1f} ms words, "
          f"{statistics.median(ms for ms, _ in by_picture):.1f} ms pictures")  # fmt: skip
    python = WordIndex(texts)
    same = [
        [one.clip.clip_id for one in best_of(clips, python.score(query), NUM_RESULTS, 0.0)] == found
        for query, (_, found) in zip(asked, by_words, strict=True)
    ]
    tell("  the same ten by words as Python", 100 * np.mean(same), "%", at_least=99)
    compare_pictures(rows, index, own, [found for _, found in by_picture])


def compare_pictures(rows: np.ndarray, index: Index, own: np.ndarray, by_page: list[list[int]]) -> None:
    """The page's results beside Python's by the same index, and Python's beside those by all bits."""
    numbers = list(range(len(rows)))
    alike = [order(index.score_row(int(number)), numbers) for number in own]
    same = [found == expected for found, expected in zip(by_page, alike, strict=True)]
    tell("  the same ten by picture as Python", 100 * np.mean(same), "%", at_least=99)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kept = []
    for number, expected in zip(own, alike, strict=True):
        exact = unit @ unit[number]
        exact[number] = -np.inf
        kept.append(len({*order(exact, numbers)} & {*expected}) / NUM_RESULTS)
    print(f"  of the ten by all bits, eight bits have {100 * np.mean(kept):.1f} % (random numbers, the hardest case)")


def hear(runtime: Path, clips: list[Clip], index: Index) -> None:
    """Five seconds of speech through an audio branch of the paper's widths, 1,024 numbers an embedding."""
    script, machine = read_runtime(runtime)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        Path(folder, "index.html").write_text(render_search_page("benchmark", clips, index, script), encoding="utf-8")
        network = export_speech_query(AVLNet(SIZE, SIZE))
        Path(folder, SPEECH_FILE).write_bytes(speech_script(machine, network))
        print(f"  {SPEECH_FILE}: {Path(folder, SPEECH_FILE).stat().st_size / 1e6:.0f} MB")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(offline=True).new_page()
        shown.goto(Path(folder, "index.html").as_uri())
        took = [shown.evaluate(HEAR) for _ in range(4)]
        browser.close()
    tell("  network loaded, and the first answer", took[0] / 1000, "s", at_most=30.0)
    tell("  answer to 5 s of speech", statistics.median(took[1:]) / 1000, "s", at_most=1.0)


def order(scores: np.ndarray, numbers: list[int]) -> list[int]:
    return sorted(numbers, key=lambda number: -scores[number])[:NUM_RESULTS]


if __name__ == "__main__":
    main()
