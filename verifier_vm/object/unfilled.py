# SPDX-License-Identifier: Apache-2.0
"""Findings that hang on a constant which a loader fills and nobody filled: said so, with the option that mends it.

Each constant that is 0, was read and was not set is taken for unknown, and the object walked again: what is then no
longer found was about a policy that nobody runs. One of a byte, which is most often a switch, is taken for 1: where the
same bug is found then, no loader mends that. Asked of rejections, and of notes about a value (a slice of 0).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from policy_lake.knobs import values_of
from policy_lake.model import Finding
from verifier_vm.object.facts import Facts
from verifier_vm.object.filled import Constant, constants

OF_VALUES = frozenset(("F20",))  # bugs of which a note may hang on a constant
MOST = 6  # constants that are looked at one by one; each walk may take half a second
SLICE_NS = 20_000_000  # SCX_SLICE_DFL
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000}
Again = Callable[[Collection[str]], Sequence[Finding]]  # the findings with these constants unknown
Set = Callable[[str], Sequence[Finding]]  # the findings with that constant 1


def explain(
    findings: Sequence[Finding], facts: Facts, arguments: Sequence[str], again: Again, set_to_1: Set
) -> list[Finding]:
    """The findings, where a constant that is not filled is behind one with its name and what to set."""
    asked = [finding for finding in findings if _may_hang(finding)]
    unset = list(_unset(facts, arguments))[:MOST] if asked else []
    if not unset:
        return list(findings)
    names = _behind(asked, [constant.name for constant in unset if constant.size > 1], again)
    for switch in (constant.name for constant in unset if constant.size == 1):
        still = {finding.bug for finding in set_to_1(switch) if _may_hang(finding)}
        for finding in asked:
            if finding.bug not in still:
                names.setdefault(_key(finding), []).append(switch)
    return [_told(finding, names[_key(finding)]) if _key(finding) in names else finding for finding in findings]


def _behind(asked: Sequence[Finding], candidates: Sequence[str], again: Again) -> dict[tuple[str, str, str], list[str]]:
    """By finding, the constants that it hangs on: those each of which alone would do, else all of them."""
    if not candidates:
        return {}
    keys = {_key(finding) for finding in asked}
    hanging = keys - _keys(again(candidates))
    if not hanging or len(candidates) == 1:
        return {key: list(candidates) for key in hanging}
    alone = {name: keys - _keys(again((name,))) for name in candidates}
    return {key: [name for name in candidates if key in alone[name]] or list(candidates) for key in hanging}


def _keys(findings: Iterable[Finding]) -> set[tuple[str, str, str]]:
    return {_key(finding) for finding in findings if _may_hang(finding)}


def _may_hang(finding: Finding) -> bool:
    return finding.level == "reject" or (finding.level == "note" and finding.bug in OF_VALUES)


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.bug, finding.place, finding.reason


def _unset(facts: Facts, arguments: Sequence[str]) -> Iterable[Constant]:
    """Constants of one number that are 0, that some path reads, and that no word sets."""
    given, program = values_of(arguments), facts.program
    for constant in constants(program):
        places = [(constant.section, constant.offset + at) for at in range(constant.size)]
        compiled = program.data.get(constant.section, b"")[constant.offset : constant.offset + constant.size]
        is_read = any(place in facts.record.constants for place in places)
        is_open = any(place in program.open for place in places)
        if (
            constant.size in (1, 2, 4, 8)
            and is_read
            and not any(compiled)
            and not is_open
            and constant.name not in given
        ):
            yield constant


def _told(finding: Finding, names: Sequence[str]) -> Finding:
    which = " and ".join(f"{name} is const volatile and 0" for name in names)
    options = " ".join(f"--set {name}={_value(name)}" for name in names)
    return replace(
        finding,
        reason=f"{which}, which a loader fills: as compiled, {finding.reason}",
        advice=f"{options}, as its loader does; or else: {finding.advice}",
    )


def _value(name: str) -> str:
    """A number that a person may take as it is for a slice; for all else only its place."""
    unit = UNITS.get(name.rpartition("_")[2])
    return str(SLICE_NS // (unit or 1)) if "slice" in name.lower() else "VALUE"
