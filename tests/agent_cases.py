# SPDX-License-Identifier: Apache-2.0
"""A host for the agent in a directory: what its kernel says, what it trusts, and a holder that stands in for ours."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from token_cases import REQUEST, issue

from host_agent.agent import Agent
from host_agent.breaker import Limits
from host_agent.config import Config
from host_agent.desk import Desk
from host_agent.kernel import Kernel
from host_agent.protocol import RefusedError, Request, read_request
from host_agent.sample import Sample
from host_agent.scx_loader import ScxLoader
from host_agent.watch import Watcher
from verifier_vm.tokens.public_key import read_public_key
from verifier_vm.tokens.trust import ALLOW_LAB

SHOWN = {
    "kernel/sched_ext/state": "disabled", "kernel/sched_ext/enable_seq": "4", "kernel/sched_ext/hotplug_seq": "0",
    "kernel/sched_ext/nr_rejected": "0", "kernel/sched_ext/switch_all": "0", "devices/system/cpu/present": "0-1",
}  # fmt: skip
STALLED = {"kind": 1026, "code": 0, "reason": "runnable task stall", "message": "hog[7] failed to run for 5.0s"}
HOTPLUG = {"kind": 66, "code": (1 << 32) + (1 << 48), "reason": "hotplug", "message": "cpu 1 going offline"}


class FakeHost:
    """Directories of one host; `keys` are the signer's, of which it trusts a copy."""

    def __init__(self, root: Path) -> None:
        self.root, self.sys, self.keys = root, root / "sys", root / "keys"
        for name, text in SHOWN.items():
            (self.sys / name).parent.mkdir(parents=True, exist_ok=True)
            (self.sys / name).write_text(text + "\n")
        (self.sys / "kernel/btf").mkdir()
        (self.sys / "kernel/btf/vmlinux").write_bytes(b"btf")
        for name in ("run", "trust"):
            (root / name).mkdir()
        hold = root / "hold"
        hold.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {Path(__file__).parent / "fake_hold.py"} "$@"\n')
        hold.chmod(0o755)
        issue(self.keys)
        self.share()
        self.config = Config(
            audience=REQUEST.audience, host_class="test", trust=root / "trust", state=root / "state", hold=hold,
            socket=root / "run/agent.sock", stop_files=(root / "run/stop", root / "etc-stop"), sys=self.sys,
            cgroups=root / "cgroups", lease_s=3.0, load_timeout_s=8.0, watch_s=0.03, sample_s=0.1,
            breaker=Limits(metrics_silence_s=30, first_pause_s=60, quarantine_after=3),
        )  # fmt: skip

    def share(self) -> None:
        for name in ("signing.pub", "revoked.dsse.json", "log.jsonl", "log.head.json"):
            shutil.copy2(self.keys / name, self.root / "trust" / name)
        trust = self.root / "trust"
        (trust / ALLOW_LAB).write_text(read_public_key(trust / "signing.pub").id + "\n")

    def token(self, **changes: Any) -> bytes:
        envelope = issue(self.keys, **changes)
        self.share()
        return json.dumps(envelope).encode()

    def scx(self, state: str, ops: str = "", *, seq: int | None = None) -> None:
        at = self.sys / "kernel/sched_ext"
        (at / "root").mkdir(exist_ok=True)
        (at / "root/ops").write_text(ops + "\n") if ops else (at / "root/ops").unlink(missing_ok=True)
        if seq is not None:
            (at / "enable_seq").write_text(f"{seq}\n")
        (at / "state").write_text(state + "\n")

    def behave(self, behaviour: str) -> None:
        (self.sys / "behaviour").write_text(behaviour)

    def eject(self, record: dict[str, Any]) -> None:
        (self.sys / "eject.part").write_text(json.dumps(record))
        (self.sys / "eject.part").rename(self.sys / "eject")

    @property
    def state(self) -> str:
        return (self.sys / "kernel/sched_ext/state").read_text().strip()

    @property
    def holder(self) -> int:
        return int(json.loads((self.sys / "seen.json").read_text())["pid"])

    def told(self, what: str) -> list[dict[str, Any]]:
        path = self.root / "state/audit.jsonl"
        lines = [json.loads(line)["data"] for line in path.read_text().splitlines()] if path.exists() else []
        return [data for data in lines if data["what"] == what]


class Running:
    """An agent with desk and watcher, in this process; `sample` is what its sampler says next, or an error."""

    def __init__(self, host: FakeHost, loader: ScxLoader | None = None, **changes: Any) -> None:
        self.host, self.sample = host, Sample()
        config = replace(host.config, **changes)
        kernel = Kernel(config.sys, config.proc, REQUEST.kernel)
        self.agent = Agent(config, kernel=kernel, loader=loader or ScxLoader(""))
        self.desk = Desk(self.agent)
        self.watcher = Watcher(self.agent, self.desk, self._sampler)
        self.silent = False

    async def _sampler(self) -> Sample:
        if self.silent:
            raise OSError("gone")
        return self.sample

    async def ask(self, req: str, *, admin: bool = False, **given: Any) -> dict[str, Any]:
        return await self.desk.handle(wire(req, **given), admin=admin)

    async def attach(self, token: bytes | None = None, **changes: Any) -> dict[str, Any]:
        return await self.ask("attach", **attach_words(token or self.host.token(), **changes))

    async def until(self, met: Callable[[], bool], within_s: float = 20.0) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while not met():
            assert asyncio.get_running_loop().time() < deadline, "it did not come"
            await asyncio.sleep(0.01)


def wire(req: str, **given: Any) -> Request:
    """A request as it comes over the wire."""
    return read_request(json.dumps({"v": 1, "req": req, "id": "x", **given}).encode())


def attach_words(token: bytes, **changes: Any) -> dict[str, Any]:
    given = {"token": base64.b64encode(token).decode(), "object": base64.b64encode(b"object").decode(),
             "knobs": list(REQUEST.arguments), "stage": "canary"}  # fmt: skip
    return {**given, **changes}


def run(host: FakeHost, test: Callable[[Running], Any], **changes: Any) -> Any:
    """Runs `test` with an agent that watches, and ends both; what is attached is gone afterwards."""

    async def main() -> Any:
        running = Running(host, **changes)
        await running.agent.start()
        watching = asyncio.create_task(running.watcher.run())
        try:
            return await test(running)
        finally:
            watching.cancel()
            await running.agent.take_off("agent", "the test is over")

    return asyncio.run(main())


@contextmanager
def refused(code: str) -> Iterator[pytest.ExceptionInfo[RefusedError]]:
    with pytest.raises(RefusedError) as caught:
        yield caught
    assert caught.value.code == code, (caught.value.code, str(caught.value))
    assert "\n" not in str(caught.value)


def end(pid: int, how: signal.Signals) -> None:
    os.kill(pid, how)


def ask(path: Path, request: str, **given: Any) -> dict[str, Any]:
    """One question to an agent in another process, over its Unix socket."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(60)
        stream.connect(str(path))
        stream.sendall(json.dumps({"v": 1, "req": request, "id": "x", **given}).encode() + b"\n")
        with stream.makefile("rb") as lines:
            told = dict(json.loads(lines.readline()))
    assert told["ok"], told
    return told
