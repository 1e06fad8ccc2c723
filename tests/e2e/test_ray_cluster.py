# SPDX-License-Identifier: Apache-2.0
"""The cluster of our own and the one that cannot be had; in processes of their own, as Ray is one per process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tasks.fleet.cluster import _short_directory

PROGRAM = """
from tasks.fleet import cluster
from tasks.fleet.fan_out import fan_out
from tasks.host.settings import Settings
import ray_cases
from policy_lake.errors import SchedcpError
try:
    with cluster.running(Settings(microvm_slots=2), host_cpus=2) as outer:
        with cluster.running(Settings(), host_cpus=2) as inner:
            inner.ready()
        assert inner is outer
        print(outer.slots, [one.value for one in fan_out(ray_cases.fail, ["a", "b"], deadline_s=60, label="x")])
        import psutil
        sockets = [c for p in psutil.Process().children(recursive=True) for c in p.net_connections("tcp")]
        told = [p.name() for p in psutil.Process().children(recursive=True) if "the-key" in str(p.environ())]
        print(told)
        print({c.laddr.ip.removeprefix("::ffff:") for c in sockets if c.status == "LISTEN"})
        fan_out(ray_cases.fail, ["infra"], deadline_s=60, label="x", retries=1)
except SchedcpError as error:
    print(error)
"""


def run(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here.parents[1], here, here.parent)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False,
        env={**kept, "PYTHONPATH": paths, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), **environment},
    )  # fmt: skip


def test_our_own_listens_on_loopback_only_keeps_quiet_and_secrets_and_leaves_nothing() -> None:
    # pytest's own directory has too long a path for Ray's sockets.
    with tempfile.TemporaryDirectory(prefix="own-", dir="/tmp") as name:
        done = run(Path(name), SCHEDCP_MODEL_API_KEY="the-key", OPENAI_API_KEY="the-key too")
        assert done.stdout.splitlines() == [
            "2 ['a', 'b']",
            "[]",
            "{'127.0.0.1'}",
            "x: none of 1 ended well; the first: the disk is full",
        ]
        assert done.stderr == ""
        assert not list(Path(name).iterdir())
        assert not _left(Path(name))


def test_a_long_path_for_temporary_files_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp/" + "long" * 20)
    assert _short_directory() == "/tmp"
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/scratch")
    assert _short_directory() == "/scratch"


def test_a_cluster_that_is_not_there_is_one_line_at_once(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    started = time.monotonic()
    done = run(tmp_path, RAY_ADDRESS=address)
    assert time.monotonic() - started < 30
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"RAY_ADDRESS={address}: no Ray cluster can be reached there")
    assert done.stderr == ""
    assert run(tmp_path, RAY_ADDRESS="nonsense").stdout == "RAY_ADDRESS=nonsense: not a HOST:PORT\n"


def _left(scratch: Path) -> list[str]:
    """Processes that have the directory in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(scratch) in words and "raylet" in words:
            found.append(words)
    return found
