"""The project as a whole: pins, container, names, deployments."""

import ast
import getpass
import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

TOP = Path(__file__).parents[1]
LOCKS = sorted(TOP.glob("requirements*.lock"))
GROUPS = ("demo", "cluster", "s3", "sign", "search", "export", "duplicates", "transformers", "whisper", "credentials")
CODE = ("datasets", "extract", "features", "model", "flows")
FOLDERS = {*CODE, "demo", "tests", "benchmarks", "docs", "configs"}


def test_no_installed_package_is_called_datasets():
    assert "datasets" not in {distribution.name for distribution in importlib.metadata.distributions()}


def test_our_datasets_is_the_one_imported():
    import datasets

    assert Path(datasets.__file__).parent == TOP / "datasets"


def read_pins(*groups):
    """{name: version} of the locks of some groups; "" is the runtime."""
    locks = [TOP / f"requirements-{group}.lock".replace("-.", ".") for group in groups]
    return dict(pin for lock in locks for pin in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def declared(*groups):
    """Names of the packages that pyproject.toml asks for, for the runtime ("") or for groups."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {re.match(r"[\w-]+", one)[0].lower() for group in groups for one in lists[group]}


def imported(*folders, everywhere=True):
    """{package: the file that imports it}; not everywhere: only what importing our modules imports."""
    found = {}
    for path in (path for folder in folders for path in (TOP / folder).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree) if everywhere else tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.partition(".")[0]: path for name in names}
    ours = {path.stem for path in TOP.rglob("tests/**/*.py")} | FOLDERS | sys.stdlib_module_names
    packages = {**importlib.metadata.packages_distributions(), "inaSpeechSegmenter": ["inaspeechsegmenter"]}
    return {
        normalised(packages[name][0] if name in packages else name): path
        for name, path in found.items()
        if name not in ours
    }


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_declared():
    assert set(imported(*CODE)) <= declared("", *GROUPS, "library-engine")
    assert set(imported("demo")) <= declared("", "demo")
    authors = {"loss"}  # of their own checkout: benchmarks/six_steps.py
    assert set(imported("tests", "benchmarks", ".ci")) - authors <= declared("", *GROUPS, "dev")


def test_what_is_declared_is_imported():
    by_others = {"deno", "tensorboard", "s3fs"}  # yt-dlp, Lightning and fsspec use them
    assert declared("", "cluster", "s3", "demo") - set(imported(*CODE, "demo", "tests")) <= by_others


def test_the_application_imports_with_its_runtime_alone():
    assert set(imported(*CODE, everywhere=False)) <= declared("")


@pytest.mark.slow  # it imports everything
def test_every_module_imports_where_no_group_is_installed(tmp_path):
    for name in read_pins(""):
        found = importlib.metadata.distribution(name)
        for entry in {file.parts[0] for file in found.files if file.parts[0] != ".."}:
            (tmp_path / entry).unlink(missing_ok=True)
            (tmp_path / entry).symlink_to(found.locate_file(entry))
    program = f"""
import importlib, pkgutil
for top in {CODE}:
    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, top + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
assert importlib.util.find_spec("pytest") is None and importlib.util.find_spec("triton") is None
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-S", "-c", program]  # without the folder of packages of this environment
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow  # it imports everything
def test_all_below_flows_imports_where_prefect_openvino_and_the_ffmpeg_program_are_not(tmp_path):
    program = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(["prefect", "openvino", "imageio_ffmpeg"]))
for top in {[folder for folder in CODE if folder != "flows"]}:
    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, top + "."):
        if module.name != "extract.speech.library":  # a program of another environment
            importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=TOP)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_with_hashes_and_names_no_address(lock):
    sha256 = r" \\\n    --hash=sha256:[0-9a-f]{64}"
    assert re.fullmatch(rf"(#[^\n]*\n)+([a-z0-9-]+==[A-Za-z0-9.+!]+({sha256})+\n)+", lock.read_text())


def test_the_groups_agree_on_every_package_and_repeat_none_of_the_runtime():
    runtime, dev = read_pins(""), read_pins("dev")
    others = [read_pins(group) for group in ("gpu", *GROUPS)]
    assert not [pins.keys() & runtime.keys() for pins in [*others, dev] if pins.keys() & runtime.keys()]
    assert not any(pins.keys() & dev.keys() for pins in others)
    for one, other in itertools.combinations(others, 2):
        assert all(one[name] == other[name] for name in one.keys() & other.keys())


def test_the_locks_hold_what_is_declared_and_its_constraints():
    for group in ("", "gpu", *GROUPS, "dev", "audit"):
        assert declared(group) <= set(read_pins(group, "", "s3")), group
    pins = read_pins("")
    constraints = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    for requirement in map(Requirement, constraints):
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_what_makes_every_import_of_prefect_slow_is_in_no_environment_that_has_it():
    assert "rfc3987-syntax" not in read_pins("", "gpu", *GROUPS, "dev")


def test_what_tells_openvinos_maker_of_each_use_is_in_no_environment():
    assert "openvino-telemetry" not in read_pins("", "gpu", *GROUPS, "dev", "audit", "tensorflow", "readers")


LOADED = """
import importlib, sys
from pathlib import Path
from flows.exporting.cuts import write_cuts
write_cuts(Path(), Path(), {})
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def load_apart(folder, names):
    """Files that libraries leave in the user's home and in the temporary folder when they are loaded after our code."""
    home, temporary = folder / "home", folder / "temporary"
    home.mkdir()
    temporary.mkdir()
    # The last is set by torch itself, for all that a process starts.
    switches = ("DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in switches}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
    environment |= {"PREFECT_HOME": str(folder / "prefect"), "MPLCONFIGDIR": str(folder / "of the tests' own")}
    command = [sys.executable, "-W", "ignore", "-c", LOADED, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return [path.relative_to(folder).as_posix() for path in (*home.iterdir(), *temporary.iterdir())]


def test_what_tells_its_maker_of_each_use_is_silent_and_numbers_no_machine(tmp_path):
    assert load_apart(tmp_path, ["onnxruntime", "faster_whisper", "lhotse"]) == []


@pytest.mark.slow  # it imports everything
def test_no_library_that_we_use_leaves_anything_at_home_when_it_is_loaded(tmp_path):
    wanted = declared("", *GROUPS)
    packages = importlib.metadata.packages_distributions().items()
    names = [name for name, (found, *_) in packages if normalised(found) in wanted and re.fullmatch(r"[a-z]\w*", name)]
    assert len(names) > 40
    assert load_apart(tmp_path, sorted(names)) == [f"temporary/torchinductor_{getpass.getuser()}"]  # empty, and torch's


def test_every_prefect_server_that_we_name_is_started_without_telling_its_makers():
    pages = [TOP / "README.md", TOP / "compose.yaml", *(TOP / "docs").glob("*.md"), *(TOP / "deploy").iterdir()]
    for path in [*pages, *(TOP / "flows").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        for start in re.finditer(r"prefect(\", \"| )server(\", \"| )start", text):
            near = text[max(start.start() - 250, 0) : start.end() + 500 * ("," in start[0])]
            assert "PREFECT_SERVER_ANALYTICS_ENABLED" in near, f"{path.name}: {start[0]}"


def test_every_ray_cluster_that_we_name_is_started_without_telling_its_makers():
    pages = [path.read_text(encoding="utf-8") for path in (*(TOP / "docs").glob("*.md"), *(TOP / "deploy").iterdir())]
    starts = [text for text in pages if "ray start" in text]
    assert len(starts) == 2
    assert all("RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=none" in text for text in starts)


def test_every_environment_is_installed_by_hash():
    recipes = ((TOP / "Makefile").read_text() + (TOP / "Dockerfile").read_text()).replace("\\\n", " ")
    installed = [line for line in recipes.splitlines() if re.search(r"\b(pip|uv) (install|sync)\b", line)]
    commands = [part for line in installed for part in re.split(r"&&|\|\|", line)]
    assert len(commands) == 5
    assert all("--require-hashes" in one and ("pip sync" in one or "--no-deps" in one) for one in commands)


def test_what_is_installed_is_what_the_locks_say():
    pinned = read_pins("", *GROUPS, "dev")
    assert {name: importlib.metadata.version(name) for name in pinned} == pinned


def test_the_installed_packages_agree():
    uv = Path(sys.executable).with_name("uv")
    found = subprocess.run(
        [uv, "pip", "check", "--python", sys.executable], capture_output=True, text=True, check=False
    )
    complaints = [line for line in found.stderr.splitlines() if line.startswith("The package")]
    left_out = re.compile(r"`torch` requires `(triton|cuda-bindings)\b|`openvino` requires `openvino-telemetry\b")
    assert all(map(left_out.search, complaints)), complaints
    assert found.returncode == 0 or complaints, found.stderr


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


def test_each_package_that_an_installation_may_lack_is_brought_by_a_make_target():
    from flows.commands.shared import _BROUGHT_BY

    modules = importlib.metadata.packages_distributions()
    assert {normalised(modules[name][0]) for name in _BROUGHT_BY} == declared(
        "demo", "cluster", "s3", "search", "export"
    )
    targets = re.findall(r"^([\w-]+):", (TOP / "Makefile").read_text(), re.MULTILINE)
    assert set(_BROUGHT_BY.values()) <= set(targets)
