# SPDX-License-Identifier: Apache-2.0
"""The fourth stage: lessons from an iteration, and the best policy so far promoted."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from tasks.fleet.retry import retryable
from tasks.host.spans import Span
from tasks.learn import learn as learn_lessons
from tasks.run.promote import promote
from tasks.run.scope import open_scope
from tasks.run.spec import RunSpec, run_of
from tasks.run.tally import tally

learn_task = retryable(learn_lessons, name="learn-lessons")
promote_task = retryable(promote, name="promote-best")


@flow(name="learn", flow_run_name="learn {run} {iteration}")
async def learn(run: RunSpec | str, iteration: int = 1) -> tuple[Path | None, str, list[Span]]:
    """The token of the run's best policy so far (None when nothing has won), why it has none, and when guests ran."""
    scope = open_scope(run_of(run))
    learn_task(scope, tally(scope, {}, iteration=iteration))
    spans: list[Span] = []
    refusals = [""]
    token = promote_task(scope, tally(scope, {}), on_span=spans.append, on_refusal=refusals.append)
    return token, refusals[-1], spans
