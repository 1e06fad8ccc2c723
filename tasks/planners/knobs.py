# SPDX-License-Identifier: Apache-2.0
"""Knob settings: whether a policy takes them, and when two sets of them are the same."""

from __future__ import annotations

from collections.abc import Mapping

from policy_lake.model import Knob, KnobValue, Policy

LONGEST_NAME = 15  # TASK_COMM_LEN is 16, and the last byte is zero
TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})

Attempt = tuple[str, tuple[tuple[str, KnobValue], ...]]


class KnobError(ValueError):
    """A setting that its policy does not take; the message names knob, value and range."""


def legal(knob: Knob, value: object) -> KnobValue:
    """The value in the form its kind is written in: int, bool, or a comma-separated str. Raises KnobError."""
    if knob.kind == "bool":
        return _boolean(knob, value)
    if knob.kind == "int":
        return _integer(knob, value)
    items = value if isinstance(value, list | tuple) else [part for part in str(value).split(",") if part.strip()]
    if knob.kind == "ints":
        return ",".join(str(_integer(knob, item)) for item in items)
    return ",".join(_name(knob, item) for item in items)


def settle(policy: Policy, settings: Mapping[str, object]) -> dict[str, KnobValue]:
    """The settings in legal form, in the order the policy lists its knobs. Raises KnobError."""
    known = {knob.name for knob in policy.knobs}
    for name in settings:
        if name not in known:
            raise KnobError(f"{policy.id} has no knob {name!r}; it has {', '.join(sorted(known)) or 'none'}")
    return {knob.name: legal(knob, settings[knob.name]) for knob in policy.knobs if knob.name in settings}


def attempt(policy: Policy, settings: Mapping[str, object]) -> Attempt:
    """What makes two plans the same: the policy and every knob's value, a default counting as if it were set."""
    values = {knob.name: default(knob) for knob in policy.knobs} | settle(policy, settings)
    return policy.id, tuple(values.items())


def default(knob: Knob) -> KnobValue:
    """The value the knob has when nobody sets it."""
    try:
        return legal(knob, knob.default)
    except KnobError:  # a default may be written as an expression, or lie outside the range: it still is one value
        return knob.default


def _boolean(knob: Knob, value: object) -> bool:
    word = str(value).strip().lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise KnobError(f"{knob.name} is true or false, not {value!r}")


def _integer(knob: Knob, value: object) -> int:
    try:
        number = int(value.strip(), 0) if isinstance(value, str) else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        raise KnobError(f"{knob.name} is a whole number, not {value!r}") from None
    if isinstance(value, bool) or (isinstance(value, float) and number != value):
        raise KnobError(f"{knob.name} is a whole number, not {value!r}")
    if (knob.low is not None and number < knob.low) or (knob.high is not None and number > knob.high):
        raise KnobError(f"{knob.name}={number} is outside {knob.low} to {knob.high} {knob.unit}".rstrip())
    return int(number)


def _name(knob: Knob, value: object) -> str:
    name = str(value).strip()
    if not name or "," in name or len(name.encode()) > LONGEST_NAME or not name.isprintable():
        raise KnobError(f"{knob.name} takes names of 1 to {LONGEST_NAME} bytes without a comma, not {value!r}")
    return name
