"""Cookies and tokens that a run is given are in none of its tables, files and logs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings

from datasets.mentions import Mentions, find_mentions
from tests.flows.conftest import CONFIGS, SMALL

TOP = Path(__file__).parents[2]
PLANTED = {
    "cookie": "planted-cookie-4711",
    "HF_TOKEN": "hf_planted4712",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-4713",
    "key": "planted-key-4714",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planted_secrets_are_nowhere_in_what_a_run_leaves(tmp_path, small_config, prefect_server):
    cookies = tmp_path / "cookies.txt"
    line = "\t".join(["127.0.0.1", "FALSE", "/", "FALSE", "0", "session", PLANTED["cookie"]])
    cookies.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    root, logs = tmp_path / "root", tmp_path / "log.txt"
    watch_url = f"{small_config.source.watch_url}&key={PLANTED['key']}"
    overrides = (*SMALL, f"download.cookies_file={cookies}", f"source.watch_url={watch_url}")
    command = [sys.executable, "-m", "flows", "curate", "--config", str(CONFIGS / "demo.toml"), "--root", str(root)]
    secrets = {name: value for name, value in PLANTED.items() if name.isupper()}
    environment = {**os.environ, **secrets, "PREFECT_API_URL": PREFECT_API_URL.value()}
    with logs.open("wb") as log:
        run = subprocess.run(
            [*command, *(f"--set={value}" for value in overrides)], cwd=TOP, env=environment, stdout=log, stderr=log
        )
    assert run.returncode == 0, logs.read_text()[-2000:]
    assert find_mentions(root, [cookies.name]).named, "the run did not even record that it had cookies"
    assert find_mentions(root, list(PLANTED.values())) == Mentions((), ())
    database = get_current_settings().server.database.connection_url.get_secret_value().partition(":///")[2]
    for rows in Path(database).parent.glob(f"{Path(database).name}*"):
        assert find_mentions(rows, list(PLANTED.values())).named == (), "Prefect's records"
    assert not any(secret in logs.read_text() for secret in PLANTED.values())
