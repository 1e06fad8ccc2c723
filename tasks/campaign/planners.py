# SPDX-License-Identifier: Apache-2.0
"""The planners of a campaign, each in each place with the same number of runs, which it chooses as it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from policy_lake.campaign import CampaignRow
from policy_lake.doing import doing
from policy_lake.errors import InfraError, InputError
from policy_lake.lake import Lake
from tasks.campaign.conduct import LEFT, Budget, row_of
from tasks.campaign.matrix import CampaignSpec
from tasks.compare import CompareRequest, OpenSlots, compare


def planner_rows(
    spec: CampaignSpec, lake: Lake, open_slots: OpenSlots, budget: Budget, *, note: Callable[[float], None]
) -> Iterator[CampaignRow]:
    """One row a planner and place; the budget is looked at before each. Their runs lie in the lake as they end.

    `note` hears the seconds of guests that each took.
    """
    matrix = spec.matrix
    for place in matrix.in_order():
        for name in matrix.planners:
            if budget.used:
                yield CampaignRow(place, name, why_not=LEFT)
                continue
            doing("campaign: planner %s on %s", name, place)
            request = CompareRequest(place.workload, (name,), matrix.max_runs, pairs=matrix.pairs, seed=place.seed)
            try:
                (course,) = compare(request, spec.settings_of(place), lake, open_slots=open_slots).courses
            except (InfraError, InputError) as error:
                yield CampaignRow(place, name, why_not=f"no result: {error}")
                continue
            note(course.guest_s)
            budget.spent += course.runs
            yield row_of(place, name, course.best)
