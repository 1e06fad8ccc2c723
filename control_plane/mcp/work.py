# SPDX-License-Identifier: Apache-2.0
"""A job, in a process of its own: one request on stdin, then lines of progress and one result on stdout, as JSON.

It ends with whoever started it: when stdin is closed it is as if SIGTERM had come, and what it started ends with it.
Nothing in it signs: a verdict is the verifier's own, a run's winner gets no token.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from control_plane import ending
from control_plane.mcp.asked import JobAsked, ObserveAsked, PolicyAsked, ScoreAsked, TuneAsked, VerifyAsked
from control_plane.mcp.data import knobs_of, named, named_or_none, one_line, quoted
from control_plane.mcp.job_records import Observed, Scored, TriedSaid, Tuned, Verified
from control_plane.mcp.known import policy_by_id
from control_plane.mcp.limits import CANDIDATES, ERROR_CHARACTERS, LOG_CHARACTERS, RESULT_BYTES
from control_plane.mcp.said import (
    of_coverage,
    of_profile,
    of_ratio,
    of_rejection,
    of_score,
    of_stage,
    warnings_of,
)
from control_plane.progress import listening
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.files import scratch
from policy_lake.limits import most_pairs as most_of
from policy_lake.tuned import TunedCandidate, TuneResult
from tasks.host.lake import open_lake
from tasks.host.settings import Settings, load_settings

REQUEST_BYTES = 8 << 20


def main() -> None:
    """The job's process."""
    wire = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no line of ours
    request = sys.stdin.buffer.readline(REQUEST_BYTES)
    threading.Thread(target=_end_with_starter, name="starter", daemon=True).start()
    ending.run(lambda **_: work(request, Wire(wire)), "schedcp")


def _end_with_starter() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class Wire(logging.Handler):
    """What goes back: one JSON object a line. As a handler of the log it takes what is being done."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(logging.INFO)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self.progress(record.getMessage())

    def progress(self, text: str) -> None:
        self.send(event="progress", text=one_line(text, ERROR_CHARACTERS))

    def send(self, **message: Any) -> None:
        """One line; a starter that is gone ends this process by itself."""
        with self.lock or threading.RLock():
            try:
                self._stream.write(json.dumps(message) + "\n")
                self._stream.flush()
            except OSError:
                os.kill(os.getpid(), signal.SIGTERM)


def work(request: bytes, wire: Wire) -> None:
    """Do what the request asks for, and send what came of it."""
    try:
        asked: JobAsked = TypeAdapter(JobAsked).validate_json(request)
        with listening(wire):
            result = _done(asked, wire).model_dump(mode="json")
        if (size := len(json.dumps(result))) > RESULT_BYTES:
            raise InfraError(f"what it came to has {size} bytes, more than {RESULT_BYTES}")
    except SchedcpError as error:
        wire.send(event="error", exit_status=error.exit_status, text=one_line(error, ERROR_CHARACTERS))
        raise
    wire.send(event="result", result=result)


def _done(asked: JobAsked, wire: Wire) -> Observed | Verified | Scored | Tuned:
    if isinstance(asked, ObserveAsked):
        return observe(asked)
    if isinstance(asked, VerifyAsked):
        return verify(asked, wire)
    return score(asked) if isinstance(asked, ScoreAsked) else tune(asked)


def observe(asked: ObserveAsked) -> Observed:
    """A workload's profile, which the lake keeps."""
    from tasks.host.guest import shape_for
    from tasks.host.workloads import find_workload
    from tasks.observe import observe as observe_workload

    settings = _settings(asked)
    workload = find_workload(asked.workload, settings)
    shape = shape_for(settings, workload)
    return of_profile(observe_workload(workload, settings, shape, open_lake(settings), seed=asked.seed, say=False)[0])


def verify(asked: VerifyAsked, wire: Wire) -> Verified:
    """A verdict without a token."""
    from tasks.verify import VerifyOptions
    from tasks.verify import verify as verify_policy

    settings = load_settings()
    with _file(asked, settings) as path:
        done = verify_policy(
            path, settings, knobs=asked.knobs, options=VerifyOptions(asked.suite, here=True),
            workload=asked.workload, on_stage=wire.progress,
        )  # fmt: skip
    verdict = done.verdict
    return Verified(
        kind="verify", accepted=verdict.accepted, suite=asked.suite, ops=named_or_none(verdict.ops),
        rejection=of_rejection(verdict.rejection) if verdict.rejection else None,
        stages=tuple(map(of_stage, verdict.stages)), coverage=of_coverage(verdict.coverage),
        object_sha256=verdict.object_sha256, kernel=named_or_none(verdict.kernel), clock=done.clock,
        score=of_score(done.score) if done.score else None, warnings=warnings_of([done.warning]),
    )  # fmt: skip


def score(asked: ScoreAsked) -> Scored:
    """A score, which the lake keeps."""
    from bpf.library import policies
    from control_plane.results import Rejected
    from control_plane.score import scored
    from tasks.score import ScoreRequest

    settings = _settings(asked)
    most = asked.most_pairs or (asked.pairs if asked.size == "smoke" else most_of(asked.pairs))
    in_library = {policy.id for policy in policies()}
    with _file(asked, settings) as path:
        named_so = asked.policy if asked.policy in in_library else str(path)
        request = ScoreRequest(named_so, asked.workload, asked.pairs, most, asked.seed, asked.knobs)
        result, trial = scored(request, settings, open_lake(settings))
    if not isinstance(result, Rejected):
        return Scored(kind="score", score=of_score(result), rejection=None, warnings=warnings_of(result.warnings))
    measured = of_score(result.score) if result.score else None
    warnings = warnings_of([trial.warning])
    return Scored(kind="score", score=measured, rejection=of_rejection(result.rejection), warnings=warnings)


def tune(asked: TuneAsked) -> Tuned:
    """A whole run, without the token of its winner."""
    from flows.local import run_tune
    from tasks.run.spec import Budget, define_run

    budget = Budget(asked.max_runs, asked.max_guest_seconds, asked.max_seconds)
    run = define_run(
        asked.workload, _settings(asked), iterations=asked.iterations, per_iteration=asked.per_iteration,
        pairs=asked.pairs, seed=asked.seed, budget=budget, token=False,
    )  # fmt: skip
    return of_run(run_tune(run))


def of_run(result: TuneResult) -> Tuned:
    """A run as a client is told of it, with its report."""
    tried = [(one, round_.iteration) for round_ in result.iterations for one in round_.candidates]
    tried.sort(key=lambda each: -each[0].ratio.median if each[0].ratio else 0.0)
    report = Path(result.report).with_suffix(".txt") if result.report else None
    text = report.read_text(encoding="utf-8") if report and report.is_file() else ""
    return Tuned(
        kind="tune", run=named(result.run_id), workload=named(result.workload),
        tried=tuple(_tried(one, iteration) for one, iteration in tried[:CANDIDATES]),
        left_out=max(0, len(tried) - CANDIDATES), best=result.best.candidate if result.best else "",
        rejected=result.rejected, failed=result.failed, seconds=result.seconds.get("total", 0.0),
        stopped=result.stopped, report=quoted(text, "log", LOG_CHARACTERS) if text else None,
        warnings=warnings_of(result.warnings),
    )  # fmt: skip


def _tried(one: TunedCandidate, iteration: int) -> TriedSaid:
    return TriedSaid(
        candidate=named(one.id), iteration=iteration, policy=named(one.policy), knobs=knobs_of(one.knob_values),
        planner=quoted(one.planner, "planner"), reason=quoted(one.reason, "planner"),
        ratio=of_ratio(one.ratio) if one.ratio else None, outcome=one.outcome,
        rejected_at=named(one.rejection.stage) if one.rejection else "",
        rejection=quoted(one.rejection.reason, "verifier") if one.rejection else None,
        failure=quoted(one.failure, "log") if one.failure else None,
    )  # fmt: skip


def _settings(asked: ObserveAsked | ScoreAsked | TuneAsked) -> Settings:
    return load_settings(tier=asked.size, cpus=asked.cpus or None)


@contextmanager
def _file(asked: PolicyAsked, settings: Settings) -> Iterator[Path]:
    """The policy as a file, which the verifier takes; it goes when the job is done."""
    if bool(asked.policy) == bool(asked.source):
        raise InputError("give one of `policy`, an id, and `source`, a whole policy")
    name, source = asked.policy or asked.name, asked.source
    with scratch("mcp-job") as directory:
        path = Path(directory) / f"{name}.bpf.c"
        path.write_text(source or policy_by_id(asked.policy, settings).source, encoding="utf-8")
        yield path


if __name__ == "__main__":
    main()
