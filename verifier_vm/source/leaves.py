# SPDX-License-Identifier: Apache-2.0
"""Where a value comes from: the fields, calls, variables and parameters in an expression, its locals resolved."""

from __future__ import annotations

from verifier_vm.source import words
from verifier_vm.source.tree import Function, Node, Program

DEPTH = 12


class Leaves:
    """What an expression may be made of, whatever path was taken: no order, no conditions."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.fields: set[str] = set()
        self.globals: set[str] = set()
        self.constants: set[str] = set()
        self.params: set[str] = set()
        self.operators: set[str] = set()
        self.opaque = False  # through a pointer or an array: it can be anything

    def read(self, suffix: str) -> bool:
        """Whether a field whose path ends so is among them."""
        return any(path == suffix or path.endswith("." + suffix) for path in self.fields)


def leaves_of(program: Program, function: Function, *expressions: Node) -> Leaves:
    """The leaves of these expressions of a function."""
    leaves = Leaves()
    visited: set[tuple[str, str]] = set()
    for expression in expressions:
        _collect(program, function, expression, leaves, visited, DEPTH)
    return leaves


def _collect(
    program: Program, function: Function, node: Node, leaves: Leaves, visited: set[tuple[str, str]], depth: int
) -> None:
    if depth < 0:
        leaves.opaque = True
        return
    if node.kind == "name":
        _collect_name(program, function, node, leaves, visited, depth)
        return
    if node.kind == "field":
        leaves.fields.add(node.path)
        if node.root.kind == "name":
            return
    elif node.kind == "call":
        leaves.calls.add(node.called or "?")
        callee = program.function(node.text)
        if callee and ("()", callee.name) not in visited:
            visited.add(("()", callee.name))
            for returned in callee.returns:
                for kid in returned.kids:
                    _collect(program, callee, kid, leaves, visited, depth - 1)
    elif node.kind in ("binary", "assign", "unary"):
        leaves.operators.add(node.text)
        if node.text == "*" and node.kind == "unary":
            leaves.opaque = True
    elif node.kind == "element":
        leaves.opaque = True
    for kid in node.kids:
        _collect(program, function, kid, leaves, visited, depth)


def _collect_name(
    program: Program, function: Function, node: Node, leaves: Leaves, visited: set[tuple[str, str]], depth: int
) -> None:
    name = node.text
    if name in function.locals:
        if name in function.params:
            leaves.params.add(name)
        if (function.name, name) in visited:
            return
        visited.add((function.name, name))
        for given in function.given.get(name, ()):
            _collect(program, function, given, leaves, visited, depth - 1)
    elif name in program.variables:
        leaves.globals.add(name)
    else:
        leaves.constants.add(words.base(name))
