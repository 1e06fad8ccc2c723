# SPDX-License-Identifier: Apache-2.0
"""Whoever comes before the agent: an administrator, another loader, the kill switch."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, end, refused, run

from host_agent.scx_loader import ScxLoader


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_it_steps_aside_when_an_administrator_ends_the_holder_until_root_resumes(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        end(host.holder, signal.SIGTERM)
        await here.until(lambda: bool(host.told("stepped_aside")))
        with refused("stopped"):
            await here.attach()
        with refused("stopped"):
            await here.ask("resume")
        await here.ask("resume", admin=True)
        await here.attach()

    run(host, test)
    assert not host.told("tripped")


def test_it_steps_aside_when_another_loader_attached_something(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        host.scx("enabled", "lavd", seq=9)
        await here.until(lambda: bool(host.told("stepped_aside")))
        assert here.agent.on is None

    run(host, test)


def test_it_says_so_when_another_loader_attaches_while_nothing_of_ours_is_on(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        host.scx("enabled", "lavd", seq=5)
        await here.until(lambda: bool(host.told("stepped_aside")))
        assert (await here.ask("status"))["status"] == "orphaned-kernel-state"
        with refused("other_scheduler"):
            await here.attach()
        assert host.state == "enabled"

    run(host, test)


@pytest.mark.parametrize("which", ["run/stop", "etc-stop"])
def test_the_kill_switch_takes_off_and_keeps_off_whoever_made_the_file(host: FakeHost, which: str) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        (host.root / which).touch()
        await here.until(lambda: here.agent.on is None and host.state == "disabled", 2)
        with refused("stopped"):
            await here.attach()
        (host.root / which).unlink()
        await here.attach()

    run(host, test)
    assert host.told("detached")[0]["why"] == "stop" and not host.told("tripped")


def test_stop_always_works_and_the_control_plane_takes_back_only_its_own(host: FakeHost) -> None:
    async def test(here: Running) -> None:
        await here.attach()
        assert await here.ask("stop", reason="alarm") == {"was_attached": True}
        assert host.state == "disabled" and (host.root / "run/stop").read_text() == "control plane: alarm\n"
        with refused("stopped"):
            await here.attach()
        await here.ask("resume")
        (host.root / "run/stop").write_text("by hand")
        with refused("stopped"):
            await here.ask("resume")
        await here.ask("resume", admin=True)
        here.agent.config.stop_files[0].parent.rename(host.root / "away")
        (host.root / "run").touch()  # no file can be made there
        await here.ask("stop")
        with refused("stopped"):
            await here.attach()

    run(host, test)


def test_stop_while_it_is_being_attached(host: FakeHost) -> None:
    host.behave("hang")

    async def test(here: Running) -> None:
        attaching = asyncio.create_task(here.attach())
        await here.until((host.sys / "seen.json").exists)
        with refused("busy"):
            await here.attach()
        await here.ask("stop")
        with refused("not_attached_load"):
            await attaching
        assert host.state == "disabled"

    run(host, test)


class FakeLoader(ScxLoader):
    def __init__(self, host: FakeHost, says: str = "scx_lavd", *, stops: bool = True) -> None:
        super().__init__("")
        self.host, self.says, self.stops, self.restored = host, says, stops, 0

    async def current(self) -> str:
        return self.says

    async def stop(self) -> None:
        if self.stops:
            self.host.scx("disabled")

    async def undo(self, action: Any) -> None:
        self.restored += 1
        self.host.scx("enabled", "lavd_1.0.20", seq=8)


def test_it_asks_scx_loader_to_stop_what_it_runs_and_to_restore_it_after_a_revert(host: FakeHost) -> None:
    host.scx("enabled", "lavd_1.0.20")
    loader = FakeLoader(host)

    async def test(here: Running) -> None:
        await here.attach()
        assert (await here.ask("status"))["ops"] == "ljf"
        await here.ask("detach")
        assert loader.restored == 1 and here.agent.journal.open == ()

    run(host, test, loader=loader)


@pytest.mark.parametrize("says", ["scx_bpfland", ""])
def test_what_scx_loader_does_not_know_of_is_left_alone(host: FakeHost, says: str) -> None:
    host.scx("enabled", "lavd_1.0.20")

    async def test(here: Running) -> None:
        with refused("other_scheduler"):
            await here.attach()
        assert host.state == "enabled"

    run(host, test, loader=FakeLoader(host, says))
