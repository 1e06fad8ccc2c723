# SPDX-License-Identifier: Apache-2.0
"""Which outcome of a condition a way is, by the text round it; and where ways lead."""

from __future__ import annotations

import pytest

from control_plane.outcomes import outcome
from policy_lake.coverage import END, CodeLine
from verifier_vm.coverage.ways import NOWHERE, leads_to, opening_of

RETURNS = ["f()", "{", "\tif (spent(n) <= 0)", "\t\treturn;", "\tlook();", "}"]
GUARDS = ["f()", "{", "\tif (a &&", "\t    b) {", "\t\tlook();", "\t\tcount++;", "\t}", "\tlast();", "}"]
BRACE_BELOW = ["\tif (a)", "\t{", "\t\tlook();", "\t}", "\telse", "\t\tlast();"]
ONE_LINE = ["\tif (a) continue;", "\tlook();"]
SHARES = ["\tif (a) look();", "\tlast();"]
SPEAKS = ['\tif (a == ")") /* ) { */', "\t\tlook();", "\tlast();"]


@pytest.mark.parametrize(("lines", "line", "to", "other", "holds"), [
    (RETURNS, 3, END, 5, True), (RETURNS, 3, 5, END, False), (RETURNS, 3, END, 0, True), (RETURNS, 3, 0, END, False),
    (GUARDS, 4, 5, 8, True), (GUARDS, 4, 8, 6, False), (GUARDS, 3, 8, 4, None), (GUARDS, 4, 0, 8, True),
    (GUARDS, 4, 8, 0, False), (GUARDS, 4, 8, 8, None), (GUARDS, 8, 9, END, None),
    (BRACE_BELOW, 1, 3, 6, True), (BRACE_BELOW, 1, 6, 3, False),
    (ONE_LINE, 1, 2, 0, False), (SHARES, 1, 2, 1, None),
    (SPEAKS, 1, 2, 3, True), (SPEAKS, 1, 3, 2, False),
    ([], 3, 5, END, None), (["x = a ? b : c;"], 1, 1, END, None), (["if (" * 50], 1, 3, 4, None),
])  # fmt: skip
def test_the_text_says_which_outcome_a_way_is(
    lines: list[str], line: int, to: int, other: int, holds: bool | None
) -> None:
    assert outcome(lines, line, to, other) is holds


def test_the_line_that_opens_a_function_stands_for_its_end_where_it_ends_there() -> None:
    lines = [CodeLine(0, "a.bpf.c", 19, 6), CodeLine(9, "a.bpf.c", 17, 6), CodeLine(20, "sx/dsq.h", 3, 1)]
    assert opening_of(lines, [("a.bpf.c", 17, 6)]) == ("a.bpf.c", 17)
    assert opening_of(lines, [("a.bpf.c", 19, 6)]) == NOWHERE == opening_of([], [])
    branch, opening = ("a.bpf.c", 19, 6), ("a.bpf.c", 17)
    assert leads_to(("a.bpf.c", 17, 6), branch, opening) == END
    assert leads_to(("a.bpf.c", 17, 6), branch, NOWHERE) == 17
    assert leads_to(("a.bpf.c", 21, 2), branch, opening) == 21
    assert leads_to(("sx/dsq.h", 3, 1), branch, opening) == 0, "it is no line of the branch's file"
    assert leads_to(("a.bpf.c", 17, 6), ("a.bpf.c", 17, 2), opening) == 17, "a function in one line"
