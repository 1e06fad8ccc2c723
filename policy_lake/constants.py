# SPDX-License-Identifier: Apache-2.0
"""Constants of an object that are no knobs of its source: what can be refused, before it is there and after."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from policy_lake.errors import InputError
from policy_lake.knobs import MOST_BYTES, NAME, OPS_FLAG, OPS_USE, KnobError, bounds, canonical, check_size, quoted
from policy_lake.model import Knob, Policy

MOST_NEAR = 5  # names that are shown in place of one that is not there
ANY = (  # what a constant may be of which nobody knows the type yet
    Knob("", "int", "", ""), Knob("", "bool", "", ""), Knob("", "ints", "", "", count=MOST_BYTES),
    Knob("", "names", "", "", count=MOST_BYTES),
)  # fmt: skip


def check_known(policy: Policy, values: Mapping[str, object]) -> None:
    """KnobError that lists near names for a name that is neither a constant of the policy's object nor of its ops.

    `policy` has them all as its knobs.
    """
    known = [knob.name for knob in policy.knobs]
    for name in values:
        if name not in {*known, OPS_USE, OPS_FLAG}:
            near = difflib.get_close_matches(name[:60], known, MOST_NEAR, 0.5)
            others = f"near names: {', '.join(near)}" if near else f"it has {', '.join(known[:MOST_NEAR]) or 'none'}"
            more = f" and {len(known) - MOST_NEAR} more" if not near and len(known) > MOST_NEAR else ""
            message = f"the object of policy '{policy.id}' has no variable {quoted(name)} in .rodata (const volatile)"
            raise KnobError(f"{message}; {others}{more}")


def check_constants(values: Mapping[str, object]) -> None:
    """KnobError for what no constant of any object could be set to, or be called: before there is an object to ask."""
    for name, value in values.items():
        if name in (OPS_USE, OPS_FLAG):
            continue
        if not NAME.fullmatch(name):
            raise KnobError(f"{quoted(name)} is no name of a constant")
        if not any(_takes(knob, value) for knob in ANY):
            takes = f"neither a number of 64 bits nor a list of such, or of names of up to {ANY[0].name_bytes} bytes"
            raise KnobError(f"constant '{name}': {quoted(value)} is {takes}")
    check_size({name: str(value) for name, value in values.items()})


def _takes(knob: Knob, value: object) -> bool:
    try:
        canonical(knob, value)
    except KnobError:
        return False
    return True


def check_sets(knobs: Iterable[Knob], sets: Mapping[str, object]) -> None:
    """InputError for a value of `--set` that its variable does not take, which names the variable with its C type."""
    for knob in knobs:
        if knob.name not in sets:
            continue
        try:
            canonical(knob, sets[knob.name])
        except KnobError:
            raise InputError(f"--set {knob.name}: {takes(knob)}, not {quoted(sets[knob.name])}") from None


def takes(knob: Knob) -> str:
    """What a constant takes, after its declaration: `u32 slice takes a whole number from 0 to 4294967295`."""
    low, high = bounds(knob)
    number = "true or false" if knob.kind == "bool" else f"a whole number from {low} to {high}"
    if knob.kind == "names":
        room = f"[{knob.count}]" if knob.count > 1 else ""
        what = f"up to {knob.count} names, with commas between," if room else "a name"
        return f"char {knob.name}{room}[{knob.name_bytes + 1}] takes {what} of 1 to {knob.name_bytes} bytes"
    if knob.kind == "ints":
        some = f"up to {knob.count} whole numbers from {low} to {high}, with commas between"
        return f"{knob.c_type} {knob.name}[{knob.count}] takes {some}"
    return f"{knob.c_type or 'number'} {knob.name} takes {number}"
