# SPDX-License-Identifier: Apache-2.0
"""`schedcp campaign`: what it needs before it starts, its table at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from control_plane.campaign_outputs import CampaignOutput
from control_plane.output import err, escape, out, print_json, working
from policy_lake.show import for_terminal
from tasks.campaign.matrix import define_campaign


def campaign_command(file: Path, plots: Path | None, *, only_plan: bool, as_json: bool) -> None:
    """Plan, and unless that is all, run and print."""
    from tasks.campaign.campaign import draw_campaign, plan_campaign
    from tasks.campaign.shown import done_lines, plan_lines
    from tasks.trial.pictures import check_directory

    spec = define_campaign(file)
    if plots is not None:
        check_directory(plots)
    with working(f"counting the runs of {for_terminal(spec.matrix.name)}"):
        plan = plan_campaign(spec)
    if only_plan:
        if as_json:
            print_json("campaign --plan", plan)
        else:
            _say(plan_lines(plan))
        return
    for line in plan_lines(plan):
        err().print(escape(line), soft_wrap=True)
    from flows.local_campaign import run_campaign_here

    with working(f"campaign {for_terminal(spec.matrix.name)}"):
        done = run_campaign_here(spec)
    pictures = {name: str(path) for name, path in draw_campaign(done, plots).items()} if plots is not None else {}
    if as_json:
        print_json("campaign", CampaignOutput(plan, done, pictures))
        return
    _say(done_lines(done))
    _say(f"{name}: {path}" for name, path in pictures.items())


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        out().print(escape(line), soft_wrap=True)
