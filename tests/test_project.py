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


def read_pins(lock):
    """{name: version} of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_with_hashes_and_names_no_address(lock):
    comments, _, pins = lock.read_text().partition("\nabsl-py==")
    assert all(line.startswith("#") for line in comments.splitlines())
    sha256 = r" \\\n    --hash=sha256:[0-9a-f]{64}"
    assert re.fullmatch(rf"([a-z0-9-]+==[A-Za-z0-9.+!]+({sha256})+\n)+", f"absl-py=={pins}")


def test_every_environment_is_installed_by_hash():
    installed = re.findall(r"pip install .*", (TOP / "Makefile").read_text() + (TOP / "Dockerfile").read_text())
    assert len(installed) == len(LOCKS) + 1
    assert all("--no-deps --require-hashes --requirement requirements" in command for command in installed)


def test_what_is_installed_is_what_the_lock_says():
    pinned = read_pins(TOP / "requirements.lock")
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


def test_the_work_pools_deployments_are_those_that_serve_registers():
    from prefect.utilities.importtools import import_object

    from flows.config import Config
    from flows.scheduled.deployments import DEPLOYMENTS

    schedules = Config().schedules
    deployments = {d["name"]: d for d in yaml.safe_load((TOP / "prefect.yaml").read_text())["deployments"]}
    assert set(deployments) == set(DEPLOYMENTS)
    for name, deployment in deployments.items():
        assert import_object(deployment["entrypoint"]) is DEPLOYMENTS[name]
        when = getattr(schedules, name.replace("-", "_"))
        assert deployment["schedules"] == ([{"cron": when, "timezone": schedules.timezone}] if when else [])
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_the_work_pools_configuration_is_that_of_the_file():
    from flows.config import Config, load_config
    from flows.scheduled.deployments import keep_splits

    deployments = yaml.safe_load((TOP / "prefect.yaml").read_text())["deployments"]
    served = keep_splits(load_config(TOP / "configs" / "youcook_japanese.toml"))
    config = served.model_dump(exclude={"experiments", "root"})
    for deployment in deployments:
        found = Config.model_validate(deployment["parameters"]["config"])
        assert found.model_dump(exclude={"experiments", "root"}) == config, deployment["name"]


def test_the_composed_services_are_watched_pinned_and_only_for_this_machine():
    services = yaml.safe_load((TOP / "compose.yaml").read_text())["services"]
    assert set(services) == {"database", "server", "worker", "site"}
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert "build" in service or re.search(r":\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services and how == {"condition": "service_healthy"}


def test_the_composed_worker_serves_with_options_that_exist():
    from flows.commands.operating import serve
    from flows.config import load_config

    command = yaml.safe_load((TOP / "compose.yaml").read_text())["services"]["worker"]["command"]
    filled = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", word) for word in command]
    options = dict(zip(filled[1::2], filled[2::2], strict=True))
    assert filled[0] == serve.__name__
    assert load_config(TOP / options["--config"], None, (options["--set"],)).schedules.site == "http://127.0.0.1:8080"


def test_sqlalchemy_is_one_that_prefect_schedules_with():
    """With sqlalchemy 2.1 the scheduler of prefect 3.8.8 inserts no run ("Can't evaluate bulk DML statement")."""
    major, minor = importlib.metadata.version("sqlalchemy").split(".")[:2]
    assert (int(major), int(minor)) < (2, 1)


def test_fastapi_is_one_that_prefect_works_with():
    """With fastapi 0.155 and newer every flow of prefect 3.8.8 dies: Body() refuses `min_items`."""
    major, minor = importlib.metadata.version("fastapi").split(".")[:2]
    assert (int(major), int(minor)) < (0, 155)
