# SPDX-License-Identifier: Apache-2.0
"""A guest without QEMU: what `verifier_vm.machine.vm.run` would return for a job, by a table of scenarios.

    vm = FakeVM("stall at the first limit only").install(monkeypatch, gate)
    verdict = gate.verify_object(b"object", (), WALL).verdict
    assert [limit_of(job) for job in vm.jobs] == [2000, 5000]

Workloads of the suite print what they printed in a real guest (tests/golden), measured ones the scenario's figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from fake_scenarios import DISABLED, FIGURES, GOLDEN, PANIC, SCENARIOS, STALL, Scenario

from policy_lake.coverage import Executed
from policy_lake.errors import InfraError, LostVMError
from policy_lake.events import (
    Attached,
    Detached,
    Done,
    Hello,
    LaidOut,
    Ran,
    Rested,
    SchedState,
    Started,
    StepEvent,
    Stopped,
    Watch,
    role_of,
)
from policy_lake.exit_record import ExitRecord
from policy_lake.guest import ClockCounts, GuestJob, GuestReport, GuestStep
from verifier_vm.judge.part import OFFLINE
from verifier_vm.machine.declared import parse_declared
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.wire import parse_event

__all__ = ["PANIC", "SCENARIOS", "VIRTUAL", "WALL", "FakeVM", "Scenario", "limit_of"]
WALL = Machine(Path("kernel"), Path("initrd"))
VIRTUAL = replace(WALL, clock=Path("clock.so"))
OPS, KERNEL = "fake", "7.3.4"
_ACCEPTED = {
    event.label: json.loads(event.out)
    for event in (parse_event(json.dumps(line).encode()) for line in json.loads((GOLDEN / "accepted.json").read_text()))
    if isinstance(event, Ran) and event.exercise
}
_ACCEPTED |= json.loads((GOLDEN / "sides.json").read_text())  # what no guest of two CPUs has


def limit_of(job: GuestJob) -> int:
    """The stall limit of a job's first attachment, in ms; 0 where it asks for none."""
    words = [word for step in job.steps if step.verb == "attach" for word in step.args]
    return next((int(word.partition("=")[2]) for word in words if word.startswith("ops.timeout_ms=")), 0)


class FakeVM:
    """Stands in for `run`; `jobs` are those it was given, `deadlines_s` and `machines` what went with them."""

    def __init__(self, scenario: str | Scenario) -> None:
        self.scenario = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        self.jobs: list[GuestJob] = []
        self.warm_ups: list[tuple[GuestJob, ...]] = []
        self.machines: list[Machine] = []
        self.deadlines_s: list[float | None] = []

    def install(self, monkeypatch: object, *modules: ModuleType) -> FakeVM:
        """Take the place of `run` in these modules."""
        for module in modules:
            monkeypatch.setattr(module, "run", self)  # type: ignore[attr-defined]
        return self

    def __call__(
        self,
        job: GuestJob,
        machine: Machine,
        *,
        warm_ups: Sequence[GuestJob] = (),
        deadline_s: float | None = None,
        on_event: Callable[[object], None] | None = None,
        boots: int = 2,
    ) -> GuestReport:
        self.jobs.append(job)
        self.warm_ups.append(tuple(warm_ups))
        self.machines.append(machine)
        self.deadlines_s.append(deadline_s)
        see = on_event or (lambda event: None)
        see(Hello(kernel=KERNEL, cpus=machine.cpus))
        guest, events = _Guest(self.scenario, limit_of(job)), []
        for event in guest.events([step for done in (*warm_ups, job) for step in done.steps]):
            if event.label and event.label == self.scenario.dies_at and len(self.jobs) <= self.scenario.lost:
                raise LostVMError("the guest ended in the middle of its job", self.scenario.console)
            events.append(event)
            see(event)
        see(Done())
        counts = ClockCounts(0, 1.0, f"seed {job.seed}", 10, 10, "h", 0) if machine.clock else None
        executed = Executed(()) if machine.clock else None
        return GuestReport(tuple(events), KERNEL, machine.accel, 1.0, "", machine.clock_name, counts, executed)


class _Guest:
    """The state that init keeps: what is attached, and for the how-manieth time."""

    def __init__(self, scenario: Scenario, limit_ms: int) -> None:
        self._scenario = scenario
        self._faulty = limit_ms <= scenario.up_to_ms
        self._limit_ms = limit_ms
        self._seq = 0
        self._on = False

    def events(self, steps: Sequence[GuestStep]) -> list[StepEvent]:
        """Up to the first step that fails, and the end of what it left attached."""
        made: list[StepEvent] = []
        for at, step in enumerate(steps):
            if step.verb == "anew":
                made += [self._detached("", self._scenario.record, ())] if self._on else []
                continue
            made.append(self._event(step))
            if not made[-1].ok and [one.verb for one in steps[at + 1 : at + 2]] != ["anew"]:
                if self._on:
                    fell = self._faulty and step.label == self._scenario.falls_at
                    made.append(self._detached("", STALL if fell else self._scenario.record, DISABLED if fell else ()))
                break
        return made

    def _event(self, step: GuestStep) -> StepEvent:
        kmsg = self._scenario.kmsg.get(step.label, ())
        if step.verb == "attach":
            return self._attached(step.label)
        if step.verb == "detach":
            return self._detached(step.label, self._scenario.record, kmsg)
        if step.verb in ("rest", "layout", "start"):
            return self._said(step)
        if step.verb == "stop":
            return Stopped(**self._program(step, ""), kmsg=kmsg)
        return self._faulted(Ran(**self._program(step, self._output(step)), kmsg=kmsg))

    def _said(self, step: GuestStep) -> StepEvent:
        known = {"label": step.label, "ok": True, "seconds": 0.1, "wall_s": 0.1}
        if step.verb == "layout":
            return LaidOut(**known, unknown="the fake guest has no code")
        return Rested(**known) if step.verb == "rest" else Started(**known)

    def _state(self) -> SchedState:
        return SchedState("enabled", OPS, self._seq) if self._on else SchedState("disabled", "", self._seq)

    def _attached(self, label: str) -> Attached:
        known = {"label": label, "seconds": 0.1, "wall_s": 0.1}
        if self._faulty and label == self._scenario.refused_at:
            said, phase = self._scenario.refusal, "attach" if self._scenario.refusal else "load"
            log = said or "libbpf: infinite loop detected at insn 9"
            return Attached(**known, ok=False, phase=phase, ops="", enable_seq=0, sched=self._state(), log=log)
        self._seq += 1
        self._on = True
        log = "has: enqueue dispatch init exit flags:0\n"
        return Attached(
            **known, ok=True, phase="attached", ops=OPS, enable_seq=self._seq, sched=self._state(), log=log,
            declared=parse_declared(log, where=label),
        )  # fmt: skip

    def _detached(self, label: str, record: ExitRecord, kmsg: tuple[str, ...]) -> Detached:
        self._on = False
        return Detached(
            label=label, ok=True, seconds=0.1, wall_s=0.1, sched=self._state(), exit_record=record, kmsg=kmsg
        )

    def _program(self, step: GuestStep, out: str) -> dict[str, object]:
        return {
            "label": step.label, "ok": True, "seconds": 1.0, "wall_s": 0.5, "exit": 0, "signal": 0, "timed_out": False,
            "ended": True, "out": out, "err": "", "dropped": 0, "sched": Watch(self._state(), self._state(), 20, 20),
        }  # fmt: skip

    def _faulted(self, run: Ran) -> Ran:
        scenario = self._scenario
        if not self._faulty or not run.label:
            return run
        if run.label == scenario.falls_at:
            after = replace(run.sched.after, state="disabling")
            return replace(run, ok=False, sched=replace(run.sched, after=after))
        if run.label == scenario.hangs_at:
            return replace(run, ok=False, timed_out=True, exit=-1, out="")
        if run.label == scenario.fails_at:
            return replace(run, ok=False, exit=1, out="", err="it is wrong\n")
        return run

    def _output(self, step: GuestStep) -> str:
        role = role_of(step.label)
        if step.label == OFFLINE:
            return ""
        if step.args[0] == "adversary":
            return json.dumps(_suite_report(step, self._scenario.report.get(step.label, {})))
        figures = self._scenario.figures.get(role, FIGURES["policy" if role == "control" else "baseline"])
        seed = int(step.args[step.args.index("--seed") + 1]) if "--seed" in step.args else 0
        spread = 1 + seed % 5 / 1000  # by which seeds differ, the same under every role
        return json.dumps({name: value * spread for name, value in figures.items()} | {"ok": True})


def _suite_report(step: GuestStep, changes: Mapping[str, float]) -> dict[str, object]:
    """What `adversary` printed in the golden guest for that exercise, or for its workloads in another."""
    workloads = step.args[1].split("+")
    exact = _ACCEPTED.get(step.label) or _ACCEPTED.get(f"policy:{step.label.partition(':')[2]}")
    report = json.loads(json.dumps(exact or _gathered(workloads)))
    for key, value in changes.items():
        group, dot, name = key.partition(".")
        (report["groups"][group] if dot else report["figures"])[name if dot else group] = value
    return dict(report)


def _gathered(workloads: list[str]) -> dict[str, object]:
    """The groups of these workloads from all golden runs, the longest run's first."""
    runs = sorted(_ACCEPTED.values(), key=lambda run: -run["wall_ms"])
    groups = {
        name: group
        for run in reversed(runs)
        for name, group in run["groups"].items()
        if name.partition("-")[0] in workloads
    }
    if not groups:
        raise InfraError(f"no golden guest ran {'+'.join(workloads)}")
    return {**runs[0], "groups": groups, "figures": {"partial": 0.0, "start_ms": 1.0}}
