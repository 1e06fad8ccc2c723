# SPDX-License-Identifier: Apache-2.0
"""bpf_for in the walk: an iterator over numbers that knows where it begins and ends is never empty when it is not."""

from __future__ import annotations

from verifier_vm.object.state import Range, State
from verifier_vm.object.values import MASK32, Expr, Value, Values, root, signed

BYTES = 8  # struct bpf_iter_num


def new_numbers(state: State, values: Values, args: tuple[Value, ...]) -> None:
    """bpf_iter_num_new(it, start, end): note the range on the stack, where the iterator lies."""
    base, offset = root(args[0])
    if not isinstance(base, Expr) or base.op != "frame" or not isinstance(base.key, int):
        return
    noted: Value | None = None
    if isinstance(args[1], int) and isinstance(args[2], int):
        start, end = signed(args[1] & MASK32, 32), signed(args[2] & MASK32, 32)
        if 0 <= start < end:
            noted = values.make("numbers", (start, end, True))
    state.clobber_stack(base.key, offset, BYTES)
    state.write_stack(base.key, offset, BYTES, noted)


def next_number(state: State, values: Values, args: tuple[Value, ...], *, looping: bool) -> Value:
    """bpf_iter_num_next(it): a pointer to the next number; of a range that is known, never NULL the first time."""
    base, offset = root(args[0])
    frame = base.key if isinstance(base, Expr) and base.op == "frame" else None
    noted = state.read_stack(frame, offset, BYTES) if isinstance(frame, int) else None
    if not isinstance(frame, int) or not isinstance(noted, Expr) or not isinstance(noted.key, tuple):
        return _pointer(state, values, "number", looping=looping)
    start, end, first = noted.key
    pointer = _pointer(state, values, "first number" if first else "number", looping=looping)
    if first:
        state.write_stack(frame, offset, BYTES, values.make("numbers", (start, end, False)))
        state.memory[pointer, 0] = (4, start)
        return values.make("sure", None, pointer)
    number = values.make("load", ("number", state.pc, state.chain), pointer, bits=32)
    state.memory[pointer, 0] = (4, number)
    state.known[32, number] = Range(start, end - 1, start, end - 1)
    return pointer


def _pointer(state: State, values: Values, what: str, *, looping: bool) -> Expr:
    pointer = values.make("ret", (what, state.pc, state.chain))
    if looping:
        state.make_new(pointer, values)
    return pointer
