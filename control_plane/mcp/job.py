# SPDX-License-Identifier: Apache-2.0
"""One job: what was asked for, what has become of it, and what its process says of that."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
from collections import deque
from datetime import UTC, datetime
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import TypeAdapter, ValidationError

from control_plane.mcp.asked import JobAsked, TuneAsked
from control_plane.mcp.data import Quoted, quoted
from control_plane.mcp.job_records import Failure, Result, Status
from control_plane.mcp.limits import ERROR_CHARACTERS, PROGRESS_LINES, RESULT_BYTES
from policy_lake.errors import InputError
from policy_lake.secrets import MODEL_KEY, child_environment

_RESULT: TypeAdapter[Any] = TypeAdapter(Result)


class Job:
    """One request and what has become of it so far."""

    def __init__(self, asked: JobAsked) -> None:
        self.id, self.asked, self.created = secrets.token_hex(16), asked, _now()
        self.updated, self.running = self.created, False
        self.status: Status = "working"
        self.lines: deque[str] = deque(maxlen=PROGRESS_LINES)
        self.steps = 0  # how many changes there have been
        self.failure: Failure = ""
        self.error: Quoted | None = None
        self.result: Any = None
        self.told_to_end = False
        self.changed = anyio.Event()

    @property
    def ended(self) -> bool:
        return self.status != "working"

    def change(self, **values: Any) -> None:
        """Set what has become of it, and wake those who wait for that."""
        for name, value in values.items():
            setattr(self, name, value)
        self.steps, self.updated = self.steps + 1, _now()
        self.changed.set()
        self.changed = anyio.Event()

    def fail(self, failure: Failure, error: Quoted | None) -> None:
        self.change(status="failed", failure=failure, error=error)


async def end_in_time(job: Job, process: Process, ending_s: float) -> None:
    """Ask the process to end once the job is told to; kill what is left when it has had its time, or said its last."""
    while not job.told_to_end and not job.ended:
        await job.changed.wait()
    with contextlib.suppress(ProcessLookupError):
        if job.told_to_end:
            process.terminate()
        await anyio.sleep(ending_s)
        os.killpg(process.pid, signal.SIGKILL)


async def keep_last(stream: ByteReceiveStream | None, words: deque[bytes]) -> None:
    """Keep what the process said last on stderr."""
    assert stream is not None
    async for piece in stream:
        words.append(piece[-ERROR_CHARACTERS:])


async def follow(job: Job, stream: ByteReceiveStream | None) -> None:
    """Take what the job's process says, to its end; a line that is none of ours ends that."""
    assert stream is not None
    lines = BufferedByteReceiveStream(stream)
    with contextlib.suppress(anyio.EndOfStream, anyio.IncompleteRead):
        while True:
            try:
                _take(job, json.loads(await lines.receive_until(b"\n", RESULT_BYTES)))
            except (anyio.DelimiterNotFound, ValidationError, ValueError, KeyError, TypeError) as error:
                why = f"what its process said could not be taken: {type(error).__name__}"
                job.fail("lost", quoted(why, "log"))
                return


def _take(job: Job, message: dict[str, Any]) -> None:
    event = message["event"]
    if job.ended or job.told_to_end:
        return
    if event == "progress":
        if (text := str(message["text"])) not in list(job.lines)[-1:]:
            job.lines.append(text)
            job.change()
    elif event == "error":
        failure: Failure = "input" if message["exit_status"] == InputError.exit_status else "machine"
        job.fail(failure, quoted(message["text"], "log"))
    elif event == "result":
        job.change(result=_RESULT.validate_python(message["result"]), status="completed")


def environment(asked: JobAsked) -> dict[str, str]:
    """What a job's process has of this one's."""
    # The planner of a run may ask a model, within the caps of the settings; no other job has use for the key.
    key = os.environ.get(MODEL_KEY, "") if isinstance(asked, TuneAsked) else ""
    return child_environment(**({MODEL_KEY: key} if key else {}))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
