"""What a machine lacks is told at once, with what mends it."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from botocore.exceptions import ConnectTimeoutError
from typer.testing import CliRunner

from datasets.tables import record_run
from flows.__main__ import app
from flows.config import load_config
from flows.machinery import checks, doctor, gpus
from flows.machinery.checks import MachineError, Severity


@pytest.fixture
def config(tmp_path):
    return load_config(None, str(tmp_path / "root"), ("features.weights_2d=untrained", "features.weights_3d=untrained"))


def without_weights(config):
    speech = config.speech.model_copy(update={"weights_dir": Path(config.root)})
    return config.model_copy(update={"speech": speech})


def severity_of(check, config, **changed):
    return check(config.model_copy(update=changed)).severity


def test_a_machine_that_has_all_has_no_errors(config):
    assert all(finding.severity < Severity.ERROR for finding in doctor.examine("pipeline", config))


def test_a_root_that_cannot_be_written_is_an_error(config, monkeypatch):
    finding = checks.check_root(config.model_copy(update={"root": "/proc/nobody/writes/here"}))
    assert finding.severity is Severity.ERROR and "/proc cannot be written" in finding.found


def test_a_root_below_a_file_is_an_error(config, tmp_path):
    (tmp_path / "file").write_text("")
    finding = checks.check_root(config.model_copy(update={"root": str(tmp_path / "file" / "root")}))
    assert finding.severity is Severity.ERROR and f"{tmp_path / 'file'} is a file, not a folder" in finding.found


def test_a_root_on_an_object_store_needs_a_folder_for_media(config):
    finding = checks.check_media_folder(config.model_copy(update={"root": "s3://bucket/root"}))
    assert finding.severity is Severity.ERROR and "run.media_root" in finding.mend


def test_less_room_than_the_least_is_an_error(config):
    download = config.download.model_copy(update={"min_free_bytes": 10**18})
    assert severity_of(checks.check_disk, config, download=download) is Severity.ERROR


def test_less_room_than_the_plan_needs_is_a_warning(config, monkeypatch):
    download = config.download.model_copy(update={"min_free_bytes": 0})
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    assert severity_of(checks.check_disk, config, download=download) is Severity.WARNING


def test_missing_speech_weights_name_the_command_that_fetches_them(config, monkeypatch):
    finding = checks.check_speech_weights(without_weights(config))
    assert finding.severity is Severity.ERROR and "`make weights`" in finding.mend


def test_the_library_engine_without_its_environment_is_an_error(config, monkeypatch, tmp_path):
    monkeypatch.setattr("extract.speech.segmentation.LIBRARY_PYTHON", tmp_path / "none")
    speech = config.speech.model_copy(update={"engine": "library"})
    assert "`make setup-tensorflow`" in checks.check_speech_weights(config.model_copy(update={"speech": speech})).mend


def test_an_encoder_without_published_weights_needs_a_file(tmp_path):
    finding = checks.check_encoder_weights(load_config(None, str(tmp_path)))
    assert finding.severity is Severity.ERROR
    assert "features.weights_3d=FILE" in finding.mend and "features.encoder_3d=none" in finding.mend


def test_weights_of_sound_are_looked_for_where_an_encoder_of_sound_is_named(config):
    without = config.features.model_copy(update={"weights_sound": "none.safetensors"})
    named = without.model_copy(update={"encoder_sound": "transformers/openai/whisper-base"})
    assert severity_of(checks.check_encoder_weights, config, features=without) is Severity.OK
    assert severity_of(checks.check_encoder_weights, config, features=named) is Severity.ERROR


def test_a_first_checkpoint_that_is_not_there_is_an_error(config):
    train = config.train.model_copy(update={"init_checkpoint": "none.pth"})
    assert severity_of(checks.check_checkpoint, config, train=train) is Severity.ERROR


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(config, monkeypatch):
    monkeypatch.setattr(gpus, "has_gpu", lambda: False)
    features = config.features.model_copy(update={"device": "cuda"})
    assert severity_of(gpus.check_gpu, config, features=features) is Severity.ERROR
    assert severity_of(gpus.check_gpu, config) is Severity.OK


def test_a_driver_that_is_too_old_for_torch_is_named(config, monkeypatch, tmp_path):
    (tmp_path / "version").write_text("470.256.02\n")
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(gpus, "has_gpu", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)  # as the driver counts
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    asked = config.model_copy(update={"features": config.features.model_copy(update={"device": "cuda"})})
    for settings, severity in ((asked, Severity.ERROR), (config, Severity.WARNING)):
        finding = gpus.check_gpu(settings)
        assert "driver 470.256.02, torch is for CUDA" in finding.found
        assert finding.severity is severity
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.check_gpu(config).severity is Severity.OK


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/api/health", "/ui-settings") else 404)
        self.end_headers()
        if self.path == "/ui-settings":
            self.wfile.write(json.dumps({"api_url": self.server.asked}).encode())

    def log_message(self, *_):
        pass


def test_a_prefect_api_that_answers_is_told_from_one_that_does_not(config, monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), _Healthy)
    Thread(target=server.serve_forever, daemon=True).start()
    server.asked = address = f"http://127.0.0.1:{server.server_port}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    assert severity_of(checks.check_prefect, config) is Severity.OK
    server.asked = "http://127.0.0.1:1/api"
    finding = checks.check_prefect(config)
    assert finding.severity is Severity.WARNING and f"PREFECT_UI_API_URL={address}" in finding.mend
    server.shutdown()
    server.server_close()
    assert severity_of(checks.check_prefect, config) is Severity.ERROR


def test_a_clock_behind_the_roots_last_run_is_an_error(config):
    assert severity_of(checks.check_clock, config) is Severity.OK
    record_run(config.root, "videos", "r", {"recorded_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()})
    assert severity_of(checks.check_clock, config) is Severity.ERROR


def test_credentials_are_found_and_never_shown(config, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "planted-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    findings = [checks.check_hub(config), checks.check_s3(config)]
    assert [finding.severity for finding in findings] == [Severity.OK, Severity.OK]
    assert "planted" not in repr(findings)


def test_a_machines_own_role_is_asked_for_only_where_s3_is_used(config, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    asked = []

    def refuse(_, request):
        asked.append(request.url)
        raise ConnectTimeoutError(endpoint_url=request.url)

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
    assert severity_of(checks.check_s3, config) is Severity.WARNING and not asked
    assert severity_of(checks.check_s3, config.model_copy(update={"root": "s3://bucket/root"})) is Severity.WARNING
    assert asked


PLACES = (
    "hf://datasets/cook/small",
    "hf://cook/small",
    "s4://bucket/prefix",
    "s3://bucket/prefix",
    "/proc/nobody/here",
)


@pytest.mark.parametrize("place", PLACES)
def test_a_destination_that_cannot_be_written_stops_publish_before_hours_of_work(config, monkeypatch, tmp_path, place):
    for name in ("HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    assert not [f for f in doctor.examine("publish-when-enough", config) if f.severity is Severity.ERROR]
    schedules = config.schedules.model_copy(update={"publish_to": (place,)})
    with pytest.raises(MachineError):
        doctor.require("publish-when-enough", config.model_copy(update={"schedules": schedules}))


def test_a_run_stops_before_it_starts_and_names_every_fault(config):
    config = without_weights(config)
    download = config.download.model_copy(update={"min_free_bytes": 10**18})
    with pytest.raises(MachineError, match=r"disk: .*\nspeech weights: .*; run `make weights`"):
        doctor.require("curate", config.model_copy(update={"download": download}))


def test_the_command_prints_what_it_found_and_ends_by_the_worst(config):
    result = CliRunner().invoke(app, ["doctor", "curate", "--root", config.root, "--json"])
    assert {row["check"] for row in json.loads(result.stdout)["machine"]} >= {
        "root",
        "disk",
        "ffmpeg",
        "speech weights",
    }
    without = f"--set=speech.weights_dir={config.root}"
    assert CliRunner().invoke(app, ["doctor", "curate", "--root", config.root, without]).exit_code == Severity.ERROR


def test_a_command_that_doctor_does_not_know_is_bad_usage():
    assert CliRunner().invoke(app, ["doctor", "dance"]).exit_code == 2


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_a_temporary_server_that_outlived_its_command_is_named(config):
    """A shell starts what looks like one, and ends: the process is then the child of init."""
    sleep = "import time; time.sleep(60)  # prefect.server.api.server"
    code = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleep!r}], stdout=-3, stderr=-3).pid)"
    )
    environment = {**os.environ, "PREFECT__SERVER_EPHEMERAL": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    server = int(told.stdout)
    try:
        if Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1] != "1":
            pytest.skip("needs init to take orphans, by which doctor knows them: here another process does")
        finding = checks.check_left_servers(config)
        assert finding.severity is Severity.WARNING and str(server) in finding.mend.split()
    finally:
        os.kill(server, signal.SIGKILL)
