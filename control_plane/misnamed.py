# SPDX-License-Identifier: Apache-2.0
"""Variables SCHEDCP_… of the environment that no setting has: said once, as they would else be ignored in silence."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping

from policy_lake.show import for_terminal, shortened

PREFIX = "SCHEDCP_"
# Read by others than `Settings`: our workload programs, the tests of an image, and the marks by which benches and tests
# find the processes that they have started.
READ_ELSEWHERE = frozenset({"CHECK_OPTIONS", "IMAGE_BASE", "BENCH_MARK", "TEST_MARK"})
MOST_NAMED, LONGEST_SHOWN, ALIKE = 3, 60, 0.5


def misnamed(environment: Mapping[str, str] = os.environ) -> str:
    """One line that names such variables, each with the setting that it resembles most; empty where there are none.

    As for the settings themselves, upper and lower case are alike, and one that is set to nothing is not set.
    """
    ours = sorted(name for name, value in environment.items() if value and name.upper().startswith(PREFIX))
    if not ours:
        return ""
    from tasks.host.settings import Settings  # pydantic, which a command that needs no settings must not pay

    known = sorted(name.upper() for name in Settings.model_fields)
    unknown = [name for name in ours if _bare(name) not in {*known, *READ_ELSEWHERE}]
    named = ", ".join(_told(name, known) for name in unknown[:MOST_NAMED])
    more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
    return f"no such setting, ignored: {named}{more}" if unknown else ""


def _bare(name: str) -> str:
    return name.upper().removeprefix(PREFIX)


def _told(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(_bare(name)[:LONGEST_SHOWN], known, 1, ALIKE)
    return for_terminal(shortened(name, LONGEST_SHOWN)) + "".join(f" (is {PREFIX}{one} meant?)" for one in near)
