# SPDX-License-Identifier: Apache-2.0
"""What a machine's costs took of the CPUs' time under a policy and under EEVDF, and how tasks moved there, in words."""

from __future__ import annotations

from policy_lake.machine_model import CAUSES, MOVES, Paid, moves, shares
from policy_lake.scores import Score

LEAST = 0.005  # of the CPUs' time: what is less in both is not worth a line


def spent_lines(score: Score) -> list[str]:
    """What the CPUs were taken for, and where the time went, the policy's share before the baseline's.

    Nothing to say where a topology was asked for, and no machine.
    """
    of = score.provenance
    taken_for = (of.taken_as or of.machine) if of else ""
    if not taken_for:
        return []
    if not score.paid:
        return [f"machine: {taken_for}"]
    policy, baseline = (score.paid.get(role, Paid()) for role in ("policy", "baseline"))
    mine, theirs = shares(policy), shares(baseline)
    lost = [
        f"{_percent(mine.get(name, 0))} to {words} ({score.baseline} {_percent(theirs.get(name, 0))})"
        for name, words in CAUSES.items()
        if max(mine.get(name, 0), theirs.get(name, 0)) >= LEAST
    ]
    lines = [f"machine: {taken_for}"]
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
