# SPDX-License-Identifier: Apache-2.0
"""Where the share of a hog that a real-time task interrupts is too small, beside EEVDF's: both sides of each limit."""

from __future__ import annotations

import pytest
from test_thresholds import fair, group, reading

from policy_lake.codes import Code


@pytest.mark.parametrize(
    ("least_ms", "base_ms", "found"),
    [
        (25.0, 250.0, []),
        (24.9, 250.0, [("reject", Code.SHARE)]),
        (24.9, 25.1, [("reject", Code.SHARE)]),
        (24.9, 25.0, []),
        (24.9, 24.9, []),
    ],
)
def test_beside_pulses_a_tenth_of_a_fair_share_is_enough_and_eevdf_must_do_better(least_ms, base_ms, found):
    policy, base = (reading("W21", {"W21-pinned": group(least_ms=least)}) for least in (least_ms, base_ms))
    assert fair("W21", policy, base) == found


@pytest.mark.parametrize(
    ("run_ms", "base_ms", "found"),
    [
        (90.0, 200.0, []),
        (89.0, 200.0, [("note", Code.SHARE)]),
        (45.0, 100.0, []),  # where EEVDF gives it half
        (44.0, 100.0, [("note", Code.SHARE)]),
        (0.0, 0.0, []),
    ],
)
def test_who_is_interrupted_gets_nearly_half_of_what_the_worse_of_its_equals_gets(run_ms, base_ms, found):
    policy, base = (
        reading("W30", {"W30-interrupted": group(run_ms=ran_ms), "W30-equal": group(least_ms=200.0, run_ms=900.0)})
        for ran_ms in (run_ms, base_ms)
    )
    assert fair("W30", policy, base) == found
