# SPDX-License-Identifier: Apache-2.0
"""Jobs: one runs, the others wait their turn; each is a process, and none outlives the server that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import anyio
from anyio.abc import Process, TaskGroup

from control_plane.mcp.asked import JobAsked
from control_plane.mcp.data import last_of, quoted
from control_plane.mcp.job import Job, end_in_time, environment, follow, keep_last
from control_plane.mcp.job_records import Failure, JobSaid, JobState, Task
from control_plane.mcp.limits import (
    ENDING_S,
    ERROR_CHARACTERS,
    KEPT_JOBS,
    WAITING_JOBS,
)
from policy_lake.errors import InfraError, InputError

WORK = [sys.executable, "-m", f"{(__package__ or '')}.work"]
WORDS: dict[Failure, str] = {
    "input": "failed: what was asked for is wrong",
    "machine": "failed: this machine, and not the policy",
    "lost": "failed: its process ended without a word",
}
CLOSING_S = 1.0
OnProgress = Callable[[int, str], Awaitable[None]]


class Jobs:
    """The queue, for the length of an `async with`, at whose end nothing of it is left."""

    def __init__(self, command: Sequence[str] = (), *, ending_s: float = ENDING_S) -> None:
        self._command, self._ending_s = list(command or WORK), ending_s
        self._waiting: deque[Job] = deque()
        self._jobs: dict[str, Job] = {}
        self._news = anyio.Event()
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._one_after_the_other)
        return self

    async def __aexit__(self, *failure: Any) -> None:
        assert self._group is not None
        self._waiting.clear()
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(*failure)

    def start(self, asked: JobAsked) -> JobState:
        """Put a job behind those that wait; InfraError when too many do."""
        if len(self._waiting) >= WAITING_JOBS:
            raise InfraError(f"{WAITING_JOBS} jobs wait already: get_job says how far they are, cancel_job ends one")
        job = Job(asked)
        self._jobs[job.id] = job
        self._waiting.append(job)
        self._news.set()
        return self.state(job)

    async def wait(self, task_id: str, seconds: float, on_progress: OnProgress) -> JobSaid:
        """The job as soon as it has ended, or as it is after so many seconds; `on_progress` hears of each step."""
        job, told = self._job(task_id), -1
        with anyio.move_on_after(seconds):
            while not job.ended:
                changed = job.changed
                if job.lines and job.steps > told:
                    told = job.steps
                    await on_progress(told, job.lines[-1])
                await changed.wait()
        return self.said(job)

    async def cancel(self, task_id: str) -> JobState:
        """End a job, and all that it started, or take it out of the queue; one that has ended stays what it is."""
        job = self._job(task_id)
        if job in self._waiting:
            self._waiting.remove(job)
            job.change(status="cancelled")
        elif not job.ended:
            job.change(told_to_end=True)
            with anyio.move_on_after(self._ending_s + 1):
                while not job.ended:
                    await job.changed.wait()
        return self.state(job)

    def state(self, job: Job) -> JobState:
        """How far the job is."""
        task = Task(
            task_id=job.id, status=job.status, status_message=self._words(job), created_at=job.created,
            last_updated_at=job.updated,
        )  # fmt: skip
        return JobState(task=task, kind=job.asked.kind)

    def said(self, job: Job) -> JobSaid:
        """The job with its latest progress and what came of it."""
        state, lines = self.state(job), tuple(quoted(line, "log") for line in job.lines)
        return JobSaid(
            task=state.task, kind=state.kind, progress=lines, failure=job.failure, error=job.error, result=job.result
        )

    def _words(self, job: Job) -> str:
        if job.status == "failed":
            return WORDS[job.failure]
        if job.ended:
            return "done" if job.status == "completed" else "cancelled"
        if job in self._waiting:
            busy = any(other.running and not other.ended for other in self._jobs.values())
            return f"waiting, {self._waiting.index(job) + busy} before it"
        return "ending" if job.told_to_end else "running"

    def _job(self, task_id: str) -> Job:
        if task_id not in self._jobs:
            raise InputError(f"task_id: there is no such job here, or it ended more than {KEPT_JOBS} jobs ago")
        return self._jobs[task_id]

    async def _one_after_the_other(self) -> None:
        while True:
            while not self._waiting:
                self._news = anyio.Event()
                await self._news.wait()
            job = self._waiting.popleft()
            job.change(running=True)
            try:
                await self._work(job)
            except OSError as error:  # no process could be had
                job.fail("machine", quoted(error.strerror, "log"))
            self._forget()

    def _forget(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.ended]
        for task_id in ended[: max(0, len(ended) - KEPT_JOBS)]:
            del self._jobs[task_id]

    async def _work(self, job: Job) -> None:
        """One job from its process's start to its end."""
        words: deque[bytes] = deque(maxlen=8)
        process = await anyio.open_process(self._command, env=environment(job.asked), start_new_session=True)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(end_in_time, job, process, self._ending_s)
                group.start_soon(keep_last, process.stderr, words)
                with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    assert process.stdin is not None
                    await process.stdin.send(job.asked.model_dump_json().encode() + b"\n")
                await follow(job, process.stdout)
                if job.failure != "lost":
                    await self._ended(process)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._ended(process, signal.SIGTERM)
                # asyncio lets go of a process once its pipes were read to their end.
                with anyio.move_on_after(CLOSING_S):
                    for stream in (process.stdout, process.stderr):
                        await keep_last(stream, words)
        if job.told_to_end and not job.ended:
            job.change(status="cancelled")
        elif not job.ended:
            job.fail("lost", last_of(b"".join(words).decode(errors="replace"), "log", ERROR_CHARACTERS))

    async def _ended(self, process: Process, number: int = 0) -> None:
        """Wait for the process, asking it with a signal; what of its group is left after that is killed."""
        if number and process.returncode is None:
            process.send_signal(signal.Signals(number))
        with anyio.move_on_after(self._ending_s):
            await process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
