# SPDX-License-Identifier: Apache-2.0
"""What a branch on a call's result says of the path: kept or not, inserted or not, found or not."""

from __future__ import annotations

from verifier_vm.object.branch import JEQ, JNE, below_zero, may_be_missing
from verifier_vm.object.kernel import CONSUMES, INSERTS
from verifier_vm.object.record import FOUND
from verifier_vm.object.state import State
from verifier_vm.object.values import Expr, Value


def heed_result(state: State, op: int, a: Value, b: Value) -> None:
    """Where the result of keeping the task turns out an error, it was not kept; where that of an insert turns out
    false, the task is gone or the policy is being ended, and a second insert is none; where that of a move turns out
    true, the queue had something."""
    result = state.path.checked
    if result is None or not isinstance(a, Expr) or not isinstance(b, int) or result not in a.leaves:
        return
    if isinstance(result.key, tuple) and result.key[0] in INSERTS:
        if (op, b) in ((JEQ, 0), (JNE, 1)):
            state.path = state.path._replace(inserted=state.path.inserted[:-1], ended=True, checked=None)
    elif isinstance(result.key, tuple) and result.key[0] in CONSUMES:
        if (op, b) in ((JNE, 0), (JEQ, 1)):
            state.path = state.path._replace(looked=state.path.looked | {FOUND}, checked=None)
    elif (op == JNE and b == 0) or (op not in (JEQ, JNE) and below_zero(state, a)):
        state.path = state.path._replace(kept=0, checked=None)


def heed_missing(state: State, op: int, a: Value, b: Value, *, first: bool) -> None:
    """A path on which a look-up found nothing may be none: only who knows what is in the map knows. Where the kernel
    shows a task or cgroup `first`, what is found from then on is there for good."""
    looked_up = may_be_missing(a) if b == 0 and op in (JEQ, JNE) else None
    if looked_up is None:
        return
    if op == JEQ:
        state.exact = False
    elif first and looked_up.op == "storage":
        state.path = state.path._replace(made=state.path.made | {str(looked_up.key)})
