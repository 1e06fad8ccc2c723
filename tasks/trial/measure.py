# SPDX-License-Identifier: Apache-2.0
"""Measure: rounds of a workload in a guest, and more rounds in further guests while they are worth their time."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.measurement import Measured, measure
from benchmarks.rounds import Rounds
from benchmarks.scoring import Contender, score_pairs, score_steps
from benchmarks.sequential import decide, log_ratios
from benchmarks.workloads import Workload, job_files
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.model import Rejection
from verifier_vm.machine.qemu import Machine
from verifier_vm.machine.vm import run

POLICY, CONTROL = "policy.bpf.o", "control.bpf.o"


@dataclass(frozen=True, slots=True)
class Loadable:
    """A compiled policy with the loader's `KNOB=VALUE` words, and its name for people."""

    data: bytes
    arguments: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """What is to be measured: a workload from `seed` on, `pairs` rounds at first and at most `most_pairs`.

    `policy` is None for an A/A run; `control` is a second policy in the same rounds.
    """

    workload: Workload
    seed: int
    pairs: int
    most_pairs: int
    policy: Loadable | None
    control: Loadable | None = None

    @property
    def looks(self) -> bool:
        """Whether it is asked on the way if more rounds are worth it."""
        return self.most_pairs > self.pairs

    @property
    def contender(self) -> Contender | None:
        """The policy as a guest's steps name it."""
        return _contender(POLICY, self.policy)

    def rounds(self, first: int = 0) -> Rounds:
        """The rounds of one guest, from number `first` on."""
        count = self.pairs if first == 0 else max(2, min(self.pairs, self.most_pairs - first))
        return Rounds(count, first, self.control is not None, self.policy is not None)

    def files(self) -> dict[str, bytes]:
        """What the guest must be given."""
        given = dict(job_files(self.workload))
        for name, loadable in ((POLICY, self.policy), (CONTROL, self.control)):
            if loadable is not None:
                given[name] = loadable.data
        return given

    def steps(self, machine: Machine, first: int = 0) -> tuple[GuestStep, ...]:
        """The steps of one guest, from round `first` on."""
        return score_steps(
            self.workload, self.rounds(first), seed=self.seed, accel=machine.accel,
            policy=self.contender, control=_contender(CONTROL, self.control),
        )  # fmt: skip


@dataclass(slots=True)
class Course:
    """What was measured so far, over one guest or several."""

    measured: Measured = field(default_factory=dict)
    guests: int = 0

    def add(self, more: Measured) -> None:
        """Append the runs of one more guest."""
        for role, outputs in more.items():
            self.measured.setdefault(role, []).extend(outputs)
        self.guests += 1

    @property
    def pairs(self) -> int:
        """Rounds so far."""
        return len(self.measured.get("policy", ()))


def follow(match: Match, first: GuestReport, machine: Machine, *, deadline_s: float) -> Course | Rejection:
    """The course of a match whose first rounds are in `first`, with further guests as long as they are worth it.

    A rejection where the policy failed; InfraError where a guest did, InputError where the workload's output is wrong.
    """
    course = Course()
    report, rounds = first, match.rounds()
    while True:
        measured = measure(match.workload, report.events, rounds)
        if isinstance(measured, Rejection):
            return measured
        course.add(measured)
        logs = log_ratios(score_pairs(match.workload, course.measured, match.seed),
                          lower_is_better=match.workload.direction == "lower")  # fmt: skip
        if not match.looks or match.policy is None or decide(logs, most=match.most_pairs) == "stop":
            return course
        rounds = match.rounds(course.pairs)
        job = GuestJob(match.files(), match.steps(machine, course.pairs), match.seed + course.guests)
        report = run(job, machine, deadline_s=deadline_s)


def _contender(name: str, loadable: Loadable | None) -> Contender | None:
    return None if loadable is None else Contender(name, loadable.arguments)
