# SPDX-License-Identifier: Apache-2.0
"""Names of tasks in the walk: bytes of p->comm, copies of it on the stack, and what either is held against."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from verifier_vm.object import limits
from verifier_vm.object.branch import JEQ, JNE
from verifier_vm.object.record import Record
from verifier_vm.object.state import Range, State
from verifier_vm.object.values import MASK, MASK32, Expr, Value, Values, root

COMM = "comm"
COMM_ROOM = 16  # TASK_COMM_LEN
OTHER_TASKS = ("real_parent", "parent", "group_leader")  # fields that point to a task
COPIES = {"probe_read": 0, "probe_read_kernel": 0, "probe_read_kernel_str": 0, "get_current_comm": 0}
Bytes = dict[int, int]  # by place in the name


def is_name(value: Value | None) -> bool:
    """Is it some bytes of a task's name?"""
    return _place(value) is not None


def _place(value: Value | None) -> int | None:
    if not isinstance(value, Expr) or value.op != "load" or not isinstance(value.key, tuple) or len(value.key) < 5:
        return None
    return value.key[3] if value.key[0] == COMM and isinstance(value.key[3], int) else None


def may_be_a_task(base: Value) -> bool:
    """Can a pointer be one to a task, by where it came from?"""
    if not isinstance(base, Expr):
        return False
    if base.op == "load":
        return isinstance(base.key, tuple) and base.key[0] in OTHER_TASKS
    return base.op == "ret" or (base.op == "arg" and base.key in ("p", "prev", "to"))


def in_name(state: State, base: Value, offset: int, comm: int) -> tuple[Expr, int] | None:
    """(base, place) where a pointer points into a task's name, or into a copy of one on the stack; else None.

    `comm` is where names lie in a task, -1 where that is not known.
    """
    if not isinstance(base, Expr):
        return None
    if base.op == "frame":
        for (frame, at), (size, value) in state.stack.items():
            place = _place(value) if frame == base.key and at <= offset < at + size else None
            if place is not None and isinstance(value, Expr):
                return (value.a if isinstance(value.a, Expr) else base), place + offset - at
        return None
    place = offset - comm
    return (base, place) if 0 <= comm <= offset and place < COMM_ROOM and may_be_a_task(base) else None


def held_against(value: Value, number: int, made_of: Mapping[Expr, Value], room: list[int] | None = None) -> Bytes:
    """The bytes of a name that are told where `value` is `number`; none where it is not made of one.

    `room` is how many parts of it may still be looked at.
    """
    room = [limits.NAME_PARTS] if room is None else room
    room[0] -= 1
    if not isinstance(value, Expr) or room[0] < 0:
        return {}
    if (place := _place(value)) is not None:
        return {place + i: number >> 8 * i & 0xFF for i in range(min(value.bits // 8, COMM_ROOM - place))}
    held: Bytes = {}
    for part, what in _inside(value, number, made_of, room):
        held |= held_against(part, what & MASK, made_of, room)
    mask = {"and": value.b, "low": MASK32}.get(value.op)
    if value.a is not None and isinstance(mask, int):
        whole = held_against(value.a, mask, made_of, room)  # which bytes the mask leaves as they are
        return {at: byte for at, byte in held.items() if whole.get(at) == 0xFF}
    return held


def _inside(value: Expr, number: int, made_of: Mapping[Expr, Value], room: list[int]) -> list[tuple[Value, int]]:
    """What the parts of a value are where it is `number`; nothing where that does not say."""
    a, b, shift = value.a, value.b, value.b & 63 if isinstance(value.b, int) else 0
    if value in made_of:
        return [(made_of[value], number)]
    if a is None:
        return []
    if value.op == "off" and isinstance(value.key, int):
        return [(a, number - value.key)]
    if value.op == "or" and b is not None:
        return [(part, number & _reach(part, made_of, room)) for part in (a, b)]
    alone = {"low": number, "extend": number}
    known = {"and": number, "lsh": number >> shift, "rsh": number << shift, "arsh": number << shift}
    if isinstance(b, int):
        alone |= {**known, "xor": number ^ b, "sub": number + b}
    return [(a, alone[value.op])] if value.op in alone else []


def _reach(value: Value, made_of: Mapping[Expr, Value], room: list[int]) -> int:
    """The bits that a value can have."""
    room[0] -= 1
    if isinstance(value, int) or room[0] < 0:
        return value if isinstance(value, int) else MASK
    if value in made_of:
        return _reach(made_of[value], made_of, room)
    if value.op == "lsh" and value.a is not None and isinstance(value.b, int):
        return _reach(value.a, made_of, room) << (value.b & 63) & MASK
    if value.op == "or" and value.a is not None and value.b is not None:
        return _reach(value.a, made_of, room) | _reach(value.b, made_of, room)
    return (1 << value.bits) - 1


def note_name(state: State, record: Record, op: int, a: Value, b: Value, made_of: Mapping[Expr, Value]) -> None:
    """Keep what a branch holds a name against, after what the path's branches told of its other bytes."""
    if op not in (JEQ, JNE) or not isinstance(b, int) or not isinstance(a, Expr):
        return
    if not any(is_name(leaf) for leaf in a.leaves):
        return
    held: Bytes = {}
    for test, known in state.known.items():
        value = test[1]
        if not isinstance(known, Range) or known.low != known.high or not isinstance(value, Expr):
            continue
        if any(is_name(leaf) for leaf in value.leaves):
            held |= held_against(value, known.low, made_of)
    record.add_name(held | held_against(a, b, made_of))


def note_call(state: State, record: Record, args: tuple[Value, ...], comm: int, data: Mapping[str, bytes]) -> None:
    """Keep the constant that a function is given together with a name: bpf_strncmp and whatever else compares."""
    if not any(_points_into(state, value, comm) for value in args):
        return
    for value in args:
        base, offset = root(value)
        if isinstance(base, Expr) and base.op == "data" and offset >= 0:
            text = data.get(str(base.key), b"")[offset : offset + COMM_ROOM].split(b"\0")[0]
            sizes = [number for number in args if isinstance(number, int) and 0 < number < len(text)]
            record.add_name(dict(enumerate(text[: min(sizes, default=COMM_ROOM)])))


def _points_into(state: State, value: Value, comm: int) -> bool:
    base, offset = root(value)
    return in_name(state, base, offset, comm) is not None


def part_of_slot(state: State, values: Values, frame: Expr, offset: int, size: int) -> Value | None:
    """A part of something larger on the stack that was made of a name's bytes; None where there is none."""
    for (index, at), (held, value) in state.stack.items():
        if index != frame.key or not at <= offset or offset + size > at + held or not isinstance(value, Expr):
            continue
        if held > size and not is_name(value) and any(is_name(leaf) for leaf in value.leaves):
            shifted = values.compute("rsh", value, 8 * (offset - at), wide=True)
            return values.compute("and", shifted, (1 << 8 * size) - 1, wide=True)
    return None


def names_of(record: Record, most: int) -> tuple[bytes, ...]:
    """What names were held against, in the order of the walk: the longest of those that begin alike; none empty."""
    begun = [dict(held) for held in record.names if any(place == 0 for place, _ in held)]
    rest = [dict(held) for held in record.names if all(place for place, _ in held)]
    used: set[int] = set()
    for held in begun:  # grows: what a branch told of a name's beginning is forgotten where paths meet
        for at, more in enumerate(rest):
            if len(begun) < limits.CONDITIONS and _goes_on(held, more):
                used.add(at)
                begun += [held | more] if held | more not in begun else []
    alone = [held for at, held in enumerate(rest) if at not in used]
    found: dict[bytes, bool] = {}
    for held in (*begun, *alone):
        end = _end(held)
        text = bytes(held.get(at, ord("x")) for at in range(min(end, COMM_ROOM - 1)))
        if text:
            found[text] = found.get(text, False) or end in held
    whole = (
        text
        for text, ends in found.items()
        if ends or not any(other != text and other.startswith(text) for other in found)
    )
    return tuple(islice(whole, most))


def _end(held: Mapping[int, int]) -> int:
    """Where a name ends, as far as is known."""
    return min((at for at, byte in held.items() if byte == 0), default=max(held) + 1)


def _goes_on(held: Mapping[int, int], more: Mapping[int, int]) -> bool:
    """Do bytes begin where others, from a name's first, are known up to, and agree with them?"""
    end = next(at for at in range(COMM_ROOM + 1) if at not in held)
    return (
        min(more) <= end
        and _end(held) >= end
        and max(more) >= end
        and all(held.get(at, byte) == byte for at, byte in more.items())
    )
