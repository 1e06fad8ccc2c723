# SPDX-License-Identifier: Apache-2.0
"""A fleet without QEMU: what stands in for it says that it is up, and its agent is a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.host.settings import Settings
from tasks.hosts import fleet, host, image, means, process, status
from tasks.hosts.reach import Answer, UnreachableError
from tasks.hosts.records import FleetOrder, HostFile

UP = ["sh", "-c", "echo 12.34 >ready; exec sleep 60"]
ORDER = FleetOrder("fleet", 2, 2, 512, "batch", "wall")


class FakeHosts:
    """What the fakes were asked, and how they behave: `command` in QEMU's place by host, `agent` in the agent's."""

    def __init__(self) -> None:
        self.commands: dict[str, list[str]] = {}
        self.given: dict[str, list[bytes]] = {}
        self.agent: Callable[[str], Answer] = lambda name: Answer(True, "", "", {"status": "idle"})

    def command_line(self, machine: Any, **_: Any) -> list[str]:
        return self.commands.get(str(machine.port), self.commands.get("", UP))


def fake_fleet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, base_bytes: int = 4096
) -> tuple[Settings, FakeHosts]:
    """Settings with a data directory of its own, and the fakes in place."""
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    fakes = FakeHosts()
    base = tmp_path / "base.raw"
    base.write_bytes(b"d" * base_bytes)

    def answered(address: Any, request: str, **_: Any) -> Answer:
        return fakes.agent(address.host)

    def giver(order: FleetOrder, settings: Settings) -> Callable[..., bytes]:
        def given(known: HostFile, more: Any = None) -> bytes:
            fakes.given.setdefault(known.name, []).append(json.dumps(sorted(more or ())).encode())
            return b"archive"

        return given

    monkeypatch.setattr(host, "host_command_line", fakes.command_line)
    monkeypatch.setattr(fleet, "host_image", lambda cache, say: base)
    monkeypatch.setattr(fleet, "giver", giver)
    monkeypatch.setattr(
        fleet, "host_machine", lambda order, settings, say: HostFile("", 0, "k", "i", 2, 512, "tcg", "")
    )
    monkeypatch.setattr(status, "ask", answered)
    monkeypatch.setattr(means, "DISK_MIB", 1)
    monkeypatch.setattr(image, "DISK_MIB", 1)
    monkeypatch.setattr(fleet, "LOOK_S", 0.02)
    monkeypatch.setattr(host, "POWER_OFF_S", 0.2)
    return settings, fakes


def unreachable(name: str) -> Answer:
    """An agent that nobody reaches."""
    raise UnreachableError(f"host {name}: cannot be reached (test)")


def end_all(settings: Settings) -> list[str]:
    """End whatever still runs in any host's directory; their names."""
    ended = []
    for place in sorted((settings.data_dir / "fleet").glob("*/*")):
        if place.is_dir() and (found := process.find(place)):
            ended.append(place.name)
            try:
                process.end(found)
            except InfraError:
                continue
    return ended
