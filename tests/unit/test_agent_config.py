# SPDX-License-Identifier: Apache-2.0
"""The agent's configuration: each member read, each slip named; and the process as it is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host_agent.audit import Audit
from host_agent.chain import Head
from host_agent.config import Config, Source, read_config
from policy_lake.audience import machine_audience
from policy_lake.errors import InputError

ROOT = Path(__file__).parents[2]


def read(tmp_path: Path, text: str) -> Config:
    (tmp_path / "agent.toml").write_text(text)
    return read_config(tmp_path / "agent.toml")


def test_no_file_is_the_defaults_and_a_file_is_read_whole(tmp_path: Path) -> None:
    assert read_config(tmp_path / "none") == Config()
    made = read(
        tmp_path,
        'audience = "host-1"\nstate = "/x"\nlease_s = 2\nstop_files = ["/a", "/b"]\n[breaker]\ntask_wait_s = 3\n'
        'quarantine_after = 2\n[tls]\nhost = "0.0.0.0"\nport = 1\ncertificate = "/c"\nkey = "/k"\nauthority = "/ca"\n'
        '[[sources]]\nname = "p99_s"\nkind = "command"\nat = ["/bin/x", "-y"]\nlimit = 1\ncritical = true\n',
    )
    assert (made.who, made.state, made.lease_s, made.stop_files) == (
        "host-1",
        Path("/x"),
        2.0,
        (Path("/a"), Path("/b")),
    )
    assert made.breaker.task_wait_s == 3 and made.breaker.quarantine_after == 2 and made.breaker.memory_percent == 20
    assert (
        made.tls is not None
        and made.tls.port == 1
        and made.sources[0] == Source("p99_s", "command", ("/bin/x", "-y"), 1.0, True)
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [("lease = 1", "lease: there is no such"), ("lease_s = '1'", "lease_s"), ("lease_s = 0.01", "lease_s"),
     ("lease_s = true", "lease_s"), ("state = 'x'", "absolute"), ("stop_files = []", "kill switch"),
     ("stop_files = '/x'", "stop_files"), ("metrics_port = 70000", "metrics_port"), ("breaker = 1", "no table"),
     ("[breaker]\nmemory_percent = -1", "memory_percent"), ("[breaker]\nquarantine_after = 0", "quarantine_after"),
     ("[breaker]\nmemory_percent = nan", "memory_percent"), ("[tls]\nport = 1", "is missing"),
     ("[[sources]]\nname = 'x'\nkind = 'url'\nat = ['/a']", "sources"), ("[[sources]]\nname = 'x'", "is missing"),
     ("=", "agent.toml"), ("hotplug = 1", "hotplug")],
)  # fmt: skip
def test_a_slip_is_named_with_its_place(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "agent.toml")) and "\n" not in str(caught.value)


def test_a_host_has_the_audience_that_it_is_given_or_its_machines() -> None:
    assert Config(audience="fleet:web").who == "fleet:web" and Config().who == machine_audience()


def start(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    (tmp_path / "agent.toml").write_text(
        f'state = "{tmp_path}/state"\ntrust = "{tmp_path}/trust"\nsocket = "{tmp_path}/run/agent.sock"\n'
        f'stop_files = ["{tmp_path}/run/stop"]\nsys = "{tmp_path}/sys"\n'
    )
    command = [sys.executable, "-s", "-P", "-m", "host_agent", "--config", str(tmp_path / "agent.toml"), *words]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"}
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")


def test_it_starts_without_network_or_trust_says_what_it_is_in_and_ends_when_asked(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stderr is not None
    assert "schedcpd: idle: nothing is attached" in process.stderr.readline()
    assert (tmp_path / "run/agent.sock").is_socket() and (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    second = start(tmp_path)
    assert second.wait(30) == 2 and second.stderr is not None and "another agent answers" in second.stderr.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0 and not (tmp_path / "run/agent.sock").exists()


def test_audit_verify_says_whether_it_holds(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    process = start(tmp_path, "audit-verify")
    assert "no audit log" in process.communicate()[1] and process.returncode == 2
    log = Audit(tmp_path / "state", least=Head())
    for _ in range(3):
        log.add("started")
    process = start(tmp_path, "audit-verify")
    assert "the audit log holds: 3 entries" in process.communicate()[0] and process.returncode == 0
    path = tmp_path / "state/audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seq":2', b'"seq":4'))
    process = start(tmp_path, "audit-verify")
    assert "audit.jsonl:2" in process.communicate()[1] and process.returncode == 3
