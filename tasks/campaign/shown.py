# SPDX-License-Identifier: Apache-2.0
"""A campaign's rows for people: cells of a table, lines of a page, and the table in Prefect's UI that fills up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from policy_lake.campaign import CampaignDone, CampaignPlan, CampaignRow
from policy_lake.limits import CAMPAIGN_SHOWN
from tasks.campaign.matrix import CampaignSpec
from tasks.fleet.artifacts import FillingTable, artifact_key
from tasks.run.certainty import ratio_text

Show = Callable[[list[CampaignRow]], None]
STOPPED = {
    "done": "all of it is measured",
    "runs": "the budget of runs is used up; the same command goes on",
    "seconds": "the budget of time is used up; the same command goes on",
}


@contextmanager
def shown_campaign(spec: CampaignSpec) -> Iterator[Show]:
    """What shows rows in Prefect's UI as they come."""
    key = artifact_key("campaign", spec.matrix.name)
    table = FillingTable(key, f"Campaign {spec.matrix.name}", cells_of, most=CAMPAIGN_SHOWN)
    try:
        yield table.show
    finally:
        table.close()


def cells_of(row: CampaignRow) -> dict[str, Any]:
    """A row as the table has it."""
    return {
        "workload": row.place.workload, "machine": row.place.machine, "CPUs": row.place.cpus, "seed": row.place.seed,
        "contender": row.contender, "result": result_text(row),
    }  # fmt: skip


def result_text(row: CampaignRow) -> str:
    """What it came to, in words."""
    if row.ratio is None:
        return row.why_not
    by = f" by {row.policy}" if row.policy != row.contender else ""
    return f"{ratio_text(row.ratio)}, {row.why_not or row.outcome}{by}"


def plan_lines(plan: CampaignPlan) -> Iterator[str]:
    """What a campaign takes, before it starts."""
    yield f"campaign {plan.name}: {plan.comparisons:,} comparisons"
    left = plan.runs - plan.known
    yield (
        f"  runs: {plan.runs:,}, {plan.known:,} known already, {left:,} to compute; "
        f"{plan.verifications:,} verifications"
    )
    if plan.planners:
        yield f"  planners: {plan.planners:,}, which choose as they go: at most {plan.planner_runs:,} runs more"
    if plan.seconds is None:
        yield f"  time: not known: {plan.untimed:,} runs are of a kind that was never timed here"
    else:
        one = _duration(plan.guest_s or 0)
        yield f"  time: {_duration(plan.seconds)} on {plan.slots} guests at once ({one} of one)"
    yield f"  takes: {plan.slots} host CPUs and {plan.memory_mib:,} MiB of memory for guests"
    for why in plan.left_out:
        yield f"  left out: {why}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def done_lines(done: CampaignDone) -> Iterator[str]:
    """The table, best first in each place, and how far it came."""
    for place in dict.fromkeys(row.place for row in done.rows):
        yield str(place)
        own = [row for row in done.rows if row.place == place]
        for row in sorted(own, key=lambda row: -(row.ratio.median if row.ratio else 0)):
            yield f"  {row.contender:<22} {result_text(row)}"
    yield (
        f"campaign {done.name}: {STOPPED[done.stopped]}; {done.computed:,} runs computed, {done.known:,} were known; "
        f"{done.guest_s:.1f} s in guests, {done.wall_s:.1f} s in all"
    )
    for reason, count in done.failures.items():
        yield f"  without a result, {count}: {reason}"
