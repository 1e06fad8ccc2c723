# SPDX-License-Identifier: Apache-2.0
"""The five words: journal and kernel compared."""

from __future__ import annotations

from typing import Any

import pytest

from host_agent.journal import Action
from host_agent.kernel import Scx
from host_agent.reconcile import Status, compare

OFF, OURS = Scx("disabled", "", 4), Scx("enabled", "ljf", 5)
GIVEN: dict[str, Any] = {"enable_seq": 4}
DONE = Action("attach", GIVEN, {"ops": "ljf", "enable_seq": 5}, 1, done=True)
BEGUN = Action("attach", GIVEN, id=1)
TAKEN = Action("take_over", {"scheduler": "scx_lavd"}, {}, 1, done=True)


@pytest.mark.parametrize(
    ("actions", "scx", "word"),
    [
        ((), OFF, Status.IDLE), ((), Scx(), Status.IDLE), ((TAKEN,), OFF, Status.IDLE),
        ((), OURS, Status.ORPHANED), ((TAKEN,), OURS, Status.ORPHANED), ((), Scx("enabling", "", 4), Status.ORPHANED),
        ((DONE,), OURS, Status.RUNNING), ((TAKEN, DONE), OURS, Status.RUNNING), ((BEGUN,), OURS, Status.RUNNING),
        ((DONE,), OFF, Status.DETACHED), ((BEGUN,), OFF, Status.DETACHED),
        ((DONE,), Scx("enabled", "lavd", 5), Status.MISMATCH), ((DONE,), Scx("enabled", "ljf", 6), Status.MISMATCH),
        ((BEGUN,), Scx("enabled", "ljf", 6), Status.MISMATCH), ((BEGUN,), Scx("enabled", "ljf", 4), Status.MISMATCH),
    ],
)  # fmt: skip
def test_each_word(actions: tuple[Action, ...], scx: Scx, word: Status) -> None:
    found = compare(actions, scx)
    assert found.status is word and found.reason


def test_what_is_paused_is_managed_and_detached() -> None:
    assert compare((), OFF, paused=True).status is Status.DETACHED
    assert compare((), OURS, paused=True).status is Status.MISMATCH
