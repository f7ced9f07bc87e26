"""Commands that find clips of a release: search, search-page."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from datasets.outside_text import one_line
from flows.commands.shared import ConfigOption, JsonOption, SetOption, out, print_json
from flows.config import ConfigError, load_config

if TYPE_CHECKING:
    from flows.finding.clips import Found


def search(
    release: Annotated[str, typer.Argument(help="folder or URL of a release")],
    words: Annotated[str | None, typer.Argument(help="what is said in the clips, or stands in their titles")] = None,
    wav: Annotated[Path | None, typer.Option(help="a spoken description: any file with sound")] = None,
    image: Annotated[Path | None, typer.Option(help="a picture: the clips that look most like it")] = None,
    like: Annotated[str | None, typer.Option(help="a clip_id: the clips that look most like it")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="the avlnet.pth for --wav, --image, --like")] = None,
    num_results: Annotated[int, typer.Option("--num-results", "-n", min=1, max=1000, help="at most so many")] = 10,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Find clips of a release by words, speech, a picture or another clip: ids, times and links, no media.

    Example: python -m flows search data/demo/releases/1.0.0 "玉ねぎ"

    Example: python -m flows search data/demo/releases/1.0.0 --wav onion.wav --checkpoint avlnet.pth
    """
    settings = load_config(config, None, overrides)
    if sum(one is not None for one in (words, wav, image, like)) != 1:
        raise ConfigError("search takes words, --wav FILE, --image FILE or --like CLIP_ID: one of them")
    if words is not None:
        from flows.finding.clips import find_words

        found = find_words(release, words, num_results)
    else:
        if checkpoint is None:
            raise ConfigError("--wav, --image and --like need --checkpoint: an avlnet.pth of `finetune`")
        from flows.finding.embeddings import find_image, find_like, find_sound

        if wav is not None:
            found = find_sound(release, wav, checkpoint, num_results)
        elif like is not None:
            found = find_like(release, like, checkpoint, num_results)
        else:
            assert image is not None
            found = find_image(release, image, checkpoint, settings.features, num_results)
    if json:
        print_json([{**asdict(one.clip), "score": one.score} for one in found])
    else:
        _show(found)


def _show(found: list["Found"]) -> None:
    """Each result with its words below it: an id in the cell of a table would be broken, and could not be copied."""
    from datasets.wording import format_clock

    for one in found:
        clip = one.clip
        span = f"{format_clock(clip.start_ms)} to {format_clock(clip.end_ms)}"
        print(one_line(f"{one.score:.3f}  {clip.clip_id}  {span}  {clip.link or ''}".rstrip()))
        if said := clip.words or clip.title:
            out.print(Padding(Text(one_line(said, 2000)), (0, 0, 0, 7)))
    if not found:
        print("no clip is like that")
    elif not any(one.clip.link for one in found):
        print("of clips without a link: `python -m flows inspect CLIP_ID --root ROOT` names the file", file=sys.stderr)


def search_page(
    release: Annotated[str, typer.Argument(help="folder or URL of a release")],
    to: Annotated[Path, typer.Option(help="local folder for index.html")],
    checkpoint: Annotated[
        Path | None, typer.Option(help='the avlnet.pth that "more like this" looks by; without it words only')
    ] = None,
    speech: Annotated[
        Path | None,
        typer.Option(help="dist of npm's onnxruntime-web 1.30.0: the page can be spoken to"),
    ] = None,
) -> None:
    """Write one page to search a release by words, offline and without a server; and by clips that look alike.

    Example: python -m flows search-page data/demo/releases/1.0.0 --to data/search
    """
    if speech is not None and checkpoint is None:
        raise ConfigError("--speech needs --checkpoint: an avlnet.pth of `finetune`")
    from flows.finding.search_page import write_search_page

    print(write_search_page(release, to, checkpoint, speech))
