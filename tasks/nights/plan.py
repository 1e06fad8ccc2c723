# SPDX-License-Identifier: Apache-2.0
"""A night: which workloads it tunes, under which ids, and what its news is."""

from __future__ import annotations

from collections.abc import Sequence

from policy_lake.errors import InputError
from policy_lake.limits import WORDS
from policy_lake.night import NightChange
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.host.workloads import list_workloads
from tasks.nights.series import PREFIX, latest
from tasks.run.spec import new_run_id

SERVICE = "service"


def workloads_of(named: Sequence[str], services: bool, settings: Settings) -> list[str]:
    """Those that are named, and all recorded services of this host; InputError where that is none, or too many."""
    known, _ = list_workloads(settings)
    recorded = [one.id for one in known if one.trace and one.kind == SERVICE] if services else []
    wanted = list(dict.fromkeys((*named, *recorded)))
    if not 0 < len(wanted) <= WORDS:
        raise InputError(f"a night has 1 to {WORDS} workloads; these are {len(wanted)}")
    return wanted


def night_id(workload: str) -> str:
    """The id of a new night's run."""
    return PREFIX + new_run_id(workload)


def news(workload: str, settings: Settings) -> NightChange:
    """The last night of a workload beside the one before it."""
    return latest(open_lake(settings), workload)[0]
