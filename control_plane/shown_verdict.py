# SPDX-License-Identifier: Apache-2.0
"""A verdict as `schedcp verify` prints it: stages, notes, open questions with their answers, and why it is rejected."""

from __future__ import annotations

from pathlib import Path

from rich.panel import Panel

from control_plane.output import err, escape, escape_lines, out
from policy_lake.model import Finding, Rejection, Stage, Verdict
from tasks.verify import Verified
from verifier_vm.answers import met_of
from verifier_vm.verdict import LACKED, lacks, rejection_of

NOT_SEEN = "not seen"  # of a question that a guest answered: nothing to do, and told in short


def show_verdict(file: Path, done: Verified) -> None:
    """Print the verdict on `file`."""
    console, verdict = out(), done.verdict
    for stage in verdict.stages:
        mark = "[green]ok  [/]" if stage.ok else "[red]FAIL[/]"
        aside = _aside(stage, verdict)
        console.print(f"  {mark} {escape(stage.name):<8} {stage.seconds:6.2f} s{aside}", soft_wrap=True)
    _show_open(verdict)
    for stage in verdict.stages:
        if (rejection := rejection_of(stage)) is not None:
            _show_rejection(rejection)
    if verdict.accepted:
        console.print(
            f"[green]accepted[/]: {escape(file.name)} ({escape(verdict.ops)}) on kernel {escape(verdict.kernel)}",
            soft_wrap=True,
        )
    if done.tier and (on := tried_on(verdict, done.tier)):
        console.print(escape(on), soft_wrap=True)
    if done.machine:
        console.print(f"machine: {escape(done.machine)}", soft_wrap=True)
    if done.warning:
        console.print(f"[yellow]warning[/]: {escape(done.warning)}", soft_wrap=True)


def tried_on(verdict: Verdict, tier: str) -> str:
    """In which tier it was tried, and on which topologies it came to the suite's end; empty where no guest began it."""
    if not any(stage.name == "survive" for stage in verdict.stages):
        return ""
    passed = dict.fromkeys(topology for stage in verdict.stages for topology in stage.topologies)
    words = [f"{on.cpus} CPU{'s' * (on.cpus != 1)} (SMT {on.smt}, LLCs {on.llcs}, nodes {on.nodes})" for on in passed]
    end = f"to its end on {'; '.join(words)}" if words else "not to its end"
    return f"tried: {tier} tier, {end}"


def _aside(stage: Stage, verdict: Verdict) -> str:
    notes = sum(finding.level == "note" and not lacks(finding, verdict.stages) for finding in stage.findings)
    return f"  {notes} note{'s' * (notes != 1)}" if notes else ""


def _show_open(verdict: Verdict) -> None:
    """What was noted, and the questions that the static stages left to the guest, with what came of each."""
    findings = [finding for stage in verdict.stages for finding in stage.findings]
    needs = {need for finding in findings if (need := lacks(finding, verdict.stages))}
    if lacked := [need for need in LACKED if need in needs]:
        words = ", ".join(LACKED[need] for need in lacked)
        hosts = " ".join(f"--require {need}" for need in lacked)
        out().print(f"  [cyan]note[/] not there: {words}; for hosts that need it: {hosts}", soft_wrap=True)
    findings = [finding for finding in findings if not lacks(finding, verdict.stages)]
    met = met_of(verdict.stages)
    for level, word in (
        ("note", "[cyan]note[/]"),
        ("suspicion", "[yellow]suspicion[/]"),
        ("unknown", "[yellow]open[/]"),
    ):
        for finding in findings:
            if finding.level == level and finding.outcome != NOT_SEEN:
                out().print(
                    f"  {word} {_where(finding)}{escape(finding.reason)}{_answer(finding, met)}", soft_wrap=True
                )
    if gone := [_short(finding) for finding in findings if finding.is_open and finding.outcome == NOT_SEEN]:
        out().print(f"  tried, not seen (more with --json): {escape(', '.join(dict.fromkeys(gone)))}", soft_wrap=True)


def _short(finding: Finding) -> str:
    return f"{finding.bug} at {finding.place}" if finding.place else finding.bug


def _answer(finding: Finding, met: frozenset[str]) -> str:
    if not finding.is_open:
        return ""
    return f" - [bold]{escape(_outcome(finding, met))}[/]"


def _outcome(finding: Finding, met: frozenset[str]) -> str:
    """What came of an open question, and in which of its situations."""
    tried, missing = ("; ".join(one for one in finding.situations if (one in met) is way) for way in (True, False))
    if finding.outcome == "partly tried":
        rest = f"not tried ({missing})" if missing else "it may be what failed"
        return f"tried, not seen ({tried}); {rest}"
    if finding.outcome == "not tried" and tried:  # they never came by that line
        return f"not tried: no guest took every way of that line ({tried}{'; not met: ' * bool(missing)}{missing})"
    if finding.outcome == "not tried":
        return f"not tried ({missing or 'no situation is known that would show it'})"
    return finding.outcome


def _show_rejection(rejection: Rejection) -> None:
    console = out()
    likely = "likely " if rejection.basis == "guess" else ""
    bug = f" ({likely}{escape(rejection.bug)})" if rejection.bug else ""
    console.print(f"[red]rejected[/] at {escape(rejection.stage)}{bug}: {escape(rejection.reason)}", soft_wrap=True)
    if rejection.place and rejection.place not in rejection.reason:
        console.print(f"  where: {escape(rejection.place)}", soft_wrap=True)
    if rejection.advice:
        console.print(f"  what to change: {escape(rejection.advice)}", soft_wrap=True)
    # The kernel's own words are pages of registers and task states: --json has them.
    evidence = [line for line in rejection.evidence.splitlines() if not line or line not in rejection.reason]
    shown = "\n".join(rejection.witness or evidence).strip("\n")
    if shown:
        err().print(Panel(escape_lines(shown), title=f"{escape(rejection.stage)}: evidence", title_align="left"))


def _where(finding: Finding) -> str:
    return escape(f"{finding.bug} at {finding.place}: " if finding.place else f"{finding.bug}: ")
