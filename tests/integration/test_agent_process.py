# SPDX-License-Identifier: Apache-2.0
"""The agent as a process of Debian's own Python, which has cryptography and none of our other libraries."""

from __future__ import annotations

import base64
import errno
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, ask
from scx_stats_client import Client
from skipping import skip_or_fail
from token_cases import REQUEST

PYTHON = "/usr/bin/python3"
ROOT = Path(__file__).parents[2]
MOST_KB = 60 << 10


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    if subprocess.run([PYTHON, "-c", "import cryptography"], capture_output=True, check=False).returncode:
        skip_or_fail(f"{PYTHON} has no cryptography (python3-cryptography)")
    made = FakeHost(tmp_path)
    (tmp_path / "agent.toml").write_text(
        f'audience = "{REQUEST.audience}"\nstate = "{tmp_path}/state"\ntrust = "{tmp_path}/trust"\n'
        f'socket = "{made.config.socket}"\nstop_files = ["{tmp_path}/run/stop"]\nsys = "{made.sys}"\n'
        f'hold = "{made.config.hold}"\n'
    )
    return made


def start(host: FakeHost) -> tuple[subprocess.Popen[str], str]:
    """The process, and what it says that it found."""
    command = [PYTHON, "-s", "-P", "-m", "host_agent", "--config", str(host.root / "agent.toml")]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, cwd="/")
    assert process.stderr is not None
    return process, process.stderr.readline()


def attached(host: FakeHost, **more: Any) -> None:
    token = host.token(kernel=platform.release(), score=None)
    given = {"token": base64.b64encode(token).decode(), "object": base64.b64encode(b"object").decode()}
    ask(host.config.socket, "attach", **given, knobs=list(REQUEST.arguments), stage="canary", **more)


def until(met: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def test_the_policy_s_own_counters_are_read_by_a_client_of_scx_stats(host: FakeHost) -> None:
    stats = host.root / "run/stats"
    config = host.root / "agent.toml"
    config.write_text(f'stats_socket = "{stats}"\nsample_s = 0.1\n' + config.read_text())
    (host.sys / "counters").write_text(f'{{"nr_kicks":{(1 << 64) - 1},"nr_late":3}}')
    process, _ = start(host)
    client = Client(stats)
    try:
        assert ("schedcp_attaches", ()) in client.gauges() and client.told["counters"] == {}
        attached(host)
        late = ("schedcp_policy_counter", (("counter", "nr_late"),))
        until(lambda: client.gauges().get(late) == 3)
        assert client.told["counters"]["nr_kicks"] == {"counter": (1 << 64) - 1}
        assert client.ask("stats", target="top").keys() == client.told.keys()
        for request, args in (("stats", {"target": "other"}), ("start", {})):
            with pytest.raises(OSError, match="unknown request") as caught:
                client.ask(request, **args)
            assert caught.value.errno == errno.EINVAL
        ask(host.config.socket, "detach")
        until(lambda: late not in client.gauges())
    finally:
        client.close()
        process.terminate()
        process.wait(20)


def test_a_p99_beyond_what_the_host_had_before_trips(host: FakeHost) -> None:
    p99 = host.root / "p99"
    p99.write_text("1000")
    config = host.root / "agent.toml"
    source = f'[[sources]]\nname = "request_p99_us"\nkind = "file"\nat = ["{p99}"]\n'
    config.write_text("sample_s = 0.1\n" + config.read_text() + source)
    process, _ = start(host)
    try:
        attached(host, p99_base_s=0.001, p99_metric="request_p99_us")
        p99.write_text("1200")
        time.sleep(0.5)
        assert ask(host.config.socket, "status")["status"] == "running"
        p99.write_text("2000")
        until(lambda: host.state == "disabled")
        until(lambda: ask(host.config.socket, "status")["ended"]["why"] == "metric")
        reason = ask(host.config.socket, "status")["ended"]["reason"]
        assert reason == "request_p99_us is 2000, above 1250"
    finally:
        process.terminate()
        process.wait(20)


def test_it_admits_a_token_dies_and_says_what_it_finds_when_it_comes_back(host: FakeHost) -> None:
    process, said = start(host)
    assert "idle" in said
    token = host.token(kernel=platform.release(), score=None)
    given = {"token": base64.b64encode(token).decode(), "object": base64.b64encode(b"object").decode()}
    asked = {**given, "knobs": list(REQUEST.arguments), "stage": "canary"}
    assert ask(host.config.socket, "attach", **asked)["ops"] == "ljf"
    time.sleep(1.5)  # longer than the lease
    assert ask(host.config.socket, "status")["status"] == "running" and host.state == "enabled"
    memory = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(memory.split()[1]) < MOST_KB
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 1.5
    while host.state != "disabled":
        assert time.monotonic() < deadline, "the holder did not let go"
        time.sleep(0.005)
    process, said = start(host)
    assert "managed-detached" in said and ask(host.config.socket, "status")["status"] == "idle"
    assert [entry["what"] for entry in ask(host.config.socket, "audit")["entries"]][-1] == "reconciled"
    process.terminate()
    assert process.wait(20) == 0
