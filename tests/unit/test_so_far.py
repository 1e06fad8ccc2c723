# SPDX-License-Identifier: Apache-2.0
"""What is told of a verification that a signal ends, and of how long a large guest takes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from control_plane.so_far import SoFar, told_if_interrupted
from policy_lake.topology import Topology
from tasks.verify import guest_minutes, told_of_parts


@pytest.mark.parametrize(("ending", "told"), [
    (KeyboardInterrupt(), True), (SystemExit(128 + 15), True), (SystemExit(3), False), (ValueError("x"), False),
])  # fmt: skip
def test_an_interrupted_verification_says_what_had_ended_and_ends_as_it_did(ending: Any, told: bool) -> None:
    text = io.StringIO()
    so_far = SoFar(now="attached: the suite")
    with pytest.raises(type(ending)) as raised, told_if_interrupted(so_far, Console(file=text, width=200)):
        so_far.ended("source", True)
        so_far.ended("guest: [2 CPUs]", True)
        raise ending
    assert raised.value is ending
    lines = text.getvalue().splitlines()
    assert bool(lines) is told
    if told:
        assert [line.split(maxsplit=1) for line in lines[:2]] == [["ok", "source"], ["ok", "guest: [2 CPUs]"]]
        assert "not ended: attached: the suite; no verdict, no token" in lines[2] and "nothing rejects" in lines[2]


def test_what_had_rejected_by_then_is_named() -> None:
    text = io.StringIO()
    so_far = SoFar([("source", True), ("guest: one", False)], "another guest")
    so_far.show(Console(file=text, width=200))
    assert "FAIL guest: one" in text.getvalue() and "rejected at guest: one" in text.getvalue()
    text = io.StringIO()
    SoFar(now="x").show(Console(file=text, width=200))
    assert text.getvalue().startswith("interrupted: nothing has ended")


def test_a_large_guest_says_how_long_it_takes_and_all_are_told_as_they_end() -> None:
    began: list[str] = []
    ended: list[tuple[str, bool]] = []
    tell = told_of_parts(began.append, lambda name, ok: ended.append((name, ok)))
    for cpus in (2, 15, 16, 64):
        tell(f"{cpus} CPUs", Topology(cpus), None)
        tell(f"{cpus} CPUs", Topology(cpus), cpus != 64)
    assert [line.split(":")[0] for line in began] == ["16 CPUs", "64 CPUs"] and guest_minutes(Topology(64)) in began[1]
    assert ended == [
        ("guest: 2 CPUs", True),
        ("guest: 15 CPUs", True),
        ("guest: 16 CPUs", True),
        ("guest: 64 CPUs", False),
    ]
    told_of_parts(began.append, lambda *_: None, at_once=True)("a", Topology(), False)
    assert began[-1] == "a: rejected"
    minutes = [int(guest_minutes(Topology(cpus)).split()[1]) for cpus in (16, 32, 64)]
    assert minutes[0] >= 1 and minutes == sorted(minutes) and minutes[2] > minutes[0]
