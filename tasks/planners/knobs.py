# SPDX-License-Identifier: Apache-2.0
"""When two plans are the same: knobs with their defaults."""

from __future__ import annotations

from collections.abc import Mapping

from policy_lake.knobs import KnobError, canonical, settle
from policy_lake.model import Knob, KnobValue, Policy

Attempt = tuple[str, tuple[tuple[str, KnobValue], ...]]


def attempt(policy: Policy, knob_values: Mapping[str, object]) -> Attempt:
    """What makes two plans the same: the policy and every knob's value, a default counting as if it were set."""
    values = {knob.name: default(knob) for knob in policy.knobs} | settle(policy, knob_values)
    return policy.id, tuple(values.items())


def default(knob: Knob) -> KnobValue:
    """The value the knob has when nobody sets it."""
    try:
        return canonical(knob, knob.default)
    except KnobError:  # a default may be written as an expression, or lie outside the range: it still is one value
        return knob.default
