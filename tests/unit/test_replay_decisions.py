# SPDX-License-Identifier: Apache-2.0
"""Replaying by its decisions; tests/vm replays for real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trace_cases import parent_and_child
from trial_cases import guest_in

from policy_lake.errors import InfraError
from tasks.host.settings import Settings
from tasks.traces import replay as replayer


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replays in a guest that says what it is told to; `seen` is what it was asked."""
    good = {"ok": True, "timed_out": False, "signal": 0, "exit": 0, "ended": True, "seconds": 1.0}
    seen = SimpleNamespace(event=good, shape=None, job=None, deadline_s=0.0)

    def run(job: Any, machine: Any, *, deadline_s: float) -> Any:
        seen.job, seen.deadline_s = job, deadline_s
        return SimpleNamespace(ran=lambda label: SimpleNamespace(**{"err": "", "out": '{"a": 1}', **seen.event}))

    def prepare(settings: Settings, shape: Any) -> Any:
        seen.shape = shape
        return guest_in(tmp_path)

    monkeypatch.setattr(replayer, "prepare_guest", prepare)
    monkeypatch.setattr(replayer.vm, "run", run)
    monkeypatch.setattr(replayer, "check_nothing_attached", lambda event, where: None)
    monkeypatch.setattr(replayer, "program", lambda trace: b"program")
    monkeypatch.setattr(replayer, "compare", lambda trace, figures, looks: figures)
    return seen


@pytest.mark.parametrize(("wall_us", "timeout_s", "deadline_s"), [(1_000_000, 60.0, 180.0), (20_000_000, 200.0, 400.0)])
def test_a_replay_has_ten_times_its_time_and_the_trace_s_cpus(
    replay: Any, tmp_path: Path, wall_us: int, timeout_s: float, deadline_s: float
) -> None:
    trace = parent_and_child()
    made = replace(trace, info=replace(trace.info, wall_us=wall_us, cpus=3))
    assert replayer.replay(made, Settings(data_dir=tmp_path)) == {"a": 1}
    (step,) = replay.job.steps
    assert (step.timeout_s, replay.deadline_s, replay.shape.topology.cpus) == (timeout_s, deadline_s, 3)


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"timed_out": True, "seconds": 60.0}, "did not end within 60 s"),
        ({"signal": 9}, "was ended by signal 9"),
        ({"exit": 1, "err": "x\nno room\n"}, "exited with 1: no room"),
        ({"ended": False}, "left processes that would not die"),
    ],
)
def test_a_replay_that_fails_says_how(replay: Any, tmp_path: Path, ended: dict[str, Any], told: str) -> None:
    replay.event |= {"ok": False, **ended}
    with pytest.raises(InfraError) as error:
        replayer.replay(parent_and_child(), Settings(data_dir=tmp_path))
    assert str(error.value) == f"replay of top: {told}"
