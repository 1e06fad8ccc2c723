# SPDX-License-Identifier: Apache-2.0
"""What a guest executed of the policy: from its report to coverage."""

from __future__ import annotations

from collections.abc import Sequence

from policy_lake.coverage import Coverage
from policy_lake.events import LaidOut
from policy_lake.guest import GuestReport
from verifier_vm.coverage.measure import measure_coverage

BY_WALL_CLOCK = "by the wall clock nobody sees which code a guest executes"
DIED = "the guest did not live to tell"


def coverage_of(data: bytes, report: GuestReport, arguments: Sequence[str] = ()) -> Coverage:
    """What ran of the object's callbacks as it was loaded; not known where guest or clock did not tell all of it."""
    if report.executed is None:
        return Coverage(BY_WALL_CLOCK)
    layout = next((event for event in report.events if isinstance(event, LaidOut)), None)
    if layout is None:
        return Coverage("the policy was not attached")
    if layout.unknown:
        return Coverage(layout.unknown)
    return measure_coverage(data, layout.programs, report.executed, arguments)
