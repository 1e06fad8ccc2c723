# SPDX-License-Identifier: Apache-2.0
"""An observation as a whole, without a probe in any kernel: commands held back, Ctrl-C, the planner's steps."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from control_plane.observe import _exit_status
from policy_lake.errors import InfraError, InputError
from tasks.observing import observe as observing
from tasks.observing import scope as scopes
from tasks.observing.needs import NeedError
from tasks.observing.observe import Ask, observe_scope
from tasks.observing.started import HeldCommand

HERE = scopes.Scope("pid", str(os.getpid()), "this test", (os.getpid(),))


def finished(command: HeldCommand) -> int | None:
    until = time.monotonic() + 20
    while not command.ended() and time.monotonic() < until:
        time.sleep(0.01)
    command.end()
    return command.status


def test_a_command_does_nothing_before_it_is_let_go(tmp_path: Path) -> None:
    command = HeldCommand(["sh", "-c", f"touch {tmp_path}/done; exit 3"])
    time.sleep(0.1)
    assert not (tmp_path / "done").exists() and not command.ended()
    command.let_go()
    assert finished(command) == 3
    assert (tmp_path / "done").exists()
    with pytest.raises(ChildProcessError):
        os.waitpid(command.pid, 0)


def test_a_command_that_is_never_let_go_is_ended_without_a_trace(tmp_path: Path) -> None:
    command = HeldCommand(["touch", f"{tmp_path}/done"])
    command.end()
    assert command.ended() and not (tmp_path / "done").exists()


def test_to_end_a_command_is_to_end_what_it_started(tmp_path: Path) -> None:
    command = HeldCommand(["sh", "-c", f"sleep 100 & echo $! > {tmp_path}/child; wait"])
    command.let_go()
    until = time.monotonic() + 20
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert time.monotonic() < until
        time.sleep(0.01)
    command.end()
    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    while child.exists() and "State:\tZ" not in (child / "status").read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert not child.exists() or "State:\tZ" in (child / "status").read_text()


def test_the_output_of_a_quiet_command_is_not_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    command = HeldCommand(["echo", "words"], quiet=True)
    command.let_go()
    assert finished(command) == 0
    assert capfd.readouterr() == ("", "words\n")


def test_no_such_command_is_one_line() -> None:
    with pytest.raises(InputError, match="none-such-command: no such command"):
        HeldCommand(["none-such-command"])


@pytest.mark.parametrize(("status", "shown"), [(None, 0), (0, 0), (3, 3), (-15, 143)])
def test_the_exit_status_is_the_commands(status: int | None, shown: int) -> None:
    assert _exit_status(status) == shown


def test_an_interrupt_keeps_what_was_seen_and_gives_the_handlers_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_sleep(_: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(observing, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupted_sleep))
    before = signal.getsignal(signal.SIGINT)
    seen = observe_scope(HERE, Ask(30, "counters"), tmp_path)
    assert seen.interrupted and seen.seconds < 20
    assert seen.counters.tasks is not None and seen.counters.tasks.tasks >= 1
    assert signal.getsignal(signal.SIGINT) is before
    assert [(step.tier, step.taken, step.reason) for step in seen.steps] == [
        ("counters", True, "chosen"), ("histograms", False, "chosen"),
    ]  # fmt: skip


def test_a_command_ends_the_observation_and_its_own_counters_are_read_before_it_is_reaped(tmp_path: Path) -> None:
    words = ("sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; exit 5")
    command = HeldCommand(words)
    seen = observe_scope(scopes.of_command(words, command.pid), Ask(60, "counters"), tmp_path, command=command)
    command.end()
    assert (seen.status, seen.interrupted) == (5, False)
    assert seen.counters.tasks is not None and seen.counters.tasks.run_s > 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes by sleeping alone: on a busy machine a second may be one look."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 0.001)

    monkeypatch.setattr(observing, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))


class FakeProbe:
    """A probe whose cost is given."""

    def __init__(self, costs: bool) -> None:
        self.taken_off, self._costs = False, costs

    def costs_too_much(self) -> bool:
        self.taken_off = self._costs
        return self._costs

    def histograms(self) -> object:
        cost = SimpleNamespace(taken_off=self.taken_off)
        return SimpleNamespace(cost=cost, lost_share=0.0, delays=SimpleNamespace(total=1000))


@pytest.mark.parametrize(("costs", "reason"), [(True, "probe-cost"), (False, "answered")])
@pytest.mark.usefixtures("clock")
def test_a_probe_that_costs_too_much_comes_off_and_it_is_said_once(
    costs: bool, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def watched(*_: object, **__: object) -> Iterator[FakeProbe]:
        yield FakeProbe(costs)

    monkeypatch.setattr(observing, "watched", watched)
    monkeypatch.setattr(observing, "check_needs", lambda **_: None)
    said: list[str] = []
    seen = observe_scope(HERE, Ask(1, "histograms"), tmp_path, say=said.append)
    assert [step.reason for step in seen.steps] == ["first", "chosen", reason]
    assert sum("taken off" in line for line in said) == int(costs)


@pytest.mark.usefixtures("clock")
def test_without_the_right_the_planner_goes_on_and_says_what_grants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise NeedError("the capabilities are missing", "sudo this")

    monkeypatch.setattr(observing, "check_needs", refuse)
    monkeypatch.setattr(observing, "after_counters", lambda counters: "delay-unsplit")
    seen = observe_scope(HERE, Ask(1), tmp_path)
    assert ("sudo this", "the capabilities are missing") in [(lack.mend, lack.why) for lack in seen.missing]
    assert [(step.taken, step.reason) for step in seen.steps] == [
        (True, "first"), (False, "delay-unsplit"), (False, "no-probe"),
    ]  # fmt: skip
    with pytest.raises(InfraError, match="run `sudo this`"):
        observe_scope(HERE, Ask(1, "histograms"), tmp_path)


@pytest.mark.usefixtures("clock")
def test_the_planner_leaves_the_probe_out_where_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "after_counters", lambda counters: "no-delay")
    monkeypatch.setattr(observing, "check_needs", lambda **_: pytest.fail("no probe is wanted"))
    seen = observe_scope(HERE, Ask(1), tmp_path)
    assert [(step.taken, step.reason) for step in seen.steps] == [(True, "first"), (False, "no-delay")]
