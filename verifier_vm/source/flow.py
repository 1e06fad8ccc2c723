# SPDX-License-Identifier: Apache-2.0
"""A walk over a function in the order in which it runs, with a set of facts that branches split and joins unite.

A fact is a variable's name with what a check believes of it; what it is, the subclass says. Loops are walked once, and
jumps leave: facts are lost that way, never invented, so what is found holds on some path through the text.
"""

from __future__ import annotations

from verifier_vm.source.tree import KEEPS_VALUE, Node

Facts = frozenset[str]
NONE: Facts = frozenset()


class Walk:
    """Walks a body; `assigned`, `called`, `used` and `refined` are what a check overrides."""

    def assigned(self, name: str, value: Node | None, facts: Facts) -> Facts:
        """A variable is given a value (None: it may be anything)."""
        del value
        return facts - {name}

    def called(self, node: Node, facts: Facts) -> Facts:
        """A call whose arguments have been walked."""
        del node
        return facts

    def used(self, node: Node, facts: Facts) -> Facts:
        """A variable or field is read."""
        del node
        return facts

    def refined(self, condition: Node, holds: bool, facts: Facts) -> Facts:
        """A comparison, or a bare value, that is known to hold or not."""
        del condition, holds
        return facts

    def returned(self, node: Node, facts: Facts) -> None:
        """A return, its expression walked."""

    def run(self, body: Node, facts: Facts = NONE) -> None:
        """Walk a function's body."""
        self._statement(body, facts)

    def _statement(self, node: Node, facts: Facts | None) -> Facts | None:
        """Facts after the statement; None if it does not come to its end."""
        if facts is None:
            return None
        step = getattr(self, f"_on_{node.kind}", None)
        return step(node, facts) if step else self._expression(node, facts)

    def _on_block(self, node: Node, facts: Facts) -> Facts | None:
        after: Facts | None = facts
        for kid in node.kids:
            if after is None and kid.kind not in ("case", "label"):
                continue
            after = self._statement(kid, facts if after is None else after)
        return after

    def _on_label(self, node: Node, facts: Facts) -> Facts | None:
        return self._on_block(node, facts)

    def _on_case(self, node: Node, facts: Facts) -> Facts | None:
        return self._on_block(node, facts)

    def _on_variable(self, node: Node, facts: Facts) -> Facts:
        value = node.kids[-1] if node.kids else None
        if value is not None:
            facts = self._expression(value, facts)
        return self.assigned(node.text, value, facts)

    def _on_if(self, node: Node, facts: Facts) -> Facts | None:
        condition = node.kids[0]
        facts = self._condition(condition, facts)
        then = self._statement(node.kids[1], self._assume(condition, True, facts)) if len(node.kids) > 1 else facts
        otherwise: Facts | None = self._assume(condition, False, facts)
        if len(node.kids) > 2:
            otherwise = self._statement(node.kids[2], otherwise)
        return _joined(then, otherwise)

    def _on_for(self, node: Node, facts: Facts) -> Facts | None:
        for kid in node.kids[:-1]:
            facts = self._statement(kid, facts) or facts
        return _joined(self._statement(node.kids[-1], facts), facts)

    _on_while = _on_for

    def _on_do(self, node: Node, facts: Facts) -> Facts | None:
        after = self._statement(node.kids[0], facts)
        return _joined(after, facts) if after is None else after

    def _on_switch(self, node: Node, facts: Facts) -> Facts | None:
        facts = self._expression(node.kids[0], facts)
        return _joined(self._statement(node.kids[-1], facts), facts)

    def _on_return(self, node: Node, facts: Facts) -> None:
        for kid in node.kids:
            facts = self._expression(kid, facts)
        self.returned(node, facts)

    def _on_jump(self, node: Node, facts: Facts) -> None:
        del node, facts

    def _condition(self, node: Node, facts: Facts) -> Facts:
        """The expression of an if, a loop or a choice; what follows from it is for `refined`."""
        return self._expression(node, facts)

    def _expression(self, node: Node, facts: Facts) -> Facts:
        if node.kind in ("block", "variable", "if", "for", "while", "do", "switch", "return", "jump"):
            return self._statement(node, facts) or facts  # GNU's ({ ... })
        if node.kind == "binary":
            return self._binary(node, facts)
        if node.kind == "choose" and len(node.kids) == 3:
            facts = self._condition(node.kids[0], facts)
            then = self._expression(node.kids[1], self._assume(node.kids[0], True, facts))
            return then | self._expression(node.kids[2], self._assume(node.kids[0], False, facts))
        if node.kind == "unary" and node.text in ("++", "--", "&") and node.kids[0].kind == "name":
            return self.assigned(node.kids[0].text, None, facts)
        if node.kind in ("name", "field"):
            return self.used(node, facts)
        for kid in node.kids:
            facts = self._expression(kid, facts)
        return self.called(node, facts) if node.kind == "call" else facts

    def _binary(self, node: Node, facts: Facts) -> Facts:
        left, right = node.kids[0], node.kids[-1]
        if node.text in ("&&", "||"):
            facts = self._expression(left, facts)
            return facts | self._expression(right, self._assume(left, node.text == "&&", facts))
        if node.text not in KEEPS_VALUE:
            return self._expression(right, self._expression(left, facts))
        facts = self._expression(right, facts)
        if left.kind == "name":
            return self.assigned(left.text, right if node.text == "=" else None, facts)
        for kid in left.kids if left.kind == "field" else [left]:
            facts = self._expression(kid, facts)
        return facts

    def _assume(self, condition: Node, holds: bool, facts: Facts) -> Facts:
        if condition.kind == "unary" and condition.text == "!":
            return self._assume(condition.kids[0], not holds, facts)
        if condition.kind == "call" and condition.text == "__builtin_expect":
            return self._assume(condition.kids[0], holds, facts)
        if condition.kind == "binary" and condition.text in ("&&", "||"):
            left, right = condition.kids
            if holds == (condition.text == "&&"):
                return self._assume(right, holds, self._assume(left, holds, facts))
            return self._assume(left, holds, facts) | self._assume(right, holds, self._assume(left, not holds, facts))
        return self.refined(condition, holds, facts)


def _joined(left: Facts | None, right: Facts | None) -> Facts | None:
    if left is None or right is None:
        return right if left is None else left
    return left | right
