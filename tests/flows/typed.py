"""`curate` and `featurize` as a person types them: processes of their own, with the Prefect server that each starts."""

import os
import subprocess
import sys
from pathlib import Path

from datasets.tables import table_digest
from flows.config import Config
from tests.flows.conftest import CONFIGS, SMALL

TOP = Path(__file__).parents[2]
TABLES = ("discoveries", "videos", "media", "segments", "clips", "splits", "features_2d", "log_mel")
"""What the two commands fill. `small_root` has them with 3D features beside, which cost most and are left out here."""


def typed(name: str, root: Path, config: Config, *sets: str) -> list[str]:
    """The words of a command over a small root."""
    overrides = (*SMALL, "features.encoder_3d=none", f"source.watch_url={config.source.watch_url}", *sets)
    command = [sys.executable, "-m", "flows", name, f"--config={CONFIGS / 'demo.toml'}", f"--root={root}"]
    return [*command, *(f"--set={value}" for value in overrides)]


def own_environment(home: Path, changes: dict[str, str | None] | None = None) -> dict[str, str]:
    """This process's environment without its Prefect server; `home` is Prefect's folder, None drops a variable."""
    changed = {**os.environ, "PREFECT_API_URL": None, "PREFECT_HOME": str(home), **(changes or {})}
    return {name: value for name, value in changed.items() if value is not None}


def run_typed(command: list[str], home: Path, changes: dict[str, str | None] | None = None, **options):
    """A command's end, what it printed and what it said, with no terminal anywhere."""
    return subprocess.run(
        command, cwd=TOP, env=own_environment(home, changes), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, start_new_session=True, **options,
    )  # fmt: skip


def error_lines(log: str) -> list[str]:
    """What a person is told of what went wrong."""
    return [line for line in log.splitlines() if line.startswith("error: ")]


def differing(root: Path, other: str) -> list[str]:
    """Tables whose digests differ; and temporary files."""
    tables = [name for name in TABLES if table_digest(root, name) != table_digest(other, name)]
    return tables + [str(path) for end in ("tmp", "part") for path in root.rglob(f"*.{end}")]
