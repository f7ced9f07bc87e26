"""Commands about releases: publish, verify, regenerate, takedown, am-i-in."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from datasets.releases.settings import ExportFormat
from flows.commands.running import run_flow
from flows.commands.shared import (
    ConfigOption,
    ExitCode,
    JsonOption,
    RetryOption,
    RootOption,
    SetOption,
    finish,
    read_retry,
    refuse_mistyped,
    show,
)
from flows.config import ConfigError, load_config
from flows.machinery.server import reserve_server


def publish(
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    to: Annotated[
        list[str] | None, typer.Option(help="a folder, s3://BUCKET/PREFIX or hf://datasets/OWNER/NAME; may be repeated")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="train and evaluate on releases without figures")] = False,
    form: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="also make this of the release, under ROOT/exports; --to then sends it instead"),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(help="file of a secret key of minisign; its password in MINISIGN_PASSWORD")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the difference to the last release")] = False,
    json: JsonOption = False,
) -> None:
    """Build the next release under ROOT/releases if anything changed, verify it, and send it to the destinations.

    Example: python -m flows publish --config configs/demo.toml --root data/demo --dry-run

    Example: python -m flows publish --config configs/demo.toml --root data/demo --to data/published

    Example: python -m flows publish --config configs/demo.toml --root data/demo --format webdataset --to data/shards
    """
    settings = load_config(config, root, overrides)
    refuse_mistyped(settings)
    from flows.machinery.doctor import require

    # The doctor looks at what is sent to; here that is what --to says, not what the schedule says.
    schedules = settings.schedules.model_copy(update={"publish_to": tuple(to or ())})
    require("publish-when-enough", settings.model_copy(update={"schedules": schedules}), is_served=False)
    start = None if dry_run else reserve_server()
    from datasets.releases.exports import export_path
    from datasets.releases.signatures import read_secret_key
    from flows.stages.publish import exports_of, preview, publish_root
    from flows.stages.publish import publish as publish_flow

    if dry_run:
        if sign is not None:
            read_secret_key(sign, os.environ.get("MINISIGN_PASSWORD"))
        show({"release": preview(settings, tuple(to or ()), form)}, json)
        return
    version = run_flow(start, publish_flow, publish_root, settings, measure, tuple(to or ()), sign, form)
    print(f"release {version}: {settings.root}/releases/{version}")
    for made in exports_of(settings, form):
        print(f"{made}: {export_path(settings.root, made, version)}")


def verify(
    place: Annotated[str, typer.Argument(help="a release or an export, ours or a downloaded copy, or a dataset root")],
    key: Annotated[
        str | None, typer.Option(help="public key of minisign, a file or its line: what is checked must be signed so")
    ] = None,
) -> None:
    """Check a release byte by byte and row by row; or a root: its splits from the tables alone, and all its releases.

    Of an export: its bytes, the numbers of its clips, that no video is in two splits, and what was taken down.

    Example: python -m flows verify data/demo

    Example: python -m flows verify data/demo/releases/1.0.0 --key minisign.pub
    """
    from datasets.files import read_json
    from datasets.releases.exports import is_export
    from datasets.releases.layout import LATEST_FILE
    from datasets.releases.signatures import read_public_key
    from datasets.releases.verify import is_release, verify_place
    from flows.machinery.roots import check_has_tables

    public = read_public_key(key) if key is not None else None
    if not is_release(place) and not is_export(place) and read_json(f"{place}/{LATEST_FILE}") is None:
        check_has_tables(place)
    problems = verify_place(place, public)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(ExitCode.STOPPED)
    print(f"{place}: everything is what the certificate and the sums say")


def regenerate(
    lists: Annotated[
        list[str], typer.Argument(help="a release's folder, .csv, .json or .pkl; SPLIT=FILE where it names no split")
    ],
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    retry: RetryOption = "",
    json: JsonOption = False,
) -> None:
    """Fetch exactly the videos of a release or a foreign clip list, and cut exactly its clips, in its splits.

    A release, of which manifest.json and data/metadata are enough, is made anew to its last shard, by its own settings
    of media, features and shards where --config and --set name no others.

    Example: python -m flows regenerate downloads/1.0.0 --root data/again

    Example: python -m flows regenerate val=youcook_japanese_val.pkl test=youcook_japanese_eval.pkl --root data/authors
    """
    load_config(config, root, overrides)  # so that what is wrong with it is told before Prefect is loaded
    reasons = read_retry(retry)
    start = reserve_server()
    from flows.stages.regenerate import find_release, read_release_settings, regenerate_root
    from flows.stages.regenerate import regenerate as regenerate_flow

    release = find_release(lists)
    beneath = read_release_settings(release) if release is not None else None
    settings = load_config(config, root, overrides, beneath=beneath)
    run_flow(start, regenerate_flow, regenerate_root, settings, tuple(lists), retry=reasons)
    finish(settings, json)


def takedown(
    why: Annotated[str, typer.Option(help="the reason, for people; without the id")],
    video: Annotated[str | None, typer.Option(help="id of a video, or its watch address")] = None,
    channel: Annotated[str | None, typer.Option(help="id of a channel: all of its videos")] = None,
    config: ConfigOption = None,
    root: RootOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Take a video or a channel out of a root, of its releases too, and never fetch it again.

    Example: python -m flows takedown --root data/demo --video GLd3aX16zBg --why "the owner asked"
    """
    from pydantic import SecretStr

    from datasets.tombstones import Kind, check_why

    settings = load_config(config, root, overrides)
    if (video is None) == (channel is None):
        raise ConfigError("give either --video ID or --channel ID")
    if video is not None:
        video = _read_video_id(video)
    check_why(why, [video or channel or ""])  # before Prefect keeps it as a parameter
    refuse_mistyped(settings)
    start = reserve_server()
    from flows.stages.takedown import check_is_known, describe_takedown, take_down
    from flows.stages.takedown import takedown as takedown_flow

    kind: Kind = "video" if video else "channel"
    check_is_known(settings.root, kind, video or channel or "")
    secret = SecretStr(video or channel or "")
    found = run_flow(start, takedown_flow, take_down, settings, kind, secret, why)
    show({"takedown": describe_takedown(found)}, json)
    if found.left:
        raise typer.Exit(ExitCode.STOPPED)


def _read_video_id(text: str) -> str:
    """The id that an owner means; what is none is an error, as "no" would be believed."""
    from datasets.ids import check_video_id
    from extract.sources import video_id_of

    return check_video_id(video_id_of(text.strip()) or text.strip())


def am_i_in(
    release: Annotated[str, typer.Argument(help="folder or URL of a release")],
    video: Annotated[str, typer.Option(help="id of a video, or its watch address")],
) -> None:
    """Say whether a release holds clips of a video.

    Example: python -m flows am-i-in data/demo/releases/1.0.0 --video GLd3aX16zBg
    """
    from datasets.releases.layout import find_video, read_shards
    from datasets.suggestions import did_you_mean

    video = _read_video_id(video)
    clips, was_removed = find_video(release, video)
    meant = did_you_mean(video, read_shards(release, columns=["video_id"])["video_id"].unique().to_pylist())
    for clip in clips:
        print(f"{clip['clip_id']}: {clip['split']}, {clip['start_ms']} to {clip['end_ms']} ms")
    if clips:
        print(f"yes: {len(clips)} clips; to have them removed, see RESPONSIBLE_USE.md of the release")
    else:
        print("no: it was removed" if was_removed else f"no{meant}")
