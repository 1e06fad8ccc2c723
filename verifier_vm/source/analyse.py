# SPDX-License-Identifier: Apache-2.0
"""Everything that is looked for in one source, in the process that parses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clang import cindex

from verifier_vm.source import directives, parse
from verifier_vm.source.checks import charge, cpus, credit, order, returns, text, time
from verifier_vm.source.tree import Found

FAMILIES = (cpus, order, returns, time, credit, charge)
PRECOMPILED = "-include-pch"
FATAL = 4  # clang reads no further after one, a header that is not there for example
ENOUGH = 200  # findings; nobody reads more of one policy


def analyse(source: str, flags: Sequence[str], constants: Mapping[str, int]) -> dict[str, Any]:
    """Findings, and clang's errors if there are any: then only what needs no tree is looked for.

    {"ended": "nesting"} when it is nested deeper than this program follows, {"ended": "crash"} when clang fell over
    (libclang catches its own signals), {"failed": ...} for an error of ours.
    """
    try:
        return _analyse(source, flags, constants)
    except (parse.TooDeepError, RecursionError):
        return {"ended": "nesting"}
    except cindex.TranslationUnitLoadError:
        return {"ended": "crash", "detail": "libclang could not parse it"}
    except Exception as error:
        return {"failed": repr(error)[:500]}


def _analyse(source: str, flags: Sequence[str], constants: Mapping[str, int]) -> dict[str, Any]:
    findings = list(directives.check(source, lambda marked: _taken(marked, flags)))
    unit, errors = _parsed(source, flags)
    if not errors:
        findings += _in_tree(unit, constants)
    return {"found": list(dict.fromkeys(findings))[:ENOUGH], "errors": errors[:5]}


def _taken(marked: str, flags: Sequence[str]) -> frozenset[int] | None:
    """Which marks of directives.py are compiled; None where the preprocessor did not come to the end to tell."""
    unit, errors = _parsed(marked, [*flags, "-ferror-limit=0"])
    if any(diagnostic.severity >= FATAL for diagnostic in unit.diagnostics):
        return None
    return directives.reached(errors)


def _parsed(source: str, flags: Sequence[str]) -> tuple[cindex.TranslationUnit, list[str]]:
    """The tree and its errors, without the precompiled header where that is at fault: the headers are still there.

    One made by another clang, or spoilt, is an error in clang's words. From one that another process has just removed,
    or is half there, libclang makes no tree at all, as from a source that crashes it.
    """
    if PRECOMPILED not in flags:
        return parse.parse(source, flags)
    at = list(flags).index(PRECOMPILED)
    without = [*flags[:at], *flags[at + 2 :]]
    try:
        unit, errors = parse.parse(source, flags)
    except cindex.TranslationUnitLoadError:
        return parse.parse(source, without)
    if any("PCH" in error or "AST file" in error for error in errors):
        return parse.parse(source, without)
    return unit, errors


def _in_tree(unit: cindex.TranslationUnit, constants: Mapping[str, int]) -> Iterator[Found]:
    program, others = parse.program_of(unit, constants)
    yield from text.check(program, others)
    for family in FAMILIES:
        yield from family.check(program)
