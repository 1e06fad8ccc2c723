# SPDX-License-Identifier: Apache-2.0
"""One Ray cluster and one Prefect server for all tests: each takes some ten seconds to start."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.fleet import cluster
from tasks.fleet.prefect_server import serving
from tasks.host.settings import Settings

KEPT = (b"multiprocessing.forkserver", b"multiprocessing.resource_tracker", b"verifier_vm/source/server.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """Set up first and torn down last: by then no child of ours may run. Ray's agents take a moment to notice.

    Python's own fork server and resource tracker, and our parser of policies, stay with the process that used them, and
    end with it.
    """
    yield
    ends = time.monotonic() + 10
    while (left := _children()) and time.monotonic() < ends:
        time.sleep(0.2)
    assert left == []


def _children() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition(" (")[2].rpartition(") ")
            words = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if any(word in words for word in KEPT):
            continue
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state != "Z":
            found.append(name)
    return found


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), embedder="hash", trial_deadline_s=60)


@pytest.fixture(scope="session")
def nodes() -> Iterator[Any]:
    """A cluster that somebody else started: one node with two slots, to which a test may add another."""
    scratch = tempfile.mkdtemp(prefix="ray-")
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_TMPDIR=scratch)
    # Ray's workers import ray_cases and flow_cases.
    here = Path(__file__).parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "resources": {"microvm": 2}, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield made
    finally:
        made.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_cluster(nodes: Any, settings: Settings) -> Iterator[cluster.Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", nodes.address)
        with cluster.running(settings, host_cpus=2) as running:
            running.ready()
            yield running


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server of its own, with its own database, for this process too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.delenv("PREFECT_API_URL", raising=False)
        with serving() as server:
            from prefect.settings import PREFECT_API_URL, temporary_settings

            assert server is not None
            server.ready()
            with temporary_settings({PREFECT_API_URL: server.url}):
                yield server.url
