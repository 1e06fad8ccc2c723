# SPDX-License-Identifier: Apache-2.0
"""A run's pictures beside its report: every score with its interval and bound, and the best policy's timeline."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.timeline import Timeline
from policy_lake.doing import doing
from policy_lake.errors import InfraError
from policy_lake.scores import Score
from policy_lake.show import logger
from tasks.host.spans import Span, spanned
from tasks.run.batch import read_evidence
from tasks.run.certainty import lead_of
from tasks.run.report import best_of
from tasks.run.scope import Scope
from tasks.run.tally import tally
from tasks.trial.pictures import Pictures, draw
from tasks.trial.spec import Loadable
from tasks.trial.traced import trace_runs

log = logger(__name__)


def illustrate(scope: Scope, *, on_span: Callable[[Span], None] = lambda _: None) -> Pictures | None:
    """Draw what the run has measured, into its directory; None when nothing was. Without a guest, without timeline.

    `on_span` hears when the guest ran.
    """
    tried = tally(scope, {})
    # What breaks a guard is shown, too: whoever set the guard has to see what it costs.
    best = best_of(tried) or lead_of(tried)
    if best is None:
        return None
    scores = sorted((candidate.score for candidate in tried if candidate.score), key=lambda score: -score.ratio.median)
    doing("pictures: %s and EEVDF once more, event by event", best.policy)
    try:
        timelines, span = spanned(lambda: _timelines(scope, best))
        on_span(span)
    except InfraError as error:  # pictures explain a result; they are none
        log.warning("no timeline: %s", error)
        timelines = {}
    return draw(scope.settings.run_dir / scope.run_id, scores, timelines)


def _timelines(scope: Scope, best: Score) -> dict[str, Timeline]:
    evidence = read_evidence(scope, best.candidate)
    path = scope.settings.object_dir / f"{evidence.verdict.object_sha256}.bpf.o"
    try:
        policy = Loadable(path.read_bytes(), evidence.arguments, best.policy)
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from error
    return trace_runs(scope.workload, policy, scope.shape, scope.settings, seed=best.seed)
