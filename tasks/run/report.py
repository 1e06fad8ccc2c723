# SPDX-License-Identifier: Apache-2.0
"""What a run found, for a person: rows for a table, and one report as Markdown or as plain text."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.statistics import four_digits, outcome_text
from policy_lake import ranking
from policy_lake.model import Clock, WorkloadProfile
from policy_lake.scores import Score
from policy_lake.show import for_markdown, for_terminal
from tasks.plan import describe
from tasks.run.certainty import Tried, certainty, ratio_text
from tasks.run.shown import report_parts, shown

NOT_CLAIMED = (
    "Not claimed: that the ratio carries over to another machine, kernel, CPU count or load. It was measured in a "
    "small virtual machine, one workload at a time"
)
EMULATED = "; under emulation (tcg) caches and memory bandwidth are not a CPU's."
VIRTUAL = (
    ", in virtual time: every instruction takes the same time, and caches, memory bandwidth and frequency are not "
    "modelled. It ranks what schedulers decide, not what that does to a cache."
)


def not_claimed(clock: Clock) -> str:
    """What a score taken by that clock does not say."""
    return NOT_CLAIMED + (VIRTUAL if clock == "virtual" else EMULATED)


def table_rows(tried: Iterable[Tried]) -> list[dict[str, Any]]:
    """One row a candidate, as the table artifact and the command line show them."""
    return [
        {
            "iteration": attempt.candidate.iteration,
            "candidate": attempt.candidate.id,
            "policy": describe(attempt.candidate.policy, attempt.candidate.knob_values),
            "result": attempt.result,
            "planner": attempt.candidate.planner,
            "reason": attempt.candidate.reason,
        }
        for attempt in tried
    ]


def best_of(tried: Iterable[Tried]) -> Score | None:
    """The best score of the candidates that were measured."""
    return ranking.best(attempt.score for attempt in tried if attempt.score is not None)


def baseline_line(score: Score) -> str:
    """What the baseline itself reached, and the best that arithmetic allows."""
    own = statistics.median(pair.baseline for pair in score.pairs)
    where = f"{score.topology or f'{score.cpus} CPUs'}, {score.clock} clock" + (
        f", {score.accel}" if score.accel else ""
    )
    line = f"{score.baseline}: {score.metric} {four_digits(own)} {score.unit} (median of {len(score.pairs)}; {where})"
    if score.bound is None:
        return f"{line}. Arithmetic sets no bound here."
    return f"{line}. The best ratio that arithmetic allows is {score.bound:.2f}x."


def best_line(score: Score | None) -> str:
    """The run's outcome in one sentence."""
    if score is None:
        return "No candidate was measured."
    name = describe(score.policy, score.knob_values)
    if score.outcome == "win":
        return f"Best: {name}, {ratio_text(score.ratio)} against {score.baseline} ({change(score)})."
    return f"Nothing won. Nearest: {name}, {ratio_text(score.ratio)} against {score.baseline}, {outcome_text(score)}."


def change(score: Score) -> str:
    """The median difference in the metric's own direction: `makespan 24 % lower`."""
    baseline = statistics.median(pair.baseline for pair in score.pairs)
    policy = statistics.median(pair.policy for pair in score.pairs)
    if not baseline:
        return f"{score.metric} {baseline:g} to {policy:g} {score.unit}"
    percent = 100 * (policy - baseline) / baseline
    return f"{score.metric} {abs(percent):.0f} % {'lower' if percent < 0 else 'higher'}"


def text_report(
    profile: WorkloadProfile, tried: Sequence[Tried], *, token: str | None, seconds: dict[str, float], warning: str = ""
) -> str:
    """The whole report as plain text."""
    profile, tried, token, warning = report_parts(profile, tried, token, warning, for_terminal)
    best = best_of(tried)
    lines = [f"Workload {profile.workload}: {profile.goal}", "", profile.text, ""]
    if best is not None:
        lines += [baseline_line(best), ""]
    lines += [_row_text(row) for row in table_rows(tried)]
    lines += ["", best_line(best), *certainty(best, tried), *_ending(best, token, seconds, warning)]
    return "\n".join(lines) + "\n"


def markdown_report(
    profile: WorkloadProfile, tried: Sequence[Tried], *, token: str | None, seconds: dict[str, float], warning: str = ""
) -> str:
    """The whole report as Markdown."""
    profile, tried, token, warning = report_parts(profile, tried, token, warning, for_markdown)
    best = best_of(tried)
    lines = [f"# {profile.workload}", "", best_line(best), "", f"Goal: {profile.goal}", "", profile.text, ""]
    if best is not None:
        lines += [baseline_line(best), ""]
    lines += ["| iteration | policy | result | why it was tried |", "|---|---|---|---|"]
    lines += [f"| {r['iteration']} | {_cell(r['policy'])} | {_cell(r['result'])} | {_cell(r['reason'])} |"
              for r in table_rows(tried)]  # fmt: skip
    for attempt in tried:
        if attempt.rejection is not None:
            lines += ["", f"## Rejected: {attempt.candidate.id}", "", attempt.rejection.reason, ""]
            lines += [f"    {line}" for line in attempt.rejection.evidence.splitlines()]
    lines += ["", *certainty(best, tried), "", *_ending(best, token, seconds, warning)]
    return "\n".join(lines) + "\n"


def profile_page(profile: WorkloadProfile) -> str:
    """The workload profile as Markdown."""
    profile = shown(profile, for_markdown)
    lines = [
        f"# {profile.workload}", "", profile.text, "", f"Goal: {profile.goal}", "",
        f"{profile.wall_s:.2f} s on {profile.cpus} CPUs, {profile.cpu_s:.2f} s of CPU time, parallelism "
        f"{profile.parallelism:.2f}, {profile.wakeups_per_s:.0f} wake-ups a second.", "",
        "| command | tasks | CPU ms | most of one task | waiting ms | wake-ups | burst us p50/p99 | wait us p50/p99 |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {_cell(c.comm)} | {c.tasks} | {c.cpu_ms:.1f} | {c.cpu_ms_max_task:.1f} | {c.wait_ms:.1f} | {c.wakeups} "
        f"| {c.burst_us_p50:.0f} / {c.burst_us_p99:.0f} | {c.wait_us_p50:.0f} / {c.wait_us_p99:.0f} |"
        for c in profile.commands
    ]
    return "\n".join(lines) + "\n"


def _ending(best: Score | None, token: str | None, seconds: dict[str, float], warning: str) -> list[str]:
    spent = f"{seconds['total']:.0f} s in all, {seconds['vm']:.0f} s of it in guests"
    kernel = f" Kernel {best.kernel}." if best is not None and best.kernel else ""
    token_line = f"Token: {token}" if token else "Token: none, as nothing won."
    warned = [f"Warning: {warning}."] if warning else []
    return [token_line, f"Time: {spent}.{kernel}", *warned, "", not_claimed(best.clock if best else "wall")]


def _row_text(row: dict[str, Any]) -> str:
    return f"  {row['iteration']}  {row['policy']:<40}  {row['result']}"


def _cell(text: str) -> str:
    return text  # escaped with all else, by report_parts
