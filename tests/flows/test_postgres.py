"""The server of compose.yaml, without containers: Prefect on a real PostgreSQL, as Debian packages it."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.flows.real_server import TOP, free_port, run_server

PASSWORD = "planted-postgres-4711"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
RUN_A_FLOW = """
from flows.config import load_config
from flows.scheduled.housekeeping import housekeeping
housekeeping(load_config(None, {root!r}))
"""


@pytest.fixture
def database():
    """Address of an empty PostgreSQL on a free port, as the user it insists on (never root)."""
    if not PROGRAMS:
        pytest.skip("needs PostgreSQL, a program of the system: make setup-debian")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = {"user": user} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if as_user:
        shutil.chown(folder, user)
    port = free_port()
    (folder / "password").write_text(PASSWORD)

    def run(program, *options):
        subprocess.run([PROGRAMS[-1] / program, *options], cwd=folder, check=True, stdout=subprocess.DEVNULL, **as_user,
                       env={**os.environ, "PGPASSWORD": PASSWORD})  # fmt: skip

    asked = ["--auth", "scram-sha-256", "--pwfile", folder / "password"]
    run("initdb", "--pgdata", folder / "data", *asked, "--username", "prefect", "--no-sync")
    options = f"-p {port} -k {folder} -h 127.0.0.1"
    run("pg_ctl", "--pgdata", folder / "data", "--log", folder / "log", "-o", options, "start")
    try:
        run("createdb", "--host", "127.0.0.1", "--port", str(port), "--username", "prefect", "prefect")
        yield f"postgresql+asyncpg://prefect:{PASSWORD}@127.0.0.1:{port}/prefect"
    finally:
        run("pg_ctl", "--pgdata", folder / "data", "--mode", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def query(address, question):
    import asyncpg

    async def ask():
        connection = await asyncpg.connect(address.replace("+asyncpg", ""))
        try:
            return await connection.fetch(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_flow_runs_on_a_server_whose_records_are_in_postgresql(database, tmp_path):
    with run_server(tmp_path, PREFECT_API_DATABASE_CONNECTION_URL=database) as environment:
        code = RUN_A_FLOW.format(root=str(tmp_path / "root"))
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=TOP, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    runs = query(database, "select flow.name, state_type from flow_run join flow on flow.id = flow_run.flow_id")
    assert [(run["name"], str(run["state_type"])) for run in runs] == [("housekeeping", "COMPLETED")]
    artifacts = query(database, "select key from artifact")
    assert {"funnel", "not-ok"} <= {artifact["key"] for artifact in artifacts}
