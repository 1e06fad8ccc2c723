# SPDX-License-Identifier: Apache-2.0
"""The agent as a process of Debian's own Python, which has cryptography and none of our other libraries."""

from __future__ import annotations

import base64
import os
import platform
import signal
import subprocess
import time
from pathlib import Path

import pytest
from agent_cases import FakeHost, ask
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
