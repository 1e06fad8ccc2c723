# SPDX-License-Identifier: Apache-2.0
"""Where the ways of a branch lead in the source."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from policy_lake.coverage import END, CodeLine
from verifier_vm.coverage.conditions import Place

NOWHERE = ("", 0)


def opening_of(lines: Sequence[CodeLine], ends: Collection[Place]) -> tuple[str, int]:
    """File and line that open a function, to which the compiler puts down how it ends; NOWHERE where it does not.

    `ends` are the places of what ends it.
    """
    own = [(line.file, line.line) for line in lines if line.line and not line.file.endswith(".h")]
    first = min(own, default=NOWHERE, key=lambda place: place[1])
    return first if first in {place[:2] for place in ends} else NOWHERE


def leads_to(place: Place, branch: Place, opening: tuple[str, int]) -> int:
    """The line of a way that leads to a place; END, or 0 where a function of another file was put in."""
    if place[:2] == opening and place[1] != branch[1]:
        return END
    return place[1] if place[0] == branch[0] else 0
