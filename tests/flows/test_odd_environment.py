"""Features are the same wherever and however they are computed; a machine that is too small says so."""

import json
import os
import resource
import shutil
import subprocess
import sys

import pytest

from tests.flows.test_featurize_killed import TOP, prepared

__all__ = ["prepared"]  # the fixture: a root of six clips

ENVIRONMENTS = {
    "another time zone": {"TZ": "Pacific/Kiritimati"},
    "another hash seed": {"PYTHONHASHSEED": "4711"},
    "locale C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"},
    "no HOME": {"HOME": None},
    "64 open files": {},
    "a path with spaces and Japanese": {},
}


def featurize(prepared, environment, limits=None):
    """Digests of the features of a root, computed in a process of its own."""
    env = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    command = [sys.executable, "-m", "tests.flows.featurize_and_die", str(prepared.parent), "0"]
    done = subprocess.run(command, cwd=TOP, env=env, capture_output=True, text=True, check=False, preexec_fn=limits)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((prepared.parent / "digests.json").read_text())["expected"]


@pytest.mark.slow
def test_features_are_the_same_in_every_environment(prepared, tmp_path):
    expected = featurize(prepared, {})
    for name, environment in ENVIRONMENTS.items():
        folder = tmp_path / ("肉じゃが と 味噌汁" if "Japanese" in name else name.replace(" ", "-"))
        shutil.copytree(prepared, folder / "prepared")
        limits = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))) if "files" in name else None
        assert featurize(folder / "prepared", environment, limits) == expected, name
