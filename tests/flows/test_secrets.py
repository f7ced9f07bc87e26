"""Secrets that a run is given, in fields of its configuration, a file or the environment, are in nothing it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings

from datasets.mentions import find_mentions
from tests.flows.conftest import CONFIGS, SMALL
from tests.flows.test_exposure import FIELDS

TOP = Path(__file__).parents[2]
PLANTED = {
    "cookie": "planted-cookie-4711",
    "HF_TOKEN": "hf_planted4712",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-4713",
    "key": "planted-key-4714",
}
# What this run opens, or whose values are few; `test_exposure` gives each of them a secret.
USED = {
    "root", "search.queries", "source.search_prefix", "source.extractors", "source.watch_url", "source.allowed_hosts",
    "source.ids_file", "source.folder", "source.column", "selection.language", "selection.spoken_model",
    "selection.known_lists", "download.cookies_file", "speech.weights_dir", "speech.device", "splits.pinned_from",
    "transcripts.model", "features.encoder_2d", "features.encoder_3d", "features.encoder_sound", "features.device",
    "features.weights_2d", "features.weights_3d", "features.weights_sound", "train.recipe", "train.init_checkpoint",
    "evaluate.metrics", "publish.name",
    "publish.license", "publish.license_file", "run.media_root", "run.cache_dir", "run.part", "schedules.timezone",
    "schedules.curate_daily", "schedules.regenerate", "schedules.publish", "schedules.pipeline",
    "schedules.refresh_availability", "schedules.housekeeping", "filters.rules", "experiments.youcook_japanese.rows",
    "experiments.places_japanese.rows", "experiments.places_hindi.rows",
}  # fmt: skip
FREE = [(".".join(path), is_many) for path, is_many in FIELDS if ".".join(path) not in USED]


def plant_in(name: str, is_many: bool) -> tuple[str, str]:
    """(a secret, a value with it): an address, or where people are told something, a text that names one."""
    secret = f"planted-in-{name}"
    address = f"https://user:{secret}@example.org/form?v={{video_id}}&api_key={secret}"
    value = f"write to {address} please" if name in ("publish.contact", "publish.authors") else address
    return secret, json.dumps([value] if is_many else value)


def test_every_field_is_planted_or_used():
    assert {".".join(path) for path, _ in FIELDS} >= USED and len(FREE) > 20
    assert {"publish.contact", "publish.authors", "schedules.publish_to", "train.wandb_project"} <= {
        name for name, _ in FREE
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planted_secrets_are_nowhere_in_what_a_run_leaves(tmp_path, small_config, prefect_server):
    cookies = tmp_path / "cookies.txt"
    line = "\t".join(["127.0.0.1", "FALSE", "/", "FALSE", "0", "session", PLANTED["cookie"]])
    cookies.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    root, logs = tmp_path / "root", tmp_path / "log.txt"
    watch_url = f"{small_config.source.watch_url}&key={PLANTED['key']}"
    planted = {name: plant_in(name, is_many) for name, is_many in FREE}
    overrides = [
        *SMALL,
        "features.encoder_3d=none",
        f"download.cookies_file={cookies}",
        f"source.watch_url={watch_url}",
    ]
    overrides += [f"{name}={value}" for name, (_, value) in planted.items()]
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
    environment |= {name: value for name, value in PLANTED.items() if name.isupper()}
    for command in ("curate", "featurize", "publish", "report"):
        words = [sys.executable, "-m", "flows", command, f"--config={CONFIGS / 'demo.toml'}", f"--root={root}"]
        with logs.open("ab") as log:
            run = subprocess.run(
                [*words, *(f"--set={value}" for value in overrides)], cwd=TOP, env=environment, stdout=log, stderr=log
            )
        assert run.returncode == 0, logs.read_text()[-2000:]
    assert find_mentions(root, [cookies.name]).named, "the run did not even record that it had cookies"
    assert find_mentions(root, ["example.org/form"]).named, "no release or record has any of the fields"
    secrets = [*PLANTED.values(), *(secret for secret, _ in planted.values())]
    assert find_mentions(root, secrets).named == ()
    database = get_current_settings().server.database.connection_url.get_secret_value().partition(":///")[2]
    for rows in Path(database).parent.glob(f"{Path(database).name}*"):
        assert find_mentions(rows, secrets).named == (), "Prefect's records"
    assert [secret for secret in secrets if secret in logs.read_text()] == []
