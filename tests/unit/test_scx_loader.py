# SPDX-License-Identifier: Apache-2.0
"""The client of scx_loader: what it asks busctl, and whatever that answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from host_agent import scx_loader
from host_agent.journal import Action
from host_agent.scx_loader import ScxLoader
from policy_lake.errors import InfraError


def busctl(tmp_path: Path, script: str) -> ScxLoader:
    program = tmp_path / "busctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{script}\n')
    program.chmod(0o755)
    return ScxLoader(str(program))


@pytest.mark.parametrize(
    ("said", "name"),
    [('{"type":"s","data":"scx_lavd"}', "scx_lavd"), ('{"type":"s","data":"unknown"}', ""), ('{"data":7}', ""),
     ("[]", ""), ("junk", ""), ("", "")],
)  # fmt: skip
def test_what_is_current(tmp_path: Path, said: str, name: str) -> None:
    assert asyncio.run(busctl(tmp_path, f"echo '{said}'").current()) == name
    asked = (tmp_path / "asked").read_text()
    assert "--auto-start=no" in asked and "get-property org.scx.Loader /org/scx/Loader" in asked


def test_it_stops_and_restores_by_the_methods_of_that_name(tmp_path: Path) -> None:
    loader = busctl(tmp_path, "exit 0")
    asyncio.run(loader.stop())
    asyncio.run(loader.undo(Action("take_over", {})))
    lines = (tmp_path / "asked").read_text().splitlines()
    assert lines[0].endswith("StopScheduler") and lines[1].endswith("RestoreDefault")


def test_one_that_fails_hangs_or_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scx_loader, "TIMEOUT_S", 0.3)
    for loader in (busctl(tmp_path, "echo no >&2; exit 1"), busctl(tmp_path, "exec sleep 30"), ScxLoader("/no/such")):
        assert asyncio.run(loader.current()) == ""
        with pytest.raises(InfraError):
            asyncio.run(loader.stop())
    asyncio.run(ScxLoader("").undo(Action("take_over", {})))
