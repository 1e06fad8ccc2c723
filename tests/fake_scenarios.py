# SPDX-License-Identifier: Apache-2.0
"""What may become of a guest: the scenarios of fake_vm.py, by what happens in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policy_lake.exit_record import ExitKind, ExitRecord

GOLDEN = Path(__file__).parent / "golden"
PANIC = (GOLDEN / "panic.console").read_text()
UNREGISTERED = ExitRecord(ExitKind.UNREG, 0, "unregistered from user space")
STALL = ExitRecord(ExitKind.ERROR_STALL, 0, "runnable task stall", "W6-pinned[117] failed to run for 2.9s")
DISABLED = ('sched_ext: BPF scheduler "fake" disabled (runnable task stall)', f"sched_ext: fake: {STALL.message}")
# By role; a label that says none is the warm-up's, which has no part in a score.
Figures = Mapping[str, float]
FIGURES: Mapping[str | None, Figures] = {
    "baseline": {"makespan_ms": 2000.0, "mean_end_ms": 1000.0, "bound_ms": 1500.0, "p99_us": 9000.0, "p50_us": 200.0,
                 "hog_blocks_per_s": 1e7},
    "policy": {"makespan_ms": 1600.0, "mean_end_ms": 800.0, "bound_ms": 1500.0, "p99_us": 6000.0, "p50_us": 200.0,
               "hog_blocks_per_s": 1e7},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """What becomes of a guest. A fault at a label is one at the first step of that label.

    `falls_at` is where the kernel takes the policy off, `hangs_at` what does not end in time, `fails_at` what exits
    with status 1, `refused_at` the attachment that the kernel refuses. They happen while the stall limit is at most
    `up_to_ms`. `report` changes what a workload of the suite prints, by label. `dies_at` is where the guest is lost,
    with `console`, in its first `lost` jobs. `figures` are what a measured workload prints, by role.
    """

    falls_at: str = ""
    hangs_at: str = ""
    fails_at: str = ""
    refused_at: str = ""
    refusal: str = ""  # what the kernel says then; nothing: its BPF verifier refuses the program
    dies_at: str = ""
    up_to_ms: float = float("inf")
    console: str = ""
    lost: int = 1 << 30
    record: ExitRecord = UNREGISTERED
    kmsg: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    report: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    figures: Mapping[str | None, Figures] = field(default_factory=lambda: FIGURES)


def _policy(**figures: float) -> Mapping[str | None, Figures]:
    return {**FIGURES, "policy": {**FIGURES["policy"], **figures}}


SCENARIOS: Mapping[str, Scenario] = {
    "good policy": Scenario(),
    "slower policy": Scenario(figures=_policy(makespan_ms=2600.0, mean_end_ms=1000.0)),
    "equal policy": Scenario(figures=_policy(makespan_ms=2000.0, mean_end_ms=1000.0)),
    "guard rail broken": Scenario(figures=_policy(mean_end_ms=50_000.0)),
    "no metric": Scenario(figures={**FIGURES, "policy": {}}),
    "stall at the first limit only": Scenario(falls_at="policy:mix", up_to_ms=2000),
    "stall at both limits": Scenario(falls_at="policy:mix"),
    "no progress at the first limit only": Scenario(report={"policy:mix": {"W6-pinned.gap_ms": 2500.0}}),
    "no progress at both limits": Scenario(report={"policy:mix": {"W6-pinned.gap_ms": 5500.0}}),
    "hangs at the first limit only": Scenario(hangs_at="policy:W3", up_to_ms=2000),
    "idle CPUs at both limits": Scenario(report={"policy:W10": {"W10-sparse.delay_ms": 300.0}}),
    "kernel warns": Scenario(kmsg={"policy:W7": ("WARNING: CPU: 0 PID: 9 at kernel/sched/ext.c:1",)}),
    "ends by itself": Scenario(record=ExitRecord(ExitKind.ERROR_BPF, 0, "scx_bpf_error", "no context")),
    "no exit record": Scenario(record=ExitRecord()),
    "nothing stored": Scenario(record=ExitRecord(ExitKind.NONE)),
    "refused by the BPF verifier": Scenario(refused_at="attach"),
    "refused when measured": Scenario(refused_at="attach-1"),
    "falls off while measured": Scenario(falls_at="policy-1"),
    "workload fails under the policy": Scenario(fails_at="policy-1"),
    "workload hangs under the policy": Scenario(hangs_at="policy-1"),
    "workload fails under the baseline": Scenario(fails_at="baseline-0"),
    "kernel dies saying why": Scenario(dies_at="policy:mix", console=PANIC),
    "kernel dies without a word": Scenario(dies_at="policy:mix", console="[ 0.1] tsc: calibrated\n"),
    "guest lost silently": Scenario(dies_at="policy:mix"),
    "guest lost silently, once": Scenario(dies_at="policy:mix", lost=1),
    "guest lost while measured": Scenario(dies_at="policy-1"),
}
