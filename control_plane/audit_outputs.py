# SPDX-License-Identifier: Apache-2.0
"""What `schedcp audit verify` prints with --json."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditVerifyOutput:
    """A log that holds, or how it does not: `fault` is edited, replaced, removed, moved, cut_off, another (a log of
    another identity than rollouts kept: a host made anew, or one put in its place) or other, at `line`.

    `first` and `last` number its entries. `compared` are rollouts whose copies agree. Without `end_known` lines that
    were cut off its end would not show. `log` is its identity, `others` are rollouts that kept another log.
    """

    place: str
    holds: bool
    entries: int = 0
    first: int = 0
    last: int = 0
    sha256: str = ""
    fault: str = ""
    line: int = 0
    reason: str = ""
    compared: tuple[str, ...] = ()
    end_known: bool = False
    unfinished: bool = False
    log: str = ""
    others: tuple[str, ...] = ()
