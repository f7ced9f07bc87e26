"""The project as a whole: pins, container, names, deployments."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[1]
LOCKS = sorted(TOP.glob("requirements*.lock"))
FOLDERS = {"datasets", "extract", "features", "model", "flows", "demo", "tests", "benchmarks", "docs", "configs"}


def test_no_installed_package_is_called_datasets():
    assert "datasets" not in {distribution.name for distribution in importlib.metadata.distributions()}


def test_our_datasets_is_the_one_imported():
    import datasets

    assert Path(datasets.__file__).parent == TOP / "datasets"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_line_and_names_no_address(lock):
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)


def test_what_is_installed_is_what_the_lock_says():
    pinned = dict(
        line.split("==")
        for line in (TOP / "requirements.lock").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert {name: importlib.metadata.version(name) for name in pinned} == pinned


def test_the_installed_packages_agree():
    found = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_no_flow_file_is_named_like_a_folder_or_a_library():
    importable = {name.split(".")[0] for name in sys.stdlib_module_names} | FOLDERS
    importable |= {name for names in importlib.metadata.packages_distributions() for name in [names.split(".")[0]]}
    stems = {path.stem for path in (TOP / "flows").glob("*.py")} - {"__init__", "__main__"}
    assert not stems & importable


def test_the_dockerfile_is_clean():
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, TOP / "Dockerfile"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_container_does_not_run_as_root():
    users = re.findall(r"^USER (\S+)", (TOP / "Dockerfile").read_text(), re.MULTILINE)
    assert users and users[-1] not in ("root", "0")


def test_every_deployment_has_a_schedule_and_an_entrypoint_that_exists():
    from prefect.flows import Flow
    from prefect.utilities.importtools import import_object

    deployments = yaml.safe_load((TOP / "prefect.yaml").read_text())["deployments"]
    assert {deployment["name"] for deployment in deployments} >= {"curate", "featurize", "pipeline"}
    for deployment in deployments:
        assert deployment["schedules"]
        assert isinstance(import_object(deployment["entrypoint"]), Flow)


def test_fastapi_is_one_that_prefect_works_with():
    """With fastapi 0.155 and newer every flow of prefect 3.8.8 dies: Body() refuses `min_items`."""
    major, minor = importlib.metadata.version("fastapi").split(".")[:2]
    assert (int(major), int(minor)) < (0, 155)
