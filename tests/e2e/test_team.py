# SPDX-License-Identifier: Apache-2.0
"""docs/team.md: a Prefect server on PostgreSQL, a worker with a limit, and never two runs of one host at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import installed, serving
from skipping import skip_or_fail

from tasks.fleet import prefect_server

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("TEAM"), reason="nightly: a database and a server take minutes (`make team-test`)"
    ),
]
DONE_S = 500.0
# What stands for a run: it is alone with its host's file, or it fails. It waits long enough for another one to come.
STAY = """
import os, time
from prefect import flow

@flow(log_prints=False)
def stay(host: str, place: str):
    mine = f"{place}/{host}.busy"
    os.close(os.open(mine, os.O_CREAT | os.O_EXCL))
    try:
        time.sleep(4)
        return "alone"
    finally:
        os.unlink(mine)
"""


@pytest.fixture(scope="module")
def team_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a server whose database is PostgreSQL."""
    programs = installed()
    if programs is None:
        skip_or_fail("no PostgreSQL: apt-get install postgresql")
    assert programs is not None
    with serving(programs) as database, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect-team")))
        patch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", database)
        patch.delenv("PREFECT_API_URL", raising=False)
        # A server that stays, with its scheduler and its limits: not the one of a single run.
        patch.setattr(prefect_server, "SERVER", {"PREFECT_UI_ENABLED": "0"})
        patch.setattr(prefect_server, "START_S", 300.0)
        with prefect_server.serving() as server:
            from prefect.settings import PREFECT_API_URL, temporary_settings

            assert server is not None
            server.ready()
            with temporary_settings({PREFECT_API_URL: server.url}):
                yield server.url


def worker(url: str, pool: str, name: str, home: Path, *more: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(home / name)}
    environment |= {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
    words = ("-m", "prefect", "worker", "start", "--pool", pool, "--name", name, "--install-policy", "never", *more)
    with (home / f"{name}.log").open("wb") as log:
        return subprocess.Popen([sys.executable, *words], env=environment, cwd=home, stdout=log, stderr=log)


@pytest.mark.parametrize("limit", [1], ids=["as docs/team.md says"])
def test_a_worker_with_a_limit_never_runs_two_at_once(team_url: str, tmp_path: Path, limit: int | None) -> None:
    """By its own limit: two workers of a pool whose limit is 1 were seen to run two at once."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    pool = f"host-{limit}"
    (tmp_path / "stay.py").write_text(STAY)
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        found = flow.from_source(source=str(tmp_path), entrypoint="stay.py:stay")
        deployment = found.deploy(name=pool, work_pool_name=pool, build=False, push=False, print_next_steps=False)
        asked = {"host": pool, "place": str(tmp_path)}
        made = [client.create_flow_run_from_deployment(deployment, parameters=asked).id for _ in range(3)]
        workers = [worker(team_url, pool, f"{pool}-1", tmp_path, *(("--limit", str(limit)) if limit else ()))]
        try:
            until = time.monotonic() + DONE_S
            while True:
                states = [client.read_flow_run(id).state for id in made]
                if all(state and state.is_final() for state in states):
                    break
                assert time.monotonic() < until, [path.read_text()[-2000:] for path in tmp_path.glob("*.log")]
                time.sleep(1)
        finally:
            for one in workers:
                one.terminate()
            for one in workers:
                try:
                    one.wait(60)
                except subprocess.TimeoutExpired:  # Prefect's worker was seen to stay
                    one.kill()
                    one.wait()
    alone = [state.is_completed() for state in states if state]
    assert all(alone) is (limit == 1), [state.message for state in states if state]
