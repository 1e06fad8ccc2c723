# SPDX-License-Identifier: Apache-2.0
"""What a score does not say: by which clock it was taken, on which machine, what of that the policy could not see."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.machine_model import Costs
from policy_lake.model import Clock
from policy_lake.scores import Score
from verifier_vm.machine.qemu import SEEN_L2_KIB, SEEN_LLC_KIB

NOT_CLAIMED = (
    "Not claimed: that the ratio carries over to another machine, kernel, CPU count or load. It was measured in a "
    "small virtual machine, one workload at a time"
)
EMULATED = "; under emulation (tcg) caches and memory bandwidth are not a CPU's."
VIRTUAL = (
    ", in virtual time: every instruction takes the same time, and caches, memory bandwidth and frequency are not "
    "modelled (--machine does). It ranks what schedulers decide, not what that does to a cache."
)
TAKEN_FOR = (
    ", in virtual time, on CPUs that were taken for a machine ({machine}): what its caches, SMT, clock and switches "
    "cost is a model of first order, from the numbers in its descriptor; `score --sensitivity` says what hangs on one."
)
UNSEEN = " The policy saw how those CPUs lie, but not {what}."


def not_claimed(clock: Clock, *, machine: str = "", costs: Costs | None = None) -> str:
    """What a score taken by that clock does not say; `machine` is what the CPUs were taken for, if anything."""
    if clock != "virtual":
        return NOT_CLAIMED + EMULATED
    if not machine:
        return NOT_CLAIMED + VIRTUAL
    unseen = " and ".join(_unseen(costs)) if costs else ""
    return NOT_CLAIMED + TAKEN_FOR.format(machine=machine) + (UNSEEN.format(what=unseen) if unseen else "")


def _unseen(costs: Costs) -> Iterator[str]:
    """What of a machine its guest's kernel does not show."""
    kib = (costs.l2_kib or SEEN_L2_KIB, costs.llc_kib or SEEN_LLC_KIB)
    if kib != (SEEN_L2_KIB, SEEN_LLC_KIB):
        seen = f"{SEEN_L2_KIB} KiB and {SEEN_LLC_KIB >> 10} MiB are shown"
        yield f"the sizes of their caches ({seen} for {kib[0]} KiB and {kib[1] / 1024:g} MiB)"
    if costs.capacity:
        yield "that some are slower (all show 1024)"


def claim_of(score: Score | None) -> str:
    """The same of a score, or of none."""
    of = score.provenance if score else None
    if score is None or of is None:
        return not_claimed(score.clock if score else "wall")
    return not_claimed(score.clock, machine=of.machine, costs=of.costs)
