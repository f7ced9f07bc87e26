"""One page to search a release by, which works from a folder without a server or the web."""

import base64
import json
from dataclasses import asdict
from pathlib import Path

from datasets.files import write_bytes
from datasets.releases.layout import read_manifest
from datasets.releases.shards import ReleaseError
from flows.finding.clips import read_clips
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
    manifest, index, size = read_manifest(release), "", 0
    if checkpoint is not None:
        # Loads torch.
        from flows.finding.embeddings import embed_release, quantise

        clips, _, embeddings = embed_release(release, checkpoint)
        size = embeddings.shape[1]
        # Five characters for four bytes; "<" could end the element that holds it.
        index = base64.b85encode(quantise(embeddings).tobytes(), pad=True).decode().replace("<", ",")
    else:
        clips = read_clips(release)
    if not index and not any(clip.words or clip.title for clip in clips):
        raise ReleaseError(f"{release} has no words: give --checkpoint, or transcribe and publish again")
    script = (_FOLDER / "search.js").read_text(encoding="utf-8")
    page = render_template(
        "search.html.jinja",
        _FOLDER,
        title=f"{manifest['name']} {manifest['version']}",
        num_clips=len(clips),
        num_with_words=sum(bool(clip.words) for clip in clips),
        data=json.dumps([asdict(clip) for clip in clips], ensure_ascii=False).replace("<", "\\u003c"),
        index=index,
        size=size,
        num_results=NUM_RESULTS,
        script=script,
        script_digest=digest_script(script),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"
