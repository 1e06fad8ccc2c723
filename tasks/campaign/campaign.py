# SPDX-License-Identifier: Apache-2.0
"""A campaign on a cluster: policies, then planners, and what came of it in files that a page can be made from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.plot_courses import draw_rows
from policy_lake.campaign import CampaignDone, CampaignPlan, CampaignRow, CampaignStop
from policy_lake.doing import doing
from policy_lake.files import atomic_write
from policy_lake.model import to_json
from tasks.campaign.compute import AHEAD
from tasks.campaign.conduct import LEFT, Budget, Conduct
from tasks.campaign.forecast import forecast
from tasks.campaign.ground import ground_of
from tasks.campaign.matrix import CampaignSpec
from tasks.campaign.planners import planner_rows
from tasks.campaign.times import read_times
from tasks.fleet.cluster import Cluster, slots_now
from tasks.fleet.fan_out import Pool
from tasks.host.lake import open_lake
from tasks.trial.pictures import Form, write_pictures
from tasks.trial.work import Done

MOST_DRAWN = 60  # places in one picture


def plan_campaign(spec: CampaignSpec) -> CampaignPlan:
    """What the campaign takes on this host's slots, or those of the cluster that is joined once it is there."""
    ground = ground_of(spec, next(spec.matrix.in_order()))
    slots = spec.settings.slots(ground.guest.host_cpus)
    return forecast(spec, open_lake(spec.settings), read_times(spec.settings), slots=slots)


def directory_of(spec: CampaignSpec) -> Path:
    """Where what came of it is kept."""
    return spec.settings.data_dir / "campaigns" / spec.matrix.name


def run_campaign(
    spec: CampaignSpec, ray_cluster: Cluster, on_rows: Callable[[list[CampaignRow]], None] = lambda _: None
) -> CampaignDone:
    """Compute what is left of it; `on_rows` hears all rows so far as they grow. This process alone writes to the lake.

    InfraError when the cluster is lost: what was computed is kept, and the next start goes on.
    """
    doing("campaign: waiting for Ray")
    ray_cluster.ready()
    began, lake, times = time.monotonic(), open_lake(spec.settings), read_times(spec.settings)
    budget = Budget(spec.matrix.budget.runs, spec.matrix.budget.seconds)
    deadline_s = (AHEAD + 1) * (spec.settings.trial_deadline_s + spec.settings.build_deadline_s)

    def pool() -> Pool[Done]:
        return Pool[Done](deadline_s=deadline_s, label="campaign", lost=ray_cluster.lost)

    rows = list[CampaignRow]()
    planned_s = list[float]()
    with pool() as slots:
        conduct = Conduct(spec, lake, slots, slots_now=slots_now, budget=budget, times=times)
        try:
            for row in conduct.run() if spec.matrix.policies else ():
                rows.append(row)
                on_rows(rows)
        finally:
            times.keep()
    for row in planner_rows(spec, lake, pool, budget, note=planned_s.append):
        rows.append(row)
        on_rows(rows)
    left = any(row.why_not == LEFT for row in rows)
    stopped: CampaignStop = "done" if not left else "runs" if budget.used == "runs" else "seconds"
    done = CampaignDone(
        spec.matrix.name, stopped, conduct.computed, conduct.known, tuple(in_order(spec, rows)),
        dict(conduct.failures), conduct.guest_s + sum(planned_s), time.monotonic() - began,
    )  # fmt: skip
    atomic_write(directory_of(spec) / "done.json", json.dumps(to_json(done), indent=1).encode())
    return done


def in_order(spec: CampaignSpec, rows: list[CampaignRow]) -> list[CampaignRow]:
    """The rows as the matrix has them, however they came."""
    places = {place: number for number, place in enumerate(spec.matrix.in_order())}
    names = {name: number for number, name in enumerate((*spec.matrix.policies, *spec.matrix.planners))}
    return sorted(rows, key=lambda row: (places[row.place], names[row.contender]))


def draw_campaign(done: CampaignDone, directory: Path) -> dict[str, Path]:
    """Pictures of the rows, one for each so many places, by name."""
    measured = [row for row in done.rows if row.ratio is not None]
    places = list(dict.fromkeys(row.place for row in measured))
    parts = [places[first : first + MOST_DRAWN] for first in range(0, len(places), MOST_DRAWN)]

    def drawn(form: Form) -> Iterator[tuple[str, bytes]]:
        for number, part in enumerate(parts, 1):
            own = [row for row in measured if row.place in part]
            name = "campaign" if len(parts) == 1 else f"campaign-{number}"
            title = f"{done.name}{f', part {number} of {len(parts)}' if len(parts) > 1 else ''}"
            yield name, draw_rows([(str(row.place), row.contender, row.ratio) for row in own if row.ratio], title, form)

    return write_pictures(directory, drawn)
