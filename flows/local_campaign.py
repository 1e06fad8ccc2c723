# SPDX-License-Identifier: Apache-2.0
"""A campaign from a command line: on a Prefect server and a Ray of its own, or those of the environment."""

from __future__ import annotations

import asyncio

from flows.local import await_server
from policy_lake.campaign import CampaignDone
from policy_lake.doing import doing
from policy_lake.errors import InfraError
from tasks.campaign.matrix import CampaignSpec
from tasks.fleet import cluster
from tasks.fleet.environment import prepare_environment
from tasks.fleet.lost import forget, lost
from tasks.fleet.prefect_server import drain, serving
from tasks.fleet.reach import check_reachable
from tasks.run.warm import import_trial


def run_campaign_here(spec: CampaignSpec) -> CampaignDone:
    """The campaign as far as its budget goes. Whatever ends it, all that it started is ended, what it knows kept."""
    prepare_environment()  # while there is one thread
    doing("starting Prefect's server and Ray")
    check_reachable()
    forget()
    with cluster.running(spec.settings, host_cpus=1, warm=import_trial) as ray_cluster, serving() as server:
        from prefect import tags
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from flows.campaign import campaign_of

        await_server(server)
        with temporary_settings({PREFECT_API_URL: server.url} if server else {}), tags(spec.matrix.name):
            try:
                return asyncio.run(campaign_of(spec))
            except BaseException:
                if reason := lost():
                    raise InfraError(reason) from None
                raise
            finally:
                if not lost():
                    drain()
                ray_cluster.stop()
