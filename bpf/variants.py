# SPDX-License-Identifier: Apache-2.0
"""Policies one choice away from another one: what a planner composes, and what an ablation takes away."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bpf.compose import compose
from bpf.composition import CHOICES, MECHANISM, Composition, CompositionError, Essay
from bpf.library import read_policy
from bpf.library_compositions import COMPOSITIONS
from policy_lake.model import Policy

NAME_BYTES = 15


def composition_of(policy: Policy) -> Composition | None:
    """What a policy is composed of; None for one that no composition renders.

    A named one is the library's; of others the essay names the choices, and their rendering has to be the source.
    """
    named = next((one for one in COMPOSITIONS if one.name == policy.id), None)
    if named is not None:
        return named if _renders(named, policy) else None
    fields = {mechanism: name for name in CHOICES for mechanism in (MECHANISM.get(name, name),)}
    choices: dict[str, Any] = {fields[name]: value for name, value in policy.mechanisms if name in fields}
    if len(choices) < len(CHOICES):
        return None
    base = next((one for one in COMPOSITIONS if policy.id.startswith(f"{_stem(one.name)}_")), None)
    try:
        made = replace(_plain(base or COMPOSITIONS[0]), name=policy.id, **choices)
    except (CompositionError, TypeError):
        return None
    return made if _renders(made, policy) else None


def variants(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """Every sound policy that differs in one choice, with that choice in words (`queues=llc`), in a fixed order."""
    base = composition_of(policy)
    if base is None:
        return
    for name, values in CHOICES.items():
        for value in values:
            if value != getattr(base, name):
                made = _changed(base, name, value)
                if made is not None:
                    yield f"{MECHANISM.get(name, name)}={value}", made


def without(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """The policy without each of its mechanisms: a choice put back to the plainest value that goes with the others."""
    base = composition_of(policy)
    if base is None:
        return
    for name, values in CHOICES.items():
        had = getattr(base, name)
        for value in values[: values.index(had)]:
            made = _changed(base, name, value)
            if made is not None:
                yield f"{MECHANISM.get(name, name)}={had}", made
                break


def _changed(base: Composition, name: str, value: str) -> Policy | None:
    """One choice changed; several queues and how to take from them go together, so the second follows the first."""
    follow: dict[str, Any] = {}
    if name == "queues":
        follow = {"steal": "none" if value == "one" else ("empty" if base.steal == "none" else base.steal)}
        follow |= {"place": "kernel"} if base.place == "two" and value != "cpu" else {}
    for extra in ({}, follow) if follow else ({},):
        plain = _plain(base)
        key = repr((base.name, name, value, sorted(extra.items())))
        id = f"{_stem(base.name)}_{hashlib.sha256(key.encode()).hexdigest()[:5]}"
        try:
            changes: dict[str, Any] = {name: value, **extra}
            made = replace(plain, name=id, **changes)
        except CompositionError:
            continue
        title = f"{base.name} with {MECHANISM.get(name, name)}={value}"
        return _read(replace(made, essay=_essay(base, title)))
    return None


def _essay(base: Composition, title: str) -> Essay | None:
    if base.essay is None:
        return None
    return Essay(title, base.essay.good_for, base.essay.weak_at, base.essay.workloads)


def _plain(base: Composition) -> Composition:
    """The same with what it says of itself made anew, since that told of its own choices."""
    return replace(base, essay=_essay(base, base.essay.title) if base.essay else None)


@functools.lru_cache(maxsize=512)
def _read(made: Composition) -> Policy | None:
    try:
        return read_policy(compose(made), made.name, "composed")
    except CompositionError:  # a preset of the first one's, for a knob that this one has not
        kept = replace(made, presets=tuple(preset for preset in made.presets if preset.knob == "slice_ns"))
        return read_policy(compose(kept), made.name, "composed")


def _renders(made: Composition, policy: Policy) -> bool:
    try:
        return _code(compose(made)) == _code(policy.source)
    except CompositionError:
        return False


def _code(source: str) -> str:
    """The source without its essay."""
    return source.partition("*/")[2]


def _stem(name: str) -> str:
    return name[: NAME_BYTES - 6]
