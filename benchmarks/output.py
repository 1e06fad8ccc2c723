# SPDX-License-Identifier: Apache-2.0
"""How a program failed, in words; what it printed is read by policy_lake/printed.py."""

from __future__ import annotations

from policy_lake.errors import InfraError
from policy_lake.events import Ran
from policy_lake.limits import LONGEST_LINE
from policy_lake.show import for_terminal, shortened


def last_line(text: object) -> str:
    """The last line of a program's stderr, where it says why it failed."""
    last = str(text or "").rstrip().rpartition("\n")[2].strip()
    return for_terminal(shortened(last, LONGEST_LINE)) or "nothing on stderr"


def failure_of(run: Ran) -> str:
    """How a program failed, in words; empty if it did not."""
    if run.timed_out:
        return f"did not end within {run.seconds:.0f} s"
    if run.signal:
        return f"was ended by signal {run.signal}"
    if run.exit:
        return f"exited with {run.exit}"
    if not run.ended:
        return "left processes that would not die"
    if not run.ok:
        raise InfraError(f"step '{run.label}': the guest calls it failed and does not say why")
    return ""
