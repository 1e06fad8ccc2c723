# SPDX-License-Identifier: Apache-2.0
"""The stage `source`: hands a policy's C to the parser and makes a Stage of what it says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from policy_lake.errors import InfraError
from policy_lake.model import Finding, Stage
from verifier_vm.situations import Situation
from verifier_vm.source.parser_process import ask_parser
from verifier_vm.verdict import stage_of

SOURCE_LIMIT = 4 << 20  # characters
LEVELS = ("reject", "suspicion", "note")
NAMES = re.compile(r"\b(?:__)?([A-Z][A-Z0-9_]+)\b")  # of enumerators, and of the variables that mirror them
_DEEP = "nest less deeply, and expand macros less often"


def lint_source(
    source: str,
    *,
    name: str,
    flags: Sequence[str],
    launcher: Sequence[str] = (),
    constants: Mapping[str, int] | None = None,
    timeout_s: float = 60,
) -> Stage:
    """What the C of a policy says by itself, as the stage `source`; places are `name`:LINE.

    `flags` are the compiler's own for this source (bpf.build.front_end_flags), `launcher` the words that confine a
    command (bpf.build.front_end_launcher): with none the parser is limited in time and memory only, and a note says so.
    `constants` are the kernel's enumerators, for variables that mirror them (`__SCX_SLICE_DFL`), which a loader fills.
    A source that does not compile passes with a note, for the stage `build` to say why. One that the parser cannot
    finish is rejected on evidence only: CPU time that it used, nesting, or the same crash twice. InfraError when
    libclang is missing, or twice does not answer within `timeout_s` of wall time or is lost.
    """
    started = time.monotonic()
    if len(source) > SOURCE_LIMIT:
        findings = [Finding("compiler", "reject", f"it is larger than {SOURCE_LIMIT >> 20} MiB", name, "write less")]
        return stage_of("source", time.monotonic() - started, findings)
    source = source.encode(errors="replace").decode()  # half a surrogate has no place in a file
    named = set(NAMES.findall(source))
    mirrored = {name: value for name, value in (constants or {}).items() if name in named}
    request = {"source": source, "flags": list(flags), "constants": mirrored}
    answer = ask_parser(request, launcher, timeout_s)
    if answer.get("ended") in ("crash", "lost"):
        again = ask_parser(request, launcher, timeout_s)
        # What happens to a busy host does not happen twice in the same way; what a source does, does.
        answer = again if again == answer or again.get("ended") != "crash" else {"ended": "lost", "detail": str(again)}
    findings = _findings(answer, name)
    if not launcher:
        findings.append(Finding("confine", "note", "the parser could read every file that its user can", name))
    return stage_of("source", time.monotonic() - started, findings, _evidence(source, findings))


def _findings(answer: dict[str, Any], name: str) -> list[Finding]:
    if "ended" in answer:
        return [_end(answer, name)]
    if "failed" in answer:
        raise InfraError(f"the parser failed on '{name}': {answer['failed']}")
    try:
        findings = [_finding(name, *fields) for fields in answer["found"]]
        errors = [str(error) for error in answer["errors"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InfraError(f"the parser's answer on '{name}' has another form: {error!r}") from error
    if errors:
        reason = f"it does not compile: {errors[0][:200]}"
        findings.append(Finding("compiler", "note", reason, name, "see the stage build"))
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def _finding(
    name: str, bug: str, level: str, reason: str, line: int, advice: str, situations: Sequence[str] = ()
) -> Finding:
    if level not in LEVELS:
        raise ValueError(level)
    place = f"{name}:{int(line)}" if line else name
    would_show = tuple(Situation(situation) for situation in situations)
    return Finding(str(bug), level, str(reason), place, str(advice), situations=would_show)  # type: ignore[arg-type]


def _end(answer: dict[str, Any], name: str) -> Finding:
    how, detail = answer["ended"], answer.get("detail", "")
    if how == "cpu":
        reason = f"parsing it did not end within {detail} of CPU time"
    elif how == "nesting":
        reason = "it is nested deeper than the parser follows"
    elif how == "crash":
        reason = f"it makes the parser crash, each time: {detail}"
    else:
        raise InfraError(f"the parser was lost on '{name}': {detail}")
    return Finding("compiler", "reject", reason, name, _DEEP)


def _evidence(source: str, findings: Sequence[Finding]) -> str:
    """Each finding with the line it is about."""
    lines = source.splitlines()
    paragraphs = []
    for finding in findings:
        number = finding.place.rpartition(":")[2]
        about = lines[int(number) - 1].strip() if number.isdigit() and 0 < int(number) <= len(lines) else ""
        paragraphs.append(
            f"{finding.place}: {finding.level}: {finding.reason}" + (f"\n    {about[:160]}" if about else "")
        )
    return "\n".join(paragraphs)
