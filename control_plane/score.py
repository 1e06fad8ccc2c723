# SPDX-License-Identifier: Apache-2.0
"""`schedcp score`: one policy measured on one workload, in interleaved pairs against EEVDF."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from control_plane.output import out, print_json, working
from policy_lake.model import Score, to_json
from tasks.report import baseline_line, not_claimed, ratio_text
from tasks.score import score
from tasks.settings import load_settings

REJECTED = 3


def score_command(policy: str, workload: str, *, pairs: int, seed: int, knobs: Sequence[str], as_json: bool) -> int:
    """Measure, print, return the exit status."""
    with working(f"measuring {policy} on {workload}: {pairs} pairs in one guest"):
        _, trial = score(policy, workload, load_settings(), pairs=pairs, seed=seed, knobs=knobs)
    if trial.score is None:
        rejection = trial.verdict.rejection
        assert rejection is not None
        if as_json:
            print_json({"rejection": to_json(rejection)})
        else:
            out().print(f"[red]rejected[/] at {rejection.stage}: {escape(rejection.reason)}", soft_wrap=True)
        return REJECTED
    if as_json:
        print_json({**to_json(trial.score), "warnings": [trial.warning] if trial.warning else []})
    else:
        _show(trial.score, trial.warning)
    return 0


def _show(score: Score, warning: str) -> None:
    console = out()
    for number, pair in enumerate(score.pairs, 1):
        ratio = pair.baseline / pair.policy
        line = f"  pair {number}: {score.baseline} {pair.baseline:.4g} {score.unit}, {score.policy} {pair.policy:.4g}"
        console.print(f"{line} {score.unit}, {ratio:.3f}x (seed {pair.seed})")
    console.print(baseline_line(score))
    console.print(f"[bold]{score.policy}: {ratio_text(score.ratio)}, {score.outcome}[/]")
    console.print(f"attached throughout: {'yes' if score.attached else 'no'}")
    if warning:
        console.print(f"[yellow]warning[/]: {escape(warning)}", soft_wrap=True)
    console.print(not_claimed(score.clock))
