# SPDX-License-Identifier: Apache-2.0
"""A policy's syntax tree, as small as the checks need it: no types, no casts, no parentheses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from verifier_vm.source import words

KEEPS_VALUE = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>="})


class Found(NamedTuple):
    """A finding before it has the policy's name: `line` of the source, 0 for none.

    `situations` would show it, where others than all of that bug would (verifier_vm/situations.py).
    """

    bug: str
    level: str
    reason: str
    line: int
    advice: str
    situations: tuple[str, ...] = ()


class Node:
    """A statement or expression. `text` is the name called, referred to or selected, or the operator.

    The kids of a call are its arguments; of an if: condition, then, else; the last kid of a loop is its body.
    """

    __slots__ = ("cursor", "kids", "kind", "text")

    def __init__(self, kind: str, text: str, kids: list[Node], cursor: Any = None) -> None:
        self.kind, self.text, self.kids, self.cursor = kind, text, kids, cursor

    @property
    def line(self) -> int:
        """Where in the policy's own file: for what a macro brought, where the macro is used."""
        return int(self.cursor.location.line) if self.cursor is not None else 0

    @property
    def value(self) -> int | None:
        """Its value if the compiler knows it."""
        from verifier_vm.source.evaluate import evaluate

        return evaluate(self.cursor)

    @property
    def called(self) -> str:
        """The plain name of the function called; empty for what is no call, or one through a pointer."""
        return words.base(self.text) if self.kind == "call" else ""

    @property
    def path(self) -> str:
        """Of a field, its name with those of the structs it is in: `scx.dsq_vtime`."""
        inner = self.kids[0] if self.kids else None
        return f"{inner.path}.{self.text}" if inner is not None and inner.kind == "field" else self.text

    @property
    def root(self) -> Node:
        """Of a field, what it is a field of."""
        return self.kids[0].root if self.kind == "field" and self.kids else self

    def walk(self) -> Iterator[Node]:
        """This node and all below, in the order of the text."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.kids))

    def calls(self, names: frozenset[str] | set[str]) -> Iterator[Node]:
        """Every call below of one of these functions."""
        return (node for node in self.walk() if node.kind == "call" and node.called in names)


class Mirror(Node):
    """A variable that mirrors an enumerator of the kernel, `__NAME`: under the enumerator's name, with its value."""

    __slots__ = ("known",)

    def __init__(self, name: str, known: int, cursor: Any = None) -> None:
        super().__init__("name", name, [], cursor)
        self.known = known

    @property
    def value(self) -> int | None:
        """The value that a loader gives it."""
        return self.known


class Function:
    """A function with a body: for a callback, the one that BPF_PROG makes of it, whose first parameter is ctx."""

    def __init__(self, name: str, params: Sequence[str], body: Node, line: int) -> None:
        self.name, self.params, self.body, self.line = name, list(params), body, line
        self.locals = set(params)
        self.given: dict[str, list[Node]] = {}
        self.returns = [node for node in body.walk() if node.kind == "return"]
        for node in body.walk():
            self._note(node)

    def _note(self, node: Node) -> None:
        """Note what a variable is given; an address passed on may give it anything, so the call counts as given."""
        if node.kind == "variable":
            self.locals.add(node.text)
            if node.kids:
                self.given.setdefault(node.text, []).append(node.kids[-1])
        elif node.kind == "binary" and node.text in KEEPS_VALUE and node.kids[0].kind == "name":
            self.given.setdefault(node.kids[0].text, []).append(node.kids[1])
        elif node.kind == "call":
            for kid in node.kids:
                if kid.kind == "unary" and kid.text == "&" and kid.kids[0].kind == "name":
                    self.given.setdefault(kid.kids[0].text, []).append(node)

    def fields_given(self, variable: str, field: str) -> list[Node]:
        """What a field of a local struct is given, in its initialiser or later."""
        values = []
        for node in self.body.walk():
            if node.kind == "variable" and node.text == variable:
                values += [inner.kids[0] for inner in node.walk() if inner.kind == "designated" and inner.text == field]
            elif node.kind == "binary" and node.text == "=" and node.kids[0].kind == "field":
                left = node.kids[0]
                if left.text == field and left.root.kind == "name" and left.root.text == variable:
                    values.append(node.kids[1])
        return values


class Program:
    """A whole policy: its functions, global variables, and the ops table, by the callback's name in the kernel."""

    def __init__(self, functions: dict[str, Function], variables: set[str], ops: dict[str, str]) -> None:
        self.functions, self.variables = functions, variables
        self.ops = {op: made for op, name in ops.items() if (made := self.function(name))}

    def function(self, name: str) -> Function | None:
        """The function of this name with what the policy's author wrote as its body."""
        return self.functions.get(f"____{name}") or self.functions.get(name)

    def reached(self, start: Function) -> list[Function]:
        """A function and all of the policy's own that it calls or hands on, directly or not."""
        reached, todo = {start.name: start}, [start]
        while todo:
            for node in todo.pop().body.walk():
                if node.kind in ("call", "name") and node.text:
                    callee = self.function(node.text)
                    if callee and callee.name not in reached:
                        reached[callee.name] = callee
                        todo.append(callee)
        return list(reached.values())

    def reached_from(self, *ops: str) -> list[Function]:
        """The same from several callbacks; those that the policy does not have are left out."""
        reached: dict[str, Function] = {}
        for op in ops:
            if op in self.ops:
                reached.update((function.name, function) for function in self.reached(self.ops[op]))
        return list(reached.values())

    def inserts(self, function: Function) -> Iterator[tuple[Node, list[Node]]]:
        """Every ordered insert in a function, with what its vtime may be."""
        for node in function.body.calls(words.ORDERS):
            if len(node.kids) > words.VTIME:
                yield node, [node.kids[words.VTIME]]
            elif len(node.kids) == 2:  # arguments in a struct
                yield (
                    node,
                    [given for name in _variable(node.kids[1]) for given in function.fields_given(name, "vtime")],
                )


def _variable(node: Node) -> list[str]:
    inner = node.kids[0] if node.kind == "unary" and node.text == "&" else node
    return [inner.text] if inner.kind == "name" else []
