# SPDX-License-Identifier: Apache-2.0
"""What a measured comparison is, with all that it takes to repeat it: a leaf beside model.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from policy_lake.machine_model import Costs, Paid
from policy_lake.model import Clock, KnobValue

Outcome = Literal["win", "loss", "inconclusive"]
# Why a score is neither a win nor a loss: its interval holds 1, or what it shows is less than equal runs differ by, or
# less than is worth having, or others were so far ahead that it was measured no further. Empty: it is a win or a loss.
Doubt = Literal["", "interval", "floor", "effect", "behind"]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same seed under the baseline and under the policy: two runs from one snapshot, or in one guest by turns."""

    baseline: float
    policy: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ratio:
    """Baseline over policy for a lower-is-better metric (the inverse otherwise): above 1 the policy is better."""

    median: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Control:
    """A second policy in the same rounds: its median, and the ratio of the scored policy against it."""

    policy: str
    median: float
    ratio: Ratio
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class MeasurementPlan:
    """How a policy is measured: `pairs` runs with the baseline's beside them, and more of them up to `most_pairs`.

    The first has seed number `seed`. More are measured only while the effect is promising and not yet sure. With
    `screen`, so many come first, and who is then surely behind others of its run is measured no further.
    """

    pairs: int = 5
    most_pairs: int = 0
    seed: int = 1
    screen: int = 0


@dataclass(frozen=True, slots=True)
class Provenance:
    """All that a score is a function of beside its policy, to take it again or to know it from another.

    Kernel, image and binary are SHA-256; `qemu` and `clock` are names (clock: empty by the wall clock). `numbers` are
    those that the user asked for in place of the workload's own, `control` is the second control's candidate. `files`
    are the names of the user's files that the object was made of, and then it is kept; empty: its source is enough.
    `costs` are those of the machine that the CPUs were taken for, in words `machine`; where nobody named one,
    `taken_as` says how the default came about, and what to do for another. `machine_from` is what was asked for, a
    name or a descriptor's path, which may say something else by now.
    `workload_file` is the descriptor's path where its id does not lead to it: without that nobody would find it again.
    """

    kernel_sha256: str
    image_sha256: str
    qemu: str
    clock: str
    cpus: int
    llcs: int
    smt: int
    nodes: int
    memory_mib: int
    workload_file: str
    workload_sha256: str
    object_sha256: str
    arguments: tuple[str, ...]
    plan: MeasurementPlan
    numbers: dict[str, int] = field(default_factory=dict)
    binary: str = ""
    binary_sha256: str = ""
    control: str = ""
    files: tuple[str, ...] = ()
    machine: str = ""
    costs: Costs | None = None
    taken_as: str = ""
    machine_from: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A measured comparison, with all that is needed to repeat it. `bound` is the best ratio arithmetic allows.

    `anytime95` is the ratio's anytime-valid 95 % interval, `detectable` the minimum detectable effect (a ratio above
    1), `ratios` those of the guards, `floor` what equal runs of the workload differ by, `confirms` the score that this
    one measured again on fresh seeds. `doubt` says why it is inconclusive. `measurements` are the ids of its runs in
    the lake, the policy's and then the baseline's, each in the order of `pairs`; none by the wall clock. `paid` is what
    a machine's costs came to in all runs of the `policy`, the `baseline` and the `control`; empty without a machine.
    `over` has the guards that it breaks, each with how many times its limit it reached: such a policy may not run.
    `uncorrected` is what was predicted of it (Candidate).
    """

    id: str
    workload: str
    policy: str
    baseline: str
    knob_values: dict[str, KnobValue]
    metric: str
    unit: str
    clock: Clock
    cpus: int
    pairs: tuple[Pair, ...]
    ratio: Ratio
    bound: float | None
    attached: bool
    outcome: Outcome
    run_id: str = ""
    candidate: str = ""
    kernel: str = ""
    accel: str = ""
    topology: str = ""
    provenance: Provenance | None = None
    also: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    anytime95: tuple[float, float] | None = None
    detectable: float | None = None
    ratios: dict[str, Ratio] = field(default_factory=dict)
    control: Control | None = None
    floor: float | None = None
    confirms: str = ""
    tier: str = "standard"
    doubt: Doubt = ""
    measurements: tuple[str, ...] = ()
    paid: dict[str, Paid] = field(default_factory=dict)
    over: dict[str, float] = field(default_factory=dict)
    uncorrected: float | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """The score where one term costs `factor` times as much; no ratio where the policy failed there."""

    term: str
    factor: float
    ratio: Ratio | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The outcome as it was, and under each change of one term; `skipped` are terms that cost nothing there."""

    outcome: Outcome
    changes: tuple[Changed, ...]
    skipped: tuple[str, ...] = ()

    @property
    def hangs_on(self) -> tuple[str, ...]:
        """The terms with which a win or a loss changes; what is inconclusive hangs on nothing that could be named."""
        if self.outcome == "inconclusive":
            return ()
        return tuple(dict.fromkeys(change.term for change in self.changes if change.outcome != self.outcome))
