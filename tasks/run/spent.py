# SPDX-License-Identifier: Apache-2.0
"""What a machine's costs took of the CPUs' time under a policy and under EEVDF, and how tasks moved there, in words."""

from __future__ import annotations

from policy_lake.machine_model import Paid
from policy_lake.scores import Score

LEAST = 0.005  # of the CPUs' time: what is less in both is not worth a line
# By the field of Paid: what the time was lost to.
CAUSES = {
    "switch_ps": "context switches",
    "l2_ps": "cold caches of cores",
    "llc_ps": "moves between LLCs, and LLCs that others filled",
    "remote_ps": "memory of other nodes",
    "idle_ps": "waking idle CPUs",
    "smt_ps": "busy siblings",
    "turbo_ps": "the clock that falls with busy cores",
    "capacity_ps": "slow CPUs",
    "memory_ps": "data that find no room in the LLC",
}
MOVES = {"stayed": "the same CPU", "same_core": "its sibling", "same_llc": "another core of the LLC",
         "same_node": "another LLC", "other_node": "another node"}  # fmt: skip


def shares(paid: Paid) -> dict[str, float]:
    """Each cause's share of the CPUs' time; none of a run that took no time."""
    return {name: getattr(paid, name) / paid.busy_ps for name in CAUSES} if paid.busy_ps else {}


def moves(paid: Paid) -> dict[str, float]:
    """Where a task that came onto a CPU had been before, as shares of all those that had been anywhere."""
    count = sum(getattr(paid, name) for name in MOVES)
    return {name: getattr(paid, name) / count for name in MOVES} if count else {}


def spent_lines(score: Score) -> list[str]:
    """Where the time went, the policy's share before the baseline's; nothing to say where no machine was given."""
    of = score.provenance
    if of is None or not score.paid:
        return []
    policy, baseline = (score.paid.get(role, Paid()) for role in ("policy", "baseline"))
    mine, theirs = shares(policy), shares(baseline)
    lost = [
        f"{_percent(mine.get(name, 0))} to {words} ({score.baseline} {_percent(theirs.get(name, 0))})"
        for name, words in CAUSES.items()
        if max(mine.get(name, 0), theirs.get(name, 0)) >= LEAST
    ]
    lines = [f"machine: {of.machine}"]
    if lost:
        lines.append(f"CPU time that {score.policy} lost: {', '.join(lost)}")
    came, came_theirs = moves(policy), moves(baseline)
    told = [
        f"{words} {_percent(came.get(name, 0))} ({score.baseline} {_percent(came_theirs.get(name, 0))})"
        for name, words in MOVES.items()
        if max(came.get(name, 0), came_theirs.get(name, 0)) >= LEAST
    ]
    if told:
        lines.append(f"a task that came had been on: {', '.join(told)}")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
