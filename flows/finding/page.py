"""One page to search a release by, which works from a folder without a server or the web."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.files import write_bytes
from datasets.releases.layout import read_manifest
from datasets.releases.shards import ReleaseError
from flows.finding.clips import Clip, read_clips
from flows.report.page import digest_script, render_template

_FOLDER = Path(__file__).parent
NUM_RESULTS = 10


def write_search_page(release: str, folder: Path, checkpoint: Path | None = None) -> Path:
    """Write FOLDER/index.html: ids, times, words and links of every clip, and no media.

    Args:
        release: folder or URL.
        folder: made if it is not there.
        checkpoint: of AVLnet, for clips that look alike: their video embeddings go into the page, a byte a number.

    Raises:
        ReleaseError: a release with nothing to search by.
    """
    manifest, index = read_manifest(release), None
    if checkpoint is not None:
        # Loads torch.
        from flows.finding.embeddings import embed_release, quantise

        clips, _, embeddings = embed_release(release, checkpoint)
        index = quantise(embeddings)
    else:
        clips = read_clips(release)
        if not any(clip.words or clip.title for clip in clips):
            raise ReleaseError(f"{release} has no words: give --checkpoint, or transcribe and publish again")
    page = render_search_page(f"{manifest['name']} {manifest['version']}", clips, index)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"


def render_search_page(title: str, clips: Sequence[Clip], index: NDArray[np.int8] | None) -> str:
    """The page as HTML.

    Args:
        title: of the page.
        clips: in the order in which equal results are shown.
        index: [N, D] quantised video embeddings of the clips.
    """
    script = (_FOLDER / "search.js").read_text(encoding="utf-8")
    # Five characters for four bytes; "<" could end the element that holds it.
    text = "" if index is None else base64.b85encode(index.tobytes(), pad=True).decode().replace("<", ",")
    return render_template(
        "search.html.jinja",
        _FOLDER,
        title=title,
        num_clips=len(clips),
        num_with_words=sum(bool(clip.words) for clip in clips),
        data=json.dumps([asdict(clip) for clip in clips], ensure_ascii=False).replace("<", "\\u003c"),
        index=text,
        size=0 if index is None else index.shape[1],
        num_results=NUM_RESULTS,
        script=script,
        script_digest=digest_script(script),
    )
