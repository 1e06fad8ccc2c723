# SPDX-License-Identifier: Apache-2.0
"""What a policy is loaded with, once its object is known: a constant may be declared in a header, or have no source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from policy_lake.constants import check_known, check_sets
from policy_lake.errors import InputError
from policy_lake.knobs import OPS_FLAG, OPS_USE, knob_words
from policy_lake.model import Policy
from verifier_vm.machine.kernel import Kernel
from verifier_vm.machine.kernel_values import kernel_values
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.knobs import read_knobs
from verifier_vm.object.ops import policy_names
from verifier_vm.object.program import read_program

MOST_NAMED = 8  # of an object's policies, in one line


def with_constants(policy: Policy, data: bytes) -> Policy:
    """The policy with the constants of its object besides the knobs of its source.

    What cannot be read has none: whoever analyses the object says why.
    """
    known = {knob.name for knob in policy.knobs}
    try:
        others = tuple(knob for knob in read_knobs(data) if knob.name not in known)
    except ObjectError:
        others = ()
    return replace(policy, knobs=(*policy.knobs, *others))


def words_for(policy: Policy, values: Mapping[str, object], data: bytes, kernel: Kernel) -> tuple[str, ...]:
    """The loader's NAME=VALUE words for an object; InputError for a constant, policy or flag that is not there."""
    check_flags(str(values.get(OPS_FLAG, "")), kernel)
    _check_use(str(values.get(OPS_USE, "")), data)
    source_has_all = all(name in {knob.name for knob in policy.knobs} for name in values)
    whole = policy if source_has_all else with_constants(policy, data)
    check_known(whole, values)
    check_sets(whole.knobs[len(policy.knobs) :], values)  # such constants --set alone gives
    return knob_words(whole, values)


def check_flags(flags: str, kernel: Kernel) -> None:
    """InputError for a name, of these separated by commas, that is none of the kernel's flags for an ops table."""
    known = kernel_values(kernel).constants if flags else {}
    settable = sorted(name for name, value in known.items() if _is_flag(name, value))
    for flag in filter(None, flags.split(",")):
        if flag not in settable:
            names = ", ".join(settable)
            raise InputError(f"--ops-flag {flag}: kernel {kernel.release} has no such flag; it has: {names}")


def _is_flag(name: str, value: int) -> bool:
    """Flags are one bit; those from 56 on are the kernel's own, and SCX_OPS_NAME_LEN is a length."""
    return name.startswith("SCX_OPS_") and value.bit_count() == 1 and value < 1 << 56 and not name.endswith("_LEN")


def _check_use(name: str, data: bytes) -> None:
    names = _policies(data)
    if name and names is not None and name not in names:
        raise InputError(f"--ops {name}: the object has no such sched_ext policy; it has: {', '.join(names) or 'none'}")


def check_one(values: Mapping[str, object], data: bytes) -> None:
    """InputError where an object has several policies and none is named: whoever gave it says which is meant."""
    names = () if values.get(OPS_USE) else _policies(data) or ()
    if len(names) > 1:
        several = ", ".join(names[:MOST_NAMED]) + f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)
        raise InputError(f"the object has more than one sched_ext policy, {several}: say which with --ops NAME")


def _policies(data: bytes) -> list[str] | None:
    try:
        return policy_names(read_program(data))
    except ObjectError:
        return None
