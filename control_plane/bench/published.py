# SPDX-License-Identifier: Apache-2.0
"""`make bench-published`: published effects of placement, each run small on one of the machines, and compared.

Both sides of an experiment are one policy (tests/vm/programs/placement.bpf.c) with other settings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp
from pathlib import Path
from statistics import fmean

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from benchmarks.sequential import log_ratios, look
from bpf.build import compile_policy
from control_plane.bench.timed import DEADLINE_S, STEP_S, check_all
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.printed import last_object, number
from policy_lake.scores import Pair
from tasks.host.guest import Shape, prepare_guest
from tasks.host.settings import load_settings
from verifier_vm.machine.vm import run

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "tests" / "vm" / "programs" / "placement.bpf.c"
PAGE = ROOT / "docs" / "fidelity-published.md"


@dataclass(frozen=True, slots=True)
class Claim:
    """What was published, as a ratio of worse to better between `least` and `most`, and how it is tried here."""

    name: str
    source: str
    said: str
    least: float
    most: float
    on: tuple[str, int]
    better: tuple[str, ...]
    worse: tuple[str, ...]
    runs: str
    metric: str
    higher_is_better: bool = False
    remark: str = ""
    seeds: int = 5


CLAIMS = {
    "llc": Claim(
        "tasks stay in their LLC, against one queue for all", "T. Chen: Cache aware scheduling, v2, linux-kernel, "
        "December 2025, and reports of it", "on EPYC Genoa ChaCha20-xiangshan from 50.9 to 28.3 s (1.79), no obvious "
        "difference in hackbench, schbench, netperf; on Sapphire Rapids up to some 10 %", 1.0, 1.8, ("server", 16),
        ("a_queue=8", "slice_ns=1000000"), ("a_queue=64", "slice_ns=1000000"),
        "batch --jobs 32 --short-work 200000 --long-factor 1 --footprint-kib 4096 --seed {seed}", "makespan_ms",
        remark="theirs are threads that share data; here processes come back to their own",
    ),
    "smt": Claim(
        "whole cores before second threads", "AnandTech 16261 (SMT on Zen 3, 2020)",
        "two threads of a core do 1.22 of one's work on average: two cores for two tasks are 1.64", 1.4, 1.85,
        ("desktop", 8), ("order=1",), ("order=2",),
        "batch --jobs 3 --short-work 200000 --long-factor 1 --seed {seed}", "makespan_ms",
        remark="`smt` of this machine is that average: the size is put in, and that it comes out by placement is tried",
    ),
    "wasted": Claim(
        "no CPU idles while tasks wait", "Lozi et al., The Linux Scheduler: a Decade of Wasted Cores, EuroSys 2016",
        "kernel make 13 % slower, TPC-H 14 to 23 %", 1.05, 1.25, ("sockets", 16), ("a_queue=64",),
        ("a_queue=64", "leaves=2"),
        "batch --jobs 64 --short-work 100000 --long-factor 1 --seed {seed}", "makespan_ms",
        remark="how many CPUs the bug leaves idle is ours to choose: 2 of 16",
    ),
    "nest": Claim(
        "few warm cores instead of all in turn", "Lawall et al., OS Scheduling with Nest, EuroSys 2022",
        "10 % to 2x for programs with fewer tasks than cores", 1.1, 2.0, ("server", 8), ("order=2",), ("order=3",),
        "schbench -m 1 -t 2 -n 1 -F 64 -s 1000 -w 0 --runtime-ms 300 --seed {seed}", "rps", higher_is_better=True,
        remark="theirs comes of higher clocks on cores in use: here a clock depends on how many are busy, not on which",
    ),
    "sync": Claim(
        "a woken thread in its waker's LLC, against another's", "sched-ext/scx, pull request 1693 (scx_bpfland, 2025)",
        "sync wake-ups only within an LLC: small gains", 1.0, 1.2, ("server", 16), ("a_queue=8", "order=4"),
        ("a_queue=8", "order=5"), "schbench -m 1 -t 2 -n 1 -F 256 -s 100 -w 0 --runtime-ms 200 --seed {seed}", "rps",
        higher_is_better=True,
        remark="a message's own lines are not charged, only what a process finds stale in the other LLC",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tried:
    """The ratio of worse to better that came out, with its anytime-valid 95 % interval."""

    claim: Claim
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Direction first, then size."""
        if self.high < 1:
            return "the other way round"
        if self.low <= 1:
            return "no sure difference"
        if self.ratio > self.claim.most:
            return "same direction, larger"
        return "same direction and size" if self.ratio >= self.claim.least else "same direction, smaller"


def tried(claim: Claim, pairs: Sequence[Pair]) -> Tried:
    """Of pairs (worse, better)."""
    logs = log_ratios(pairs, lower_is_better=not claim.higher_is_better)
    within = look(logs)
    return Tried(claim, exp(fmean(logs)), within.low, within.high)


def line(one: Tried) -> str:
    """As the bench prints it."""
    claim = one.claim
    band = f"published {claim.least:g} to {claim.most:g}"
    return f"{claim.name:<52} {one.ratio:.3f}x [{one.low:.3f}, {one.high:.3f}]  ({band}): {one.verdict}"


def page(results: Sequence[Tried], *, where: str) -> str:
    """The whole page."""
    lines = [
        "# Published effects of placement, tried on the machines", "",
        f"Written by `make bench-published` {where}. Both sides are one policy with other settings "
        "(tests/vm/programs/placement.bpf.c); ratios are worse to better, with anytime-valid 95 % intervals over 5 "
        "seeds. The machines are not those of the authors and the programs are small: direction and order of size are "
        "what can be compared.", "",
        "| effect | published | on | came out | |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for one in results:
        claim = one.claim
        came = f"{one.ratio:.3f}x [{one.low:.3f}, {one.high:.3f}]"
        published = f"{claim.said} ({claim.source})"
        on = f"{claim.on[0]}, {claim.on[1]} CPUs"
        lines.append(f"| {claim.name} | {published} | {on} | {came} | {one.verdict} |")
    lines += ["", "What to hold against each:", ""]
    lines += [f"- {one.claim.name}: {one.claim.remark}." for one in results if one.claim.remark]
    return "\n".join(lines) + "\n"


def steps_of(claim: Claim, seed: int) -> tuple[GuestStep, ...]:
    """Both sides, the one first or the other by the seed."""
    sides = {"better": claim.better, "worse": claim.worse}
    steps: list[GuestStep] = []
    for side in sorted(sides, reverse=bool(seed % 2)):
        program = tuple(claim.runs.format(seed=seed).split())
        steps += [
            GuestStep("attach", ("policy.bpf.o", *sides[side]), f"attach-{side}"),
            GuestStep("run", program, side, timeout_s=STEP_S),
            GuestStep("detach", (), f"detach-{side}"),
        ]
    return tuple(steps)


def _pairs(claim: Claim) -> Iterator[Pair]:
    model = at(machine(claim.on[0]), claim.on[1]).model
    shape = Shape(model.topology, clock="virtual", costs=model.costs, machine=claim.on[0])
    guest = prepare_guest(load_settings(), shape)
    data = compile_policy(POLICY.read_text(), name="placement", vmlinux_dir=guest.kernel.headers).data
    for seed in range(1, claim.seeds + 1):
        steps = steps_of(claim, seed)
        report = run(GuestJob({"policy.bpf.o": data}, steps, seed), guest.machine, deadline_s=DEADLINE_S)
        check_all(steps, report)
        worse, better = (
            number(last_object(report.ran(side).out, where=side), claim.metric, where=side, zero=False)
            for side in ("worse", "better")
        )
        yield Pair(worse, better, seed)


def main(argv: Sequence[str] | None = None) -> None:
    """Try all (or those named), print each; the page is written when all were tried."""
    words = sys.argv[1:] if argv is None else argv
    results = []
    for name in words or CLAIMS:
        results.append(tried(CLAIMS[name], list(_pairs(CLAIMS[name]))))
        print(line(results[-1]), flush=True)
    if not words:
        PAGE.write_text(page(results, where=f"on {datetime.now(UTC):%Y-%m-%d}"), encoding="utf-8")


if __name__ == "__main__":
    main()
