"""What whoever reaches Prefect's server, or reads what a run keeps, can do and see."""

import json
import re
import subprocess
import time
from datetime import date
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from datasets.releases.build import build_release
from datasets.releases.layout import read_shards, release_path
from datasets.releases.settings import PublishSettings
from datasets.releases.verify import verify_release
from datasets.settings import Settings, without_secrets
from datasets.tables import read_table, write_part
from flows.config import Config, ConfigError, load_config
from flows.machinery import prepare
from tests.small_tables import FACTS, RUN, make_root

TOP = Path(__file__).parents[2]
SECRET = "planted-4711"
WATCH_URL = f"https://user:{SECRET}@example.org/watch?v={{video_id}}&hl=ja&api_key={SECRET}&access_token={SECRET}"
TEXTS = [path for kind in ("*.md", "*.yaml", "*.toml", "*.py", "Dockerfile", "Makefile", "*.service")
         for path in TOP.rglob(kind) if not {".venv", "tests", "weights"} & {*path.parts}]  # fmt: skip


def test_an_address_is_kept_without_what_opens_a_door():
    assert without_secrets(WATCH_URL) == "https://example.org/watch?v={video_id}&hl=ja"
    assert without_secrets(f"at {WATCH_URL} or here") == "at https://example.org/watch?v={video_id}&hl=ja or here"
    for plain in ("https://www.youtube.com/watch?v={video_id}", "data/root", "s3://bucket/root", "肉じゃが: key=1"):
        assert without_secrets(plain) == plain


def test_a_configuration_uses_its_secrets_and_keeps_none():
    config = Config(source={"watch_url": WATCH_URL})
    assert config.source.watch_url == WATCH_URL
    assert SECRET not in json.dumps(config.model_dump(mode="json"))
    assert Config(**config.model_dump(mode="json")).source.watch_url == without_secrets(WATCH_URL)


def fields_of(model, *stages):
    """(path, whether it holds many) of the fields of a configuration that may hold an address, from the models."""
    for name, field in model.model_fields.items():
        kinds = str(field.annotation)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from fields_of(field.annotation, *stages, name)
        elif "str" in kinds or "Path" in kinds:
            yield (*stages, name), "tuple[" in kinds


FIELDS = list(fields_of(Config))


@pytest.mark.parametrize(("path", "is_many"), FIELDS, ids=[".".join(path) for path, _ in FIELDS])
def test_no_field_of_a_configuration_keeps_a_secret_that_it_is_given(path, is_many):
    values = value = [WATCH_URL] if is_many else WATCH_URL
    for name in reversed(path):
        values = {name: values}
    try:
        config = Config.model_validate(values)
    except ValidationError:
        with pytest.raises(ConfigError) as refused:
            load_config(None, None, (f"{'.'.join(path)}={json.dumps(value)}",))
        assert SECRET not in str(refused.value)
        return
    assert SECRET in repr(config), "it was not even given"
    assert SECRET not in json.dumps(config.model_dump(mode="json")) + config.model_dump_json()
    for stage in path[:-1][:1]:
        assert SECRET not in json.dumps(getattr(config, stage).recipe_fields())


def test_every_field_that_may_hold_an_address_is_tried():
    assert len(FIELDS) > 40 and (("schedules", "publish_to"), True) in FIELDS and (("root",), False) in FIELDS


def test_no_release_names_a_secret_that_older_tables_do(tmp_path):
    root = make_root(tmp_path / "root")
    rows = read_table(root, "videos")
    urls = [WATCH_URL.replace("{video_id}", video_id) for video_id in rows["video_id"].to_pylist()]
    at = rows.column_names.index("url")
    write_part(root, "videos", rows.set_column(at, rows.schema.field(at), [urls]))
    source = {**RUN["config"]["source"], "watch_url": WATCH_URL}
    run = {**RUN, "config": {**RUN["config"], "source": source}}
    build_release(root, PublishSettings(name="small"), run, date(2026, 1, 1), FACTS)
    release = Path(release_path(root, "1.0.0"))
    assert verify_release(release) == []
    assert read_shards(release, columns=["url"])["url"][0].as_py().startswith("https://example.org/watch?v=video-")
    papers = [path for path in release.iterdir() if path.is_file()]
    assert not any(SECRET in path.read_text() for path in papers)


def test_a_deployment_imports_only_what_this_machine_allows(monkeypatch):
    config = Config(source={"name": "site", "extractors": ["os:system"], "allowed_hosts": ["localhost"]})
    work = prepare.prepared("curate")(lambda config: pytest.fail("it ran"))
    monkeypatch.setattr(prepare, "_is_deployed", lambda: True)
    monkeypatch.setenv(prepare.EXTRACTORS_VARIABLE, "demo.extractor:DemoVideoIE")
    with pytest.raises(ValueError, match="os:system, which is code, and not allowed"):
        work(config)


def test_every_command_that_starts_a_server_is_for_this_machine_or_asks_for_a_password():
    pattern = re.compile(r"prefect[\", ]+server[\", ]+start[^\n`]*")
    starts = [(path, text, match) for path in TEXTS if (text := path.read_text(encoding="utf-8"))
              for match in pattern.finditer(text)]  # fmt: skip
    assert len(starts) > 4
    for path, text, match in starts:
        around = text[max(0, match.start() - 500) : match.end() + 900]
        assert "127.0.0.1" in match.group() or "PREFECT_SERVER_API_AUTH_STRING" in around, (path, match.group())


def test_compose_takes_its_passwords_from_the_environment_and_opens_nothing_to_others():
    services = yaml.safe_load((TOP / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            if re.search("PASS|AUTH|CONNECTION", variable):
                assert re.search(r"\$\{(POSTGRES|PREFECT)_PASSWORD:\?", value), (name, variable)
        assert "healthcheck" in service, name
        assert "build" in service or re.search(r":\d[\w.-]*$", service["image"]), (name, "no version")
    asked = services["server"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"]
    assert services["worker"]["environment"]["PREFECT_API_AUTH_STRING"] == asked


def test_the_image_says_within_a_second_whether_it_can_keep_what_it_makes(tmp_path):
    lines = (TOP / "Dockerfile").read_text().splitlines()
    command = next(line.partition("CMD ")[2] for line in lines if line.startswith("HEALTHCHECK"))
    for folder, code in ((tmp_path, 0), (tmp_path / "none", 1)):
        began = time.monotonic()
        done = subprocess.run(json.loads(command.replace("/app/data", str(folder))), check=False)
        assert done.returncode == code and time.monotonic() - began < 1
    assert "USER 10001" in lines
