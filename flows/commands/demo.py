"""The demo: render the small channel, serve it on this machine, and run the same pipeline that production runs."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from datasets.wheels import CHECKOUT
from flows.commands.running import run_flow
from flows.commands.shared import (
    RootOption,
    SetOption,
    finish,
)
from flows.config import Config, load_config
from flows.machinery.server import reserve_server

SITE_VARIABLE = "DEMO_SITE"
NUM_VIDEOS = 48
_SITE_START_S = 60


def demo(
    root: RootOption = "data/demo",
    media: Annotated[Path | None, typer.Option(help="folder with real photographs to show")] = None,
    overrides: SetOption = None,
) -> None:
    """Render a small cooking channel, serve it here, and run the main job on it.

    Example: python -m flows demo --root data/demo
    """
    from flows.machinery.checks import check_root
    from flows.machinery.doctor import stop_for
    from flows.status import read_retrieval

    settings = load_config(CHECKOUT / "configs" / "demo.toml", root, overrides)
    stop_for([check_root(settings)])
    try:
        run_demo(settings, media)
    except subprocess.CalledProcessError as error:  # the renderer has said why
        raise typer.Exit(error.returncode) from error
    finish(settings, False, retrieval=read_retrieval(settings.root))
    print(
        f"Everything lies in {settings.root}: channel/ with its truth, media_files/, tables, checkpoints/.\n"
        f"Next: python -m flows evaluate --config configs/demo.toml --root {settings.root}"
    )


def run_demo(config: Config, photographs: Path | None) -> None:
    """Render what is not rendered and serve it, and meanwhile curate; then featurize, train and evaluate.

    Args:
        config: `configs/demo.toml`, whose source is the site's extractor.
        photographs: a folder like shared/media with real photographs; drawn food where None.

    Raises:
        RuntimeError: the site did not start.
        subprocess.CalledProcessError: rendering failed.
    """
    start = reserve_server()
    channel = Path(config.root) / "channel"
    began = time.monotonic()
    with start_rendering(channel, photographs), serve_channel(channel) as address:
        # Seconds of imports, while the first videos are rendered.
        from flows.machinery.progress import console
        from flows.report.gallery import build_gallery
        from flows.stages.pipeline import do_all, pipeline

        told = f"channel in {channel}, at {address}: the first videos are curated while the last are rendered"
        console.print(told, markup=False)
        run_flow(start, pipeline, do_all, point_at(config, address), retry=())
    build_gallery(config)
    console.print(f"demo ended after {time.monotonic() - began:.0f} s")


def point_at(config: Config, address: str) -> Config:
    """The configuration with the site's address in it, also where the site's search extractor looks for it."""
    os.environ[SITE_VARIABLE] = address
    source = config.source.model_copy(update={"watch_url": f"{address}/watch?v={{video_id}}"})
    return config.model_copy(update={"source": source})


@contextmanager
def start_rendering(channel: Path, photographs: Path | None, num_videos: int = NUM_VIDEOS) -> Iterator[None]:
    """Render the videos of the channel that are not there yet beside the block, which begins with the catalog there.

    Raises:
        subprocess.CalledProcessError: rendering failed.
    """
    command = [sys.executable, "-m", "demo", "render", "--out", str(channel), "--videos", str(num_videos)]
    command += ["--media", str(photographs)] if photographs else []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as renderer:
        try:
            assert renderer.stdout is not None
            if renderer.stdout.readline():  # the catalog is written
                yield
            if renderer.wait():
                raise subprocess.CalledProcessError(renderer.returncode, command)
        finally:
            renderer.terminate()


def render_channel(channel: Path, photographs: Path | None, num_videos: int = NUM_VIDEOS) -> None:
    """Render the videos of the channel that are not there yet, and wait for them."""
    with start_rendering(channel, photographs, num_videos):
        pass


@contextmanager
def serve_channel(channel: Path) -> Iterator[str]:
    """Serve the channel on a free port of 127.0.0.1; the address, and the end of the server with the block."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", "demo", "serve", "--dir", str(channel), "--port", "0"]
        server = subprocess.Popen([*command, "--port-file", str(port_file)], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + _SITE_START_S
            while not port_file.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    told = f"the demo's site did not start within {_SITE_START_S} s"
                    raise RuntimeError(f"{told}: run `python -m demo serve`")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{int(port_file.read_text())}"
        finally:
            server.terminate()
            server.wait()
