# SPDX-License-Identifier: Apache-2.0
"""How a failure that a guest showed is seen again: the command for a situation, or what finds one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from policy_lake.knobs import OPS_FLAG, OPS_USE
from policy_lake.model import Rejection
from tasks.minimize import IN_A_SITUATION

# A situation by itself need not show what the suite did, so none is told that was not tried.
HINT = "to see it again: the same command with --minimize makes it small and prints the command that repeats it"


def hint(rejection: Rejection | None) -> str:
    """What to do to see it again; empty where no guest showed it, for then the same command does."""
    return HINT if rejection is not None and rejection.stage in IN_A_SITUATION else ""


def command_for(
    file: Path,
    situation: str,
    *,
    include: Sequence[Path] = (),
    linked: Sequence[Path] = (),
    knobs: Sequence[str] = (),
    sets: Mapping[str, str] | None = None,
    machine: str = "",
) -> str:
    """`schedcp verify` of that situation alone, with all that the policy was given with, as a shell takes it."""
    words = ["schedcp", "verify", str(file)]
    for option, values in (("-I", include), ("-l", linked), ("--knob", knobs)):
        words += [word for value in values for word in (option, str(value))]
    for name, value in (sets or {}).items():
        words += _set(name, value)
    words += ["--machine", machine] if machine else []
    return shlex.join([*words, "--only", situation])


def _set(name: str, value: str) -> list[str]:
    if name == OPS_FLAG:
        return [word for flag in value.split(",") for word in ("--ops-flag", flag)]
    return ["--ops", value] if name == OPS_USE else ["--set", f"{name}={value}"]
