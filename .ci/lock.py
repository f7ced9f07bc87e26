"""Write the lock files anew: make lock.

Versions stay as the locks have them: to change one, edit its pin; to get the newest, delete the package's lines. Each
package stands with the sha256 of every file that the public index has of it. The comments on top of a lock are kept.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

TOP = Path(__file__).parents[1]
Lock = dict[str, str]
"""{name: the lines of a package}."""
GROUPS = ("demo", "cluster", "s3", "sign", "search", "export", "duplicates", "transformers", "whisper", "credentials")
"""What may be added to the runtime."""


def path_of(group: str) -> Path:
    """The lock of a group; that of the runtime has no group in its name."""
    return TOP / ("requirements.lock" if group == "runtime" else f"requirements-{group}.lock")


def read_pins(*groups: str) -> list[str]:
    """NAME==VERSION of what these groups' locks hold now."""
    locks = [path_of(group) for group in groups if path_of(group).is_file()]
    return [pin for lock in locks for pin in re.findall(r"^[\w.-]+==\S+", lock.read_text("utf-8"), re.MULTILINE)]


def resolve(requirements: Iterable[str], kept: list[str], *options: str) -> Lock:
    """Requirements and all that they need, at the kept versions where there are such."""
    uv = Path(sys.executable).with_name("uv")
    # No word about this machine may come into a lock: neither its registry nor the command line with its paths.
    silent = ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(kept))
        constraints.flush()
        command = [uv, "pip", "compile", *silent, "--generate-hashes", "--python-version", "3.11", *options]
        answer = subprocess.run(
            [*command, "--constraint", constraints.name, "-"],
            input="\n".join(requirements),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=TOP,  # where pyproject.toml has the constraints of tool.uv
        )
    return {block.partition("==")[0]: block for block in re.split(r"\n(?=\S)", answer.stdout.strip())}


def write(group: str, lock: Lock, *without: Lock) -> Lock:
    """Replace the packages of a lock by those that the groups it is added to do not have."""
    own = {name: lines for name, lines in lock.items() if not any(name in other for other in without)}
    path = path_of(group)
    comments = "".join(re.findall(r"^#.*\n", path.read_text("utf-8"), re.MULTILINE))
    path.write_text(comments + "".join(f"{own[name]}\n" for name in sorted(own)), "utf-8")
    print(f"{path.name}: {len(own)} packages")
    return own


def main() -> None:
    """Resolve the application's groups over one set of pins, and each environment of its own over its own."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"]
    pins = read_pins("runtime", "gpu", *GROUPS, "dev")
    gpu = write("gpu", resolve(extras["gpu"], pins))
    runtime = write("runtime", resolve(needed, pins), gpu)
    added = [write(group, resolve([*needed, *extras[group]], pins), runtime, gpu) for group in GROUPS]
    everything = [*needed, *(one for group in (*GROUPS, "dev") for one in extras[group])]
    write("dev", resolve(everything, pins), runtime, gpu, *added)
    write("audit", resolve(extras["audit"], read_pins("audit")))
    write("uv", resolve(["uv"], read_pins("uv")))
    for group in ("tensorflow", "readers"):  # complete lists, kept by hand: their packages ask for more than is needed
        write(group, resolve(read_pins(group), [], "--no-deps"))


if __name__ == "__main__":
    main()
