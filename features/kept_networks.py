"""Networks converted for OpenVINO: by processes of their own, and kept for the next process of this machine."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.wheels import CHECKOUT


def keep_network(facts: list[Any], code: Path, write: Callable[[Path], object]) -> Path:
    """The folder of a network in $XDG_CACHE_HOME/curation-networks (~/.cache), whole or not at all.

    Of processes that start together one writes, and the others wait for it.

    Args:
        facts: all that makes the network; JSON-able.
        code: a folder of Python files that make it, too.
        write: puts the network into a folder.

    Raises:
        OSError: nothing can be kept there.
    """
    files = [*sorted(code.glob("*.py")), Path(__file__).with_name("tracing.py")]
    made_by = b"".join(file.read_bytes() for file in files)
    key = hashlib.sha256(json.dumps(facts).encode() + made_by).hexdigest()[:20]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curation-networks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / key).is_dir():
            new = folder / f"{key}.part"
            shutil.rmtree(new, ignore_errors=True)  # what a process left that was killed
            new.mkdir()
            try:
                write(new)
                new.rename(folder / key)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    return folder / key


def run_apart(module: str, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a module of ours that calls `end_with_parent`, in a process of its own."""
    path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    ours, held = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdin=ours,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(held)


def end_with_parent() -> None:
    """Have this process end when its standard input does: when who started it ends, however that ends."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
