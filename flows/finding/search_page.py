"""One page to search a release by, which works from a folder without a server or the web."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.files import write_bytes
from datasets.releases.layout import read_manifest
from datasets.releases.shards import ReleaseError
from flows.finding.clips import Clip, read_clips
from flows.finding.index import Index
from flows.report.page import digest_script, render_template

_FOLDER = Path(__file__).parent
NUM_RESULTS = 10
SPEECH_FILE = "speech.js"
RUNTIME = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""What the page takes of onnxruntime-web 1.30.0, with its sha256: nothing else comes into a page."""


def write_search_page(release: str, folder: Path, checkpoint: Path | None = None, speech: Path | None = None) -> Path:
    """Write FOLDER/index.html: ids, times, words and links of every clip, and no media.

    Args:
        release: folder or URL.
        folder: made if it is not there.
        checkpoint: of AVLnet, for clips that look alike: their video embeddings go into the page, a byte a number.
        speech: folder dist of the npm package onnxruntime-web: with it and a checkpoint the page can be spoken to;
            FOLDER/speech.js is then the network of AVLnet's audio branch, and what runs it.

    Raises:
        ReleaseError: a release with nothing to search by.
    """
    manifest, index, runtime = read_manifest(release), None, ""
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoint is not None:
        # Loads torch.
        from flows.finding.embeddings import embed_release

        clips, model, embeddings = embed_release(release, checkpoint)
        index = Index.of(embeddings)
        if speech is not None:
            # Loads onnx.
            from flows.finding.speech_model import export_speech_query

            runtime, machine = read_runtime(speech)
            write_bytes(folder / SPEECH_FILE, speech_script(machine, export_speech_query(model)))
    else:
        clips = read_clips(release)
        if not any(clip.words or clip.title for clip in clips):
            raise ReleaseError(f"{release} has no words: give --checkpoint, or transcribe and publish again")
    page = render_search_page(f"{manifest['name']} {manifest['version']}", clips, index, runtime)
    write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"


def render_search_page(title: str, clips: Sequence[Clip], index: Index | None, runtime: str = "") -> str:
    """The page as HTML.

    Args:
        title: of the page.
        clips: in the order in which equal results are shown.
        index: of the clips' video embeddings.
        runtime: the script that runs speech.js; empty for a page that is not spoken to.
    """
    script = (_FOLDER / "search.js").read_text(encoding="utf-8")
    return render_template(
        "search.html.jinja",
        _FOLDER,
        title=title,
        num_clips=len(clips),
        has_words=any(clip.words or clip.title for clip in clips),
        has_links=any(clip.link for clip in clips),
        num_with_words=sum(bool(clip.words) for clip in clips),
        data=json.dumps([asdict(clip) for clip in clips], ensure_ascii=False).replace("<", "\\u003c"),
        index="" if index is None else _as_text(index.steps),
        scales="" if index is None else _as_text(index.scales.astype("<f4")),
        size=0 if index is None else index.steps.shape[1],
        runtime=runtime,
        runtime_digest=digest_script(runtime),
        num_results=NUM_RESULTS,
        script=script,
        script_digest=digest_script(script),
    )


def read_runtime(folder: Path) -> tuple[str, bytes]:
    """(onnxruntime-web as a script that leaves `ort` behind, its WebAssembly)

    Raises:
        ValueError: a file that is not there, or not the one of that version.
    """
    contents = []
    for name, sha256 in RUNTIME.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{folder} has no {name}: give the folder dist of the npm package onnxruntime-web 1.30.0")
        contents.append(path.read_bytes())
        if hashlib.sha256(contents[-1]).hexdigest() != sha256:
            raise ValueError(f"{path} is not that of onnxruntime-web 1.30.0: its sha256 differs")
    module = contents[0].decode().partition("//# sourceMappingURL")[0]
    # A module in a page exports to nobody.
    exports = re.search(r"export\{([^}]*)\};\s*$", module)
    assert exports is not None
    pairs = ", ".join(f"{new}: {old}" for old, new in (one.split(" as ") for one in exports[1].split(",")))
    return f"{module[: exports.start()]}globalThis.ort = {{ {pairs} }};", contents[1]


def speech_script(machine: bytes, network: bytes) -> bytes:
    """speech.js: WebAssembly and network; a page of a folder may load scripts and no other files."""
    texts = (base64.b64encode(content).decode() for content in (machine, network))
    return 'globalThis.speech = {{ machine: "{}", network: "{}" }};\n'.format(*texts).encode()


def _as_text(values: NDArray[np.int8] | NDArray[np.float32]) -> str:
    """Five characters for four bytes; "<" could end the element that holds it."""
    return base64.b85encode(values.tobytes(), pad=True).decode().replace("<", ",")
