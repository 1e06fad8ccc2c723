# SPDX-License-Identifier: Apache-2.0
"""What tests of trials have in common: a guest that is never started, a policy that compiles to nothing, and slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fake_vm import FakeVM

from benchmarks.workloads import workload
from bpf.build import PolicyObject
from policy_lake.model import Candidate, Rejection
from policy_lake.scores import MeasurementPlan
from policy_lake.topology import Topology
from tasks.fleet.fan_out import Failure, ItemOutcome
from tasks.host.guest import Guest, Shape
from tasks.host.settings import Settings
from tasks.trial import build, drive, floor, local, run, traced, trial, work
from tasks.trial.spec import Loadable, TrialSpec
from tasks.trial.static import Checked
from verifier_vm.judge import gate
from verifier_vm.machine import snapshot
from verifier_vm.machine.kernel import Kernel
from verifier_vm.machine.qemu import Machine
from verifier_vm.verdict import stage_of

BATCH = workload("batch")
POLICY = Loadable(b"object", ("slice_ns=5",), "ljf")


def guest_in(folder: Path) -> Guest:
    """A guest of the virtual clock whose files are there and say nothing."""
    for name in ("kernel", "initrd", "clock.so"):
        (folder / name).write_text(name)
    machine = Machine(folder / "kernel", folder / "initrd", clock=folder / "clock.so", snapshots=folder / "kept")
    return Guest(machine, Kernel("7.3.4", folder / "kernel", folder, "k" * 64, "btf"))


def use_guest(monkeypatch: Any, guest: Guest) -> None:
    """Every part of a trial gets this guest, and a QEMU that tells its version."""
    for module in (drive, floor, local, run, traced, trial, work):
        monkeypatch.setattr(module, "prepare_guest", lambda settings, shape: guest)
    for module in (build, snapshot):
        monkeypatch.setattr(module, "qemu_version", lambda: (10, 0, 2))


def use_vm(monkeypatch: Any, vm: FakeVM) -> FakeVM:
    """Every guest that a trial starts is this one."""
    return vm.install(monkeypatch, gate, run, work)


def use_compiler(monkeypatch: Any, *, rejects: bool = False) -> None:
    """The static stages pass (or do not) whatever the source is, and the object is POLICY's."""

    def check(*_: Any, **__: Any) -> Checked:
        from policy_lake.model import Finding

        findings = [Finding("F03", "reject", "a queue is never consumed")] if rejects else []
        stages = (stage_of("source", 0.1), stage_of("build", 0.1), stage_of("object", 0.1, findings))
        return Checked(stages, PolicyObject(POLICY.data, "sha", 0.1, True), POLICY.arguments)

    monkeypatch.setattr(work, "check_parts", check)
    for module in (work, build):
        monkeypatch.setattr(module, "arguments_of", lambda *_: POLICY.arguments)
    monkeypatch.setattr(work, "loadable", lambda candidate, guest: Loadable(b"control", (), candidate.policy))


def spec(tmp_path: Path, **changes: Any) -> TrialSpec:
    """A candidate on `batch`, 4 pairs at first and no more."""
    candidate = Candidate("ljf-1", "", 1, "ljf", "/* C */", {"slice_ns": 5}, "", "")
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", embedder="hash:8")
    given = TrialSpec(candidate, BATCH, Shape(Topology(2)), settings, MeasurementPlan(4, 0, 1))
    return replace(given, **changes)


class Slots:
    """Slots that do their work when they are asked for outcomes, the latest first; `submitted` is what was asked."""

    def __init__(self, answer: Callable[[Any, Any], Any]) -> None:
        self._answer = answer
        self._queue: list[tuple[int, Any, Any]] = []
        self.submitted: list[Any] = []

    def submit(self, function: Any, item: Any) -> int:
        self.submitted.append(item)
        self._queue.append((len(self.submitted), function, item))
        return len(self.submitted)

    def __iter__(self) -> Iterator[ItemOutcome[Any]]:
        while self._queue:
            index, function, item = self._queue.pop()
            answer = self._answer(function, item)
            if isinstance(answer, Failure):
                yield ItemOutcome(index, failure=answer)
            else:
                yield ItemOutcome(index, value=answer)


REJECTED = Rejection("score", "the policy fell off", "stall")
