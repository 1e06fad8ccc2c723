# SPDX-License-Identifier: Apache-2.0
"""What a register can hold in the walk: a number where it is known, else an expression over what is not.

Numbers are Python ints in 0..2**64-1. Expressions are interned: equal ones are the same object, so `is` compares them.
"""

from __future__ import annotations

from typing import Union

from verifier_vm.object import limits

MASK = (1 << 64) - 1
MASK32 = (1 << 32) - 1
LEAVES = ("arg", "ret", "load", "any", "storage", "element", "share")
POINTERS = ("frame", "data", "element", "storage", "sure", "off")
COMMUTATIVE = ("add", "or", "and", "mul", "xor")
KEPT_DEPTH = 6
KEPT_SHAPES = ("off", "and", "or", "lsh", "rsh", "arsh", "low", "extend")  # what ids, flags and casts are made with
IDENTITY = ("pid", "tgid", "scx.tid")  # fields by which a task is found again
NEVER_NULL = ("ctx", "frame", "data", "map", "extern", "function", "sure")


class Expr:
    """An expression. `op` says which; the meaning of `key` hangs on it:

    ctx; arg (its name); frame (depth: the stack's end); data (section); map, extern (name); function (pc);
    ret (callee), load (field or offset), any (place): each with the place it came from in `key`;
    mix (the place): a result of arithmetic, of which only the telling leaves are kept;
    share (the place): a small number over `a`, which is not known, or a multiple of that: it can be 0;
    storage (map, of the task `a`); element (map, of the key `a`); sure (`a` that cannot be NULL);
    off (`a` plus the number `key`); low (the lower 32 bits of `a`); and the ALU's names over `a` and `b`.
    `leaves` are what it is made of.
    """

    __slots__ = ("a", "b", "bits", "depth", "key", "leaves", "op", "serial")

    op: str
    key: object
    a: Value | None
    b: Value | None
    bits: int
    depth: int
    leaves: frozenset[Expr]
    serial: int

    def __init__(self, op: str, key: object, a: Value | None, b: Value | None, bits: int, serial: int) -> None:
        self.serial = serial
        self.op, self.key, self.a, self.b, self.bits = op, key, a, b, bits
        inner = [x for x in (a, b) if isinstance(x, Expr)]
        self.depth = 1 + max((x.depth for x in inner), default=0)
        own = op in LEAVES or op == "mix"
        leaves = {leaf for part in inner for leaf in part.leaves if not own or (op == "mix" and telling(leaf))}
        if len(leaves) > limits.LEAVES:
            leaves = set(sorted(leaves, key=lambda leaf: leaf.serial)[: limits.LEAVES])
        self.leaves = frozenset((*leaves, self) if own else leaves)

    def __repr__(self) -> str:
        inner = ", ".join(repr(x) for x in (self.key, self.a, self.b) if x is not None)
        return f"{self.op}({inner})"


Value = Union[int, Expr]  # noqa: UP007 (a forward reference within a string would not do for mypy here)


class Values:
    """The expressions of one analysis."""

    def __init__(self) -> None:
        self._table: dict[tuple[object, ...], Expr] = {}
        self.made_of: dict[Expr, Value] = {}  # what a mix was first made of: asked of constants in conditions alone

    def make(
        self, op: str, key: object = None, a: Value | None = None, b: Value | None = None, *, bits: int = 64
    ) -> Expr:
        """The expression of those parts; beyond EXPRESSION_DEPTH only its leaves are kept."""
        index = (op, key, a if isinstance(a, int) else id(a), b if isinstance(b, int) else id(b), bits)
        expression = self._table.get(index)
        if expression is None:
            expression = Expr(op, key, a, b, bits, len(self._table))
            if expression.depth > limits.EXPRESSION_DEPTH and op not in LEAVES:
                deepest = max((x for x in (a, b) if isinstance(x, Expr)), key=lambda x: x.depth)
                expression = self.make("any", "deep", _shallow(deepest), bits=bits)
            self._table[index] = expression
        return expression

    def settle(self, value: Value, place: object) -> Value:
        """`value`, or for arithmetic a name for it: which sum it was matters to no check, but paths that differ in it
        would all have to be walked. Within a path a place gives one value, so the name still tells values apart."""
        if not isinstance(value, Expr) or value.depth == 1 or value.op in LEAVES:
            return value
        inner = value.a if value.op == "low" else value
        if isinstance(inner, Expr) and (inner.op in KEPT_SHAPES or inner.depth == 1) and value.depth <= KEPT_DEPTH:
            return value
        if value.op == "add" and any(isinstance(x, Expr) and x.op in POINTERS for x in (value.a, value.b)):
            return value
        telling_ones = tuple(sorted(leaf.serial for leaf in value.leaves if telling(leaf)))
        index = ("mix", place, telling_ones, value.bits)
        expression = self._table.get(index)
        if expression is None:
            expression = self._table[index] = Expr("mix", place, value, None, value.bits, len(self._table))
            expression.a, expression.depth = None, 1
            self.made_of[expression] = value
        return expression

    @property
    def full(self) -> bool:
        """Have too many been made to go on?"""
        return len(self._table) > limits.TABLE

    def low(self, value: Value) -> Value:
        """The lower 32 bits, zero-extended."""
        if isinstance(value, int):
            return value & MASK32
        return value if value.bits <= 32 else self.make("low", None, value, bits=32)

    def add(self, value: Value, number: int) -> Value:
        """`value` plus a known number."""
        if isinstance(value, int):
            return (value + number) & MASK
        if value.op == "off" and isinstance(value.key, int) and value.a is not None:
            return self.add(value.a, (value.key + number) & MASK)
        return self.make("off", number & MASK, value) if number & MASK else value

    def compute(self, op: str, a: Value, b: Value, *, wide: bool) -> Value:
        """An ALU operation by its name: on 64 bits, or on the lower 32 of both."""
        if not wide:
            a, b = self.low(a), self.low(b)
        if isinstance(a, int) and isinstance(b, int):
            return fold(op, a, b, 64 if wide else 32)
        result = self._simplify(op, a, b)
        if result is None:
            result = self.make(op, None, a, b, bits=_width(op, a, b))
        return result if wide else self.low(result)

    def _simplify(self, op: str, a: Value, b: Value) -> Value | None:
        """A shorter form of an operation on what is not all known; None when there is none."""
        if op in COMMUTATIVE and isinstance(a, int):
            a, b = b, a
        result: Value | None = None
        if op == "add" and isinstance(b, int):
            result = self.add(a, b)
        elif op == "sub":
            result = 0 if a is b else self.add(a, -b) if isinstance(b, int) else None
        elif op == "and" and isinstance(b, int):
            result = self._masked(a, b)
        elif op == "rsh" and b == 32 and isinstance(a, Expr) and (a.op, a.b) == ("lsh", 32):  # how clang cuts a u64
            result = self.low(a.a or 0)
        elif b == 0 and op in ("or", "xor", "lsh", "rsh", "arsh"):
            result = a
        elif op in COMMUTATIVE:
            result = self.make(op, None, a, b, bits=_width(op, a, b))
        return result

    def _masked(self, a: Value, mask: int) -> Value:
        if mask in (0, MASK32):
            return self.low(a) if mask else 0
        if isinstance(a, Expr) and a.op == "and" and isinstance(a.b, int) and a.a is not None:
            return self.compute("and", a.a, a.b & mask, wide=True)
        return self.make("and", None, a, mask, bits=min(_bits(a), mask.bit_length()))


def telling(leaf: Expr) -> bool:
    """Does some check ask whether a result was made from this: an argument, a task's named field, a call's result?"""
    return leaf.op in ("arg", "ret") or (
        leaf.op == "load" and isinstance(leaf.key, tuple) and isinstance(leaf.key[0], str)
    )


def _shallow(value: Expr) -> Expr:
    """Something small that still says where a deep expression came from."""
    return max(value.leaves, key=lambda leaf: (leaf.op != "any", str(leaf.key))) if value.leaves else value


def _bits(value: Value) -> int:
    return value.bit_length() if isinstance(value, int) else value.bits


def _width(op: str, a: Value, b: Value) -> int:
    if op in ("or", "xor"):
        return max(_bits(a), _bits(b))
    if op in ("rsh", "div", "mod"):
        return _bits(a)
    return 64


def signed(value: int, width: int = 64) -> int:
    """The number that those bits mean as a signed one."""
    return value - (1 << width) if value >> width - 1 & 1 else value


def fold(op: str, a: int, b: int, width: int) -> int:
    """An ALU operation on two numbers."""
    mask = (1 << width) - 1
    shift = b & width - 1
    if op in ("div", "mod"):
        quotient = a // b if b else 0
        return quotient if op == "div" else a - quotient * b
    if op in ("sdiv", "smod"):
        left, right = signed(a, width), signed(b, width)
        quotient = abs(left) // abs(right) * (1 if left * right >= 0 else -1) if right else 0
        return (quotient if op == "sdiv" else left - quotient * right) & mask
    folded = {
        "add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "or": lambda: a | b, "and": lambda: a & b,
        "xor": lambda: a ^ b, "lsh": lambda: a << shift, "rsh": lambda: a >> shift, "mov": lambda: b,
        "arsh": lambda: signed(a, width) >> shift,
    }  # fmt: skip
    return folded[op]() & mask if op in folded else 0


def root(value: Value) -> tuple[Value, int]:
    """(base, offset) of a pointer: what it points into, and where; NULL-checked ones count as what they were."""
    offset = 0
    while isinstance(value, Expr) and value.a is not None and value.op in ("off", "sure"):
        offset += value.key if isinstance(value.key, int) else 0
        value = value.a
    return value, signed(offset & MASK)


SLICE = "scx.slice"


def is_field(leaf: Value, name: str, task: str = "p") -> bool:
    """Was it read from that field of the callback's task?"""
    if not isinstance(leaf, Expr) or leaf.op != "load" or not isinstance(leaf.key, tuple) or leaf.key[0] != name:
        return False
    base, _ = root(leaf.a or 0)
    return isinstance(base, Expr) and base.op == "arg" and base.key == task


def is_vtime(leaf: Value) -> bool:
    """Was it read from p->scx.dsq_vtime?"""
    return is_field(leaf, "scx.dsq_vtime")


def leaves_of(value: Value) -> frozenset[Expr]:
    """What a value was made of; nothing for a number."""
    return value.leaves if isinstance(value, Expr) else frozenset()


def sure_bits(value: Value) -> int:
    """The bits that are set whatever the unknown parts are."""
    if isinstance(value, int):
        return value
    if value.op == "or":
        return sure_bits(value.a or 0) | sure_bits(value.b or 0)
    if value.op == "low" and value.a is not None:
        return sure_bits(value.a) & MASK32
    return 0


def is_task(value: Value, name: str = "p") -> bool:
    """Is it exactly the pointer to the task that the callback was given?"""
    base, offset = root(value)
    return isinstance(base, Expr) and base.op == "arg" and base.key == name and offset == 0
