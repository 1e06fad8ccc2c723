# SPDX-License-Identifier: Apache-2.0
"""`schedcpd admit`: a policy out of an OCI layout into the agent, which checks its token as it checks any."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from agent_cases import FakeHost, ask
from object_cases import object_bytes
from test_agent_process import PYTHON, ROOT, host, start
from token_cases import revoke

from tasks.tokens.export import Exported, export_token

__all__ = ["host"]
OBJECT = object_bytes("vtime")
SHA = hashlib.sha256(OBJECT).hexdigest()


def export(host: FakeHost, **changes: Any) -> Exported:
    """One more token for the object in the layout."""
    given = {"kernel": platform.release(), "object_sha256": SHA, "score": None, **changes}
    file = host.root / "one.dsse.json"
    file.write_bytes(host.token(**given))
    (host.root / f"{SHA}.bpf.o").write_bytes(OBJECT)
    settings: Any = SimpleNamespace(key_dir=host.keys, object_dir=host.root)
    return export_token(file, host.root / "layout", settings)


def admit(host: FakeHost, *words: str, layout: str = "layout") -> tuple[int, str]:
    """Exit status and what it says, by Debian's own Python."""
    config = str(host.root / "agent.toml")
    command = [PYTHON, "-s", "-P", "-m", "host_agent", "--config", config, "admit", f"oci:{host.root}/{layout}", *words]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def agent(host: FakeHost) -> Any:
    process, _ = start(host)
    yield process
    process.terminate()
    process.wait(10)


def test_what_a_layout_carries_is_attached_once_a_token(host: FakeHost, agent: Any) -> None:
    for version in range(2):
        export(host, workload=f"batch-{version}")
    export(host, audience="another", workload="batch-2")
    assert admit(host, "--mode", "shadow") == (0, f"ljf-{SHA[:12]}: ljf: loaded, and unloaded\n")
    for _ in range(2):
        assert admit(host, "--lease", "20")[0] == 0 and host.state == "enabled"
        assert ask(host.config.socket, "status")["object_sha256"] == SHA
        assert admit(host)[0] == 3  # one is attached
        ask(host.config.socket, "detach")
    status, said = admit(host)
    assert (status, said.count("\n")) == (3, 1) and ": used: " in said and host.state == "disabled"
    assert [data["code"] for data in host.told("refused")].count("attached") == 2


def test_a_token_that_the_agent_would_not_take_over_its_socket_is_not_taken_so(host: FakeHost, agent: Any) -> None:
    export(host)
    assert admit(host, "--stage", "fleet")[0] == 3
    assert admit(host, "--lease", "0")[0] == 3  # a canary is lent
    revoke(host.keys, "object", SHA)
    host.share()
    status, said = admit(host)
    assert status == 3 and ": revoked: " in said and host.state == "disabled"


def test_one_for_another_host_a_damaged_layout_and_no_agent_are_one_line(host: FakeHost, agent: Any) -> None:
    export(host, audience="another")
    status, said = admit(host)
    assert (status, said.count("\n")) == (2, 1) and "none of its 1 tokens is for host-1" in said
    assert (admit(host, layout="none")[0], host.told("attach")) == (2, [])
    index = host.root / "layout/index.json"
    data = json.loads(index.read_text())
    data["manifests"][0]["size"] = 1 << 40
    index.write_text(json.dumps(data))
    assert admit(host)[0] == 2
    agent.terminate()
    agent.wait(10)
    index.write_text(json.dumps(data).replace(str(1 << 40), "717"))
    assert admit(host)[0] in (2, 4)
