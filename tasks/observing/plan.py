# SPDX-License-Identifier: Apache-2.0
"""The planner between tiers: the next one is asked for only when the one before leaves the question open.

The question is whether another scheduler could serve these tasks better, and which kind. It is closed where nothing
waits; it is open where tasks wait and it is not known whether a CPU was idle meanwhile, which only a probe can tell.
"""

from __future__ import annotations

from policy_lake.observed import Counters, Histograms, Reason

IDLE_SHARE = 0.01  # of one CPU: below it there is nothing to schedule
WAIT_SHARE = 0.01  # of the time in which tasks ran or wanted to: no scheduler can win more than it
TURN_DELAY_US = 50.0  # a wake-up that takes longer is felt by a service whatever its share
UNSEEN_SHARE = 0.1  # of the CPU time of tasks that were seen: with more, what those waited is not the whole
FEW_DELAYS = 100  # a p99 needs as many
LOST_SHARE = 0.01


def after_counters(seen: Counters) -> Reason:
    """`idle` or `no-delay` close the question; all others ask for histograms."""
    tasks = seen.tasks
    if tasks is None:
        return "no-schedstat"
    if seen.unseen_s > UNSEEN_SHARE * tasks.run_s and seen.unseen_s >= IDLE_SHARE * seen.seconds:
        return "tasks-unseen"
    if tasks.run_s + tasks.wait_s < IDLE_SHARE * seen.seconds:
        return "idle"
    turn_us = tasks.wait_s * 1e6 / tasks.turns if tasks.turns else 0.0
    if tasks.wait_share < WAIT_SHARE and turn_us < TURN_DELAY_US and not any(group.throttled for group in seen.cgroups):
        return "no-delay"
    return "delay-unsplit"


def asks_for_histograms(reason: Reason) -> bool:
    return reason in ("delay-unsplit", "tasks-unseen", "no-schedstat", "chosen")


def after_histograms(seen: Histograms | None) -> Reason:
    """`answered` and `few-events` (observe for longer) close it; the others leave it to a full trace."""
    if seen is None:
        return "no-probe"
    if seen.cost.taken_off:
        return "probe-cost"
    if seen.lost_share > LOST_SHARE:
        return "events-lost"
    return "answered" if seen.delays.total >= FEW_DELAYS else "few-events"


def asks_for_trace(reason: Reason) -> bool:
    return reason in ("probe-cost", "events-lost", "no-probe")
