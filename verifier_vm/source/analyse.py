# SPDX-License-Identifier: Apache-2.0
"""Everything that is looked for in one source, in the process that parses it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clang import cindex

from verifier_vm.source import directives, parse
from verifier_vm.source.checks import charge, cpus, credit, order, returns, text, time
from verifier_vm.source.tree import Found

FAMILIES = (cpus, order, returns, time, credit, charge)
ENOUGH = 200  # findings; nobody reads more of one policy


def analyse(source: str, flags: Sequence[str]) -> dict[str, Any]:
    """Findings, and clang's errors if there are any: then only what needs no tree is looked for.

    {"died": 0} when the parser fell over or the nesting has no end; {"failed": ...} for an error of ours.
    """
    try:
        return _analyse(source, flags)
    except (cindex.TranslationUnitLoadError, parse.TooDeepError, RecursionError, MemoryError):
        return {"died": 0}
    except Exception as error:
        return {"failed": repr(error)[:500]}


def _analyse(source: str, flags: Sequence[str]) -> dict[str, Any]:
    findings = list(directives.check(source))
    unit, errors = parse.parse(source, flags)
    # Made by another clang, or spoilt: the headers themselves are still there.
    if any("PCH" in error or "AST file" in error for error in errors) and "-include-pch" in flags:
        at = list(flags).index("-include-pch")
        unit, errors = parse.parse(source, [*flags[:at], *flags[at + 2 :]])
    if not errors:
        findings += _in_tree(unit)
    return {"found": list(dict.fromkeys(findings))[:ENOUGH], "errors": errors[:5]}


def _in_tree(unit: cindex.TranslationUnit) -> Iterator[Found]:
    program, others = parse.program_of(unit)
    yield from text.check(program, others)
    for family in FAMILIES:
        yield from family.check(program)
