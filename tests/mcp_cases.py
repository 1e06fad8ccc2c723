# SPDX-License-Identifier: Apache-2.0
"""What the tests of the MCP server share: a server in memory, a queue of made-up jobs, calls of tools."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from control_plane.mcp.asked import ObserveAsked
from control_plane.mcp.checks import Checks
from control_plane.mcp.jobs import Jobs
from control_plane.mcp.server import Reading, make_server
from tasks.host.settings import Settings

FAKE = [sys.executable, str(Path(__file__).parent / "fake_mcp_job.py")]
READ = {
    "list_workloads", "search_policies", "get_policy", "get_authoring_guide", "get_history", "check_source",
}  # fmt: skip
RUN = {"start_observe", "start_verify", "start_score", "start_tune", "get_job", "cancel_job"}


def with_jobs(test: Callable[[Jobs], Awaitable[None]], *, ending_s: float = 5.0) -> None:
    """Run the test with a queue whose jobs are made up."""

    async def run() -> None:
        with anyio.fail_after(60):
            async with Jobs(FAKE, ending_s=ending_s) as jobs:
                await test(jobs)

    anyio.run(run)


def with_client(
    test: Callable[[Client], Awaitable[None]], settings: Settings, *, allow_run: bool = True, checks: Any = None
) -> None:
    """Run the test with the SDK's client of a server in memory; its jobs are made up, its checks if asked for."""

    async def run() -> None:
        reading = Reading(settings, checks or Checks())
        try:
            async with Jobs(FAKE) as jobs, Client(make_server(reading, jobs if allow_run else None)) as client:
                await test(client)
        finally:
            reading.close()

    anyio.run(run)


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers, as data; an error of it fails the test."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The words in which a tool says no."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error and result.structured_content is None, result
    (content,) = result.content
    return content.text


async def until(jobs: Jobs, task_id: str, enough: Callable[[Any], bool]) -> Any:
    """The job as soon as `enough` says so."""
    with anyio.fail_after(20):
        while not enough(job := await jobs.wait(task_id, 0, _silent)):
            await anyio.sleep(0.02)
    return job


async def ended(jobs: Jobs, workload: str) -> Any:
    """What became of a job with that workload."""
    state = jobs.start(ObserveAsked(workload=workload))
    with anyio.fail_after(20):
        return await jobs.wait(state.task.task_id, 60, _silent)


async def _silent(step: int, text: str) -> None:
    pass
