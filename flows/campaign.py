# SPDX-License-Identifier: Apache-2.0
"""A campaign: a matrix of workloads, policies, machines and seeds, as runs that go out to every node of the cluster."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from policy_lake.campaign import CampaignDone
from tasks.campaign.campaign import run_campaign
from tasks.campaign.matrix import CampaignSpec, define_campaign
from tasks.campaign.shown import shown_campaign
from tasks.fleet import cluster
from tasks.fleet.retry import retryable

campaign_task = retryable(run_campaign, name="run-campaign")


@flow(name="campaign", flow_run_name="campaign {file}")
async def campaign(file: str) -> CampaignDone:
    """What a deployment starts: the campaign in that file, by the settings of the environment."""
    return await loop(define_campaign(Path(file)))


@flow(name="campaign", flow_run_name="campaign {spec}")
async def campaign_of(spec: CampaignSpec) -> CampaignDone:
    """Compute what is left of a campaign, and return its whole table."""
    return await loop(spec)


async def loop(spec: CampaignSpec) -> CampaignDone:
    """The runs, with a table that fills up; started again after any loss, it goes on where it was."""
    with cluster.running(spec.settings, host_cpus=1) as ray_cluster, shown_campaign(spec) as show:
        return campaign_task(spec, ray_cluster, show)
