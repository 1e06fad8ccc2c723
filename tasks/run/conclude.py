# SPDX-License-Identifier: Apache-2.0
"""The end of a run: its report on disk, its result, its last row in the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.remarks import remarks
from policy_lake.calls import use_of
from policy_lake.doing import doing
from policy_lake.files import atomic_write
from policy_lake.show import logger
from policy_lake.tuned import Ablation, Stop, TuneResult
from tasks.fleet.report_link import report_link
from tasks.host.guest import prepare_guest
from tasks.host.spans import Phases, Span
from tasks.run.layout import wrapped
from tasks.run.report import best_line, best_of, markdown_report, text_report
from tasks.run.scope import Scope, end_run, profile_of
from tasks.run.tally import tally, tune_result
from tasks.trial.pictures import Pictures

log = logger(__name__)


SUMS = ("total", "vm", "overhead")


def time_table(seconds: Mapping[str, float]) -> str:
    """The phases as a Markdown table; they sum to the total."""
    rows = [f"| {name} | {value:.1f} |" for name, value in seconds.items() if name not in SUMS]
    return "\n".join(["| phase | seconds |", "|---|---|", *rows, f"| total | {seconds['total']:.1f} |", ""])


def time_text(seconds: Mapping[str, float]) -> str:
    """The same in one line."""
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name not in SUMS)
    return "\n".join(wrapped(f"Seconds by phase: {parts}."))


@dataclass(frozen=True, slots=True)
class Ending:
    """A run's result, and its report for people, whole in itself: its pictures are in it."""

    result: TuneResult
    markdown: str


def conclude(
    scope: Scope,
    profile_id: str,
    failures: Mapping[str, str],
    *,
    token: Path | None,
    refusal: str = "",
    spans: Sequence[Span],
    phases: Phases,
    pictures: Pictures | None = None,
    stopped: Stop = "",
    paid: Sequence[Ablation] = (),
) -> Ending:
    """Write `report.md` and `report.txt` into the run's directory, and the run's row into the lake.

    `refusal` is why the winner could not be signed.
    """
    doing("writing the report")
    profile = profile_of(scope, profile_id)
    tried = tally(scope, failures)
    seconds = phases.seconds(spans)
    directory = scope.settings.run_dir / scope.run_id
    token_path = str(token) if token else None
    warning = prepare_guest(scope.settings, scope.shape).warning
    markdown = markdown_report(
        profile,
        tried,
        token=token_path,
        seconds=seconds,
        warning=warning,
        refusal=refusal,
        stopped=stopped,
        paid=paid,
    )
    times, use = time_table(seconds), use_of(scope.lake.calls(scope.run_id))
    spent = "".join(f"{line}\n" for line in wrapped(f"{use.words}.")) if use.calls else ""
    drawn = pictures.markdown() if pictures else ""
    atomic_write(directory / "report.md", f"{markdown}\n{times}\n{spent}\n{drawn}".encode())
    text = text_report(
        profile,
        tried,
        token=token_path,
        seconds=seconds,
        warning=warning,
        refusal=refusal,
        stopped=stopped,
        paid=paid,
    )
    atomic_write(directory / "report.txt", f"{text}\n{time_text(seconds)}\n{spent}".encode())
    unsigned = f"no token: {refusal}" if refusal else ""
    warnings = [text for text in (*remarks(profile), warning, unsigned) if text]
    result = tune_result(
        scope, tried, token=token, report=directory / "report.md", seconds=seconds,
        warnings=warnings, pictures=pictures.files if pictures else {},
        stopped=stopped, paid=paid, model=use if use.calls else None,
    )  # fmt: skip
    best = best_of(tried)
    won = best.policy if best is not None and best.outcome == "win" else ""
    end_run(scope, "done", best=won, summary=result)
    log.info("%s", best_line(best, tried))
    within = pictures.markdown(embedded=True) if pictures else ""
    link = report_link(scope.settings, "runs", scope.run_id)
    return Ending(result, f"{markdown}\n{times}\n{spent}\n{within}{link}")
