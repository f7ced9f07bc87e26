"""Command line of the small world: `python -m demo render`, `python -m demo serve`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.usage import OnceCommand, OneLineGroup

app = typer.Typer(
    cls=OneLineGroup, add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End with one line: code 2 for what was asked wrongly, 3 for what the machine would not do."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ValueError) else 3) from error


@app.command(cls=OnceCommand)
def render(
    out: Annotated[Path, typer.Option(help="Folder of the channel.")],
    media: Annotated[Path | None, typer.Option(help="Folder with images/grocery; without it food is drawn.")] = None,
    videos: Annotated[int, typer.Option(min=1, max=500, help="Number of narrated videos.")] = 48,
    seed: Annotated[int, typer.Option(help="The same seed gives the same channel.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = max(1, os.cpu_count() or 1),
) -> None:
    """Render the channel; what is already there stays as it is.

    Example: python -m demo render --out data/demo/channel --media ../shared/media
    """
    from demo.render import render_channel  # brings speech, drawing and ffmpeg: not for `serve` and `--help`

    num_done = -1  # the catalog comes before the first video

    def show(name: str, is_new: bool) -> None:
        nonlocal num_done
        num_done += 1
        typer.echo(f"{num_done:4d}  {name}  {'made' if is_new else 'was there'}")

    try:
        with one_line_errors():
            catalog = render_channel(out, media, videos, seed, workers, show)
    except KeyboardInterrupt as error:
        typer.echo(f"stopped after {num_done}; what is finished stays: the same command goes on", err=True)
        raise typer.Exit(130) from error
    typer.echo(f"{len(catalog['items'])} items in {out / 'catalog.json'}; next: python -m demo serve --dir {out}")


@app.command(cls=OnceCommand)
def captions(
    out: Annotated[Path, typer.Option(help="Folder of the captions.")],
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder with train, val and test, each with a folder a food; without it food is drawn."),
    ] = None,
    per_food: Annotated[int, typer.Option(min=1, help="Drawings of each food for train, as many for test.")] = 8,
    language: Annotated[str, typer.Option(help="en or ja.")] = "ja",
    per_train_photo: Annotated[int, typer.Option(min=1, help="Captions for each photograph of train.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sentences and voices.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = max(1, os.cpu_count() or 1),
) -> None:
    """Speak captions of photographs or drawings, in the layout of Places Audio Captions.

    Example: python -m demo captions --out data/spoken --language en --per-food 24 --per-train-photo 3

    Example: python -m demo captions --photos ../shared/media/images/produce --out data/captions --language ja
    """
    from demo.captions import CARRIERS, draw_pictures, render_captions

    with one_line_errors():
        if language not in CARRIERS:
            raise ValueError(f"--language takes one of {sorted(CARRIERS)}, got {language!r}")
        if photos is None:
            draw_pictures(photos := out / "pictures" / language, language, per_food, seed)
        for path in render_captions(photos, out, language, per_train_photo, seed, workers):
            typer.echo(str(path))


@app.command(cls=OnceCommand)
def remove(
    dir: Annotated[Path, typer.Option(help="Folder of a rendered channel.")],
    id: Annotated[str, typer.Option(help="Of a video, or of a channel: all of its videos.")],
) -> None:
    """Take a video off the site, as its owner would; `render` brings it back.

    Example: python -m demo remove --dir data/demo/channel --id GLd3aX16zBg
    """
    from demo.removal import remove_items

    with one_line_errors():
        typer.echo(f"{remove_items(dir, id)} items removed from {dir / 'catalog.json'}")


@app.command(cls=OnceCommand)
def serve(
    dir: Annotated[Path, typer.Option(help="Folder of a rendered channel.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: the system chooses.")] = 0,
    port_file: Annotated[Path | None, typer.Option(help="Written when the site answers; holds the port.")] = None,
) -> None:
    """Serve the channel on 127.0.0.1 until SIGTERM or Ctrl-C.

    Example: python -m demo serve --dir data/demo/channel --port 8000
    """
    from demo.site import open_site, serve_until_told

    try:
        site = open_site(dir, port)
    except (ValueError, OSError) as error:
        told = f"--port {port}: {error.strerror}; --port 0 takes a free one" if isinstance(error, OSError) else error
        typer.echo(f"error: {told}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{site.url} serves {dir}; search needs DEMO_SITE={site.url}")
    serve_until_told(site, port_file)


if __name__ == "__main__":
    app(prog_name="python -m demo")
