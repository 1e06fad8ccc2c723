# SPDX-License-Identifier: Apache-2.0
"""The mutants of a module: one small fault each, made by cosmic-ray's operators and by those here."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso import parse
from parso.python.tree import Function, Number

# Of the seven other comparisons only the opposite and the neighbour: a test that fails for these fails for the rest.
COMPARISONS = (
    "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt",
    "Is_IsNot", "IsNot_Is",
)  # fmt: skip
ARITHMETIC = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "LShift_RShift",
              "RShift_LShift", "BitAnd_BitOr", "BitOr_BitAnd", "BitXor_BitOr")  # fmt: skip
OTHERS = ("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue",
          "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd", "ReplaceBreakWithContinue",
          "ReplaceContinueWithBreak", "ZeroIterationForLoop")  # fmt: skip
# What decides nothing: words for people, types, how a record is made, and what is imported.
SKIPPED = frozenset({"fstring", "annassign", "tfpdef", "decorator", "import_from", "import_name"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` and `after` are the line's text without margins; `code` is the module as it would be."""

    line: int
    operator: str
    before: str
    after: str
    code: str


class Inverted(Operator):
    """`not (...)` round what an if, elif, while, choice or filter asks, and what a function of type bool returns."""

    def mutation_positions(self, node):
        for index in self._asked(node):
            yield node.children[index].start_pos, node.children[index].end_pos

    def mutate(self, node, index):
        at = list(self._asked(node))[index]
        node.children[at] = parse(f" not ({node.children[at].get_code().strip()})")
        return node

    @staticmethod
    def _asked(node):
        if node.type in ("if_stmt", "while_stmt"):
            words = ("if", "elif", "while")
            return [place + 1 for place, kid in enumerate(node.children) if getattr(kid, "value", "") in words]
        if node.type == "return_stmt" and len(node.children) > 1 and _returns_bool(node):
            return [1]
        return {"test": [2], "comp_if": [1]}.get(node.type, [])

    @classmethod
    def examples(cls):
        return ()


class Membership(Operator):
    """`in` and `not in` exchanged."""

    def mutation_positions(self, node):
        for index in self._words(node):
            yield node.children[index].start_pos, node.children[index].end_pos

    def mutate(self, node, index):
        at = list(self._words(node))[index]
        node.children[at] = parse(" in" if node.children[at].get_code().split() == ["not", "in"] else " not in")
        return node

    @staticmethod
    def _words(node):
        if node.type != "comparison":
            return []
        return [at for at in range(1, len(node.children), 2)
                if node.children[at].get_code().split() in (["in"], ["not", "in"])]  # fmt: skip

    @classmethod
    def examples(cls):
        return ()


class Uncaught(Operator):
    """A handler catches something else, of several exceptions one at a time; cosmic-ray's own fails at `except a.B`."""

    def mutation_positions(self, node):
        for parent, index in self._caught(node):
            yield parent.children[index].start_pos, parent.children[index].end_pos

    def mutate(self, node, index):
        parent, at = list(self._caught(node))[index]
        parent.children[at] = parse(f"{parent.children[at].get_first_leaf().prefix}CosmicRayTestingException")
        return node

    @staticmethod
    def _caught(node):
        if node.type != "except_clause":
            return
        caught = node.children[1]
        if caught.type != "atom":
            yield node, 1
        elif caught.children[1].type != "testlist_comp":
            yield caught, 1
        else:
            yield from ((caught.children[1], at) for at in range(0, len(caught.children[1].children), 2))

    @classmethod
    def examples(cls):
        return ()


class Step(Operator):
    """A whole number one up and one down, a fraction a tenth up and a tenth down."""

    def mutation_positions(self, node):
        if isinstance(node, Number):
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node, index):
        value = eval(node.value)  # a literal by its type
        stepped = value + (1, -1)[index] if isinstance(value, int) else value * (1.1, 0.9)[index]
        return Number(f"({stepped!r})" if stepped < 0 else repr(stepped), node.start_pos, node.prefix)

    @classmethod
    def examples(cls):
        return ()


class HandedOn(Operator):
    """A call loses one keyword argument; one of a function by its name (no class, no builtin) is its first argument."""

    def mutation_positions(self, node):
        yield from [(node.start_pos, node.end_pos)] * len(self._faults(node))

    def mutate(self, node, index):
        parent, at = self._faults(node)[index]
        if parent is None:
            return parse(f"{node.get_first_leaf().prefix}({at.get_code().strip()})")
        comma = parent.type == "arglist"
        first = at - 1 if comma and at == len(parent.children) - 1 else at
        del parent.children[first : first + 1 + comma]
        return node

    @classmethod
    def _faults(cls, node):
        """The children that are keyword arguments, or (None, the first argument)."""
        if node.type == "trailer" and node.children[0] == "(" and len(node.children) == 3:
            parent = node.children[1] if node.children[1].type == "arglist" else node
            return [(parent, at) for at, one in enumerate(parent.children) if cls._is_keyword(one)]
        if node.type != "atom_expr" or len(node.children) != 2 or node.children[0].type != "name":
            return []
        name, (bracket, *given, _) = node.children[0].value, node.children[1].children
        if not given or bracket != "(" or hasattr(builtins, name) or name.strip("_")[:1].isupper():
            return []
        first = given[0].children[0] if given[0].type == "arglist" else given[0]
        return [] if first.type == "argument" else [(None, first)]

    @staticmethod
    def _is_keyword(node):
        return node.type == "argument" and node.children[1] == "="

    @classmethod
    def examples(cls):
        return ()


def operators() -> Iterator[Operator]:
    """Every operator but HandedOn, in a fixed order."""
    names = [f"ReplaceComparisonOperator_{name}" for name in COMPARISONS]
    names += [f"ReplaceBinaryOperator_{name}" for name in ARITHMETIC]
    yield from (Inverted(), Membership(), Uncaught(), Step())
    for name in (*names, *OTHERS):
        yield get_operator(f"core/{name}")()


def mutants(source: str, made_by: Iterable[Operator] = ()) -> list[Mutant]:
    """All mutants that compile and differ, by line."""
    made = {}
    for operator in made_by or operators():
        for occurrence, (line, skipped) in enumerate(_places(source, operator)):
            code = None if skipped else MutationVisitor.mutate_code(source, operator, occurrence)
            if code and code != source and code not in made and _compiles(code):
                before, after = _change(source, code)
                made[code] = Mutant(line, type(operator).__name__, before, after, code)
    return sorted(made.values(), key=lambda mutant: mutant.line)


def _places(source: str, operator: Operator) -> Iterator[tuple[int, bool]]:
    for node in ast_nodes(get_ast(source)):
        for start, _ in operator.mutation_positions(node):
            yield start[0], _is_skipped(node)


def _is_skipped(node) -> bool:
    if node.parent is not None and node.parent.type == "parameters":  # the star before keyword-only parameters
        return True
    child, above = node, node.parent
    while above is not None:
        if child.type in SKIPPED or (isinstance(above, Function) and child is above.annotation):
            # A variable's annotation is skipped, its value is not.
            return child.type != "annassign" or node is child.children[1] or _is_below(node, child.children[1])
        child, above = above, above.parent
    return False


def _is_below(node, top) -> bool:
    while node is not None and node is not top:
        node = node.parent
    return node is top


def _returns_bool(node) -> bool:
    function = node
    while function is not None and not isinstance(function, Function):
        function = function.parent
    annotation = getattr(function, "annotation", None)
    return annotation is not None and annotation.get_code().strip() == "bool"


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _change(source: str, code: str) -> tuple[str, str]:
    """The lines that differ; several become one."""
    old, new = source.splitlines(), code.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return " ".join(line.strip() for line in old), " ".join(line.strip() for line in new)
