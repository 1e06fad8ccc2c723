# SPDX-License-Identifier: Apache-2.0
"""Flow runs that Prefect takes for running, because the process that would have told it otherwise was killed."""

from __future__ import annotations

from collections.abc import Callable

from policy_lake.show import logger

MOST = 200  # the latest of those that run; more at a time no server of ours has
log = logger(__name__)


def crash_dead(dead: Callable[[str], bool], *, why: str) -> int:
    """Set to Crashed the flow runs that are tagged with a run of which `dead` says that its process is gone; how many.

    Stages, which are flow runs of their own, bear the tag too. For the server that the settings name. A server that
    does not do so is told of in the log alone: the run that goes on does not depend on it.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import PrefectException
    from prefect.states import Crashed

    kinds = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=kinds))
    crashed = 0
    try:
        with get_client(sync_client=True) as client:
            latest = FlowRunSort.EXPECTED_START_TIME_DESC
            for run in client.read_flow_runs(flow_run_filter=unfinished, sort=latest, limit=MOST):
                if any(map(dead, run.tags)):
                    client.set_flow_run_state(run.id, Crashed(message=why), force=True)
                    crashed += 1
    except (HTTPError, PrefectException) as error:
        log.info("Prefect was not told which runs are dead: %s", error)
    return crashed
