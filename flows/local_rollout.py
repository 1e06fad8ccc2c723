# SPDX-License-Identifier: Apache-2.0
"""A rollout from a command line: on a Prefect server of its own, or the one at PREFECT_API_URL."""

from __future__ import annotations

import asyncio

from flows.local import await_server
from policy_lake.doing import doing
from policy_lake.rollout import RolloutDone
from tasks.fleet.environment import prepare_environment
from tasks.fleet.prefect_server import drain, serving
from tasks.rollout.spec import RolloutSpec


def run_rollout(spec: RolloutSpec) -> RolloutDone:
    """The rollout to its end. Whatever ends it, the policy is taken off where it was not promoted."""
    prepare_environment()
    doing("starting Prefect's server")
    with serving() as server:
        from prefect import tags
        from prefect.settings import PREFECT_API_URL, temporary_settings

        from flows.rollout import rollout

        await_server(server)
        with temporary_settings({PREFECT_API_URL: server.url} if server else {}), tags(spec.id):
            try:
                return asyncio.run(rollout(spec))
            finally:
                drain()
