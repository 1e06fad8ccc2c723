# SPDX-License-Identifier: Apache-2.0
"""What a policy stored when it ended, and the kernel's kinds of end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitKind(IntEnum):
    """The kernel's enum scx_exit_kind (include/linux/sched/ext.h, 7.3), and NO_RECORD, which is the loader's."""

    NO_RECORD = -1
    NONE = 0
    DONE = 1
    UNREG = 64
    UNREG_BPF = 65
    UNREG_KERN = 66
    SYSRQ = 67
    PARENT = 68
    ERROR = 1024
    ERROR_BPF = 1025
    ERROR_STALL = 1026


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """What a policy stored when it ended; kind NO_RECORD where it stores nothing that the loader knows.

    The kernel calls `exit` with no kind below UNREG. NONE is therefore what the variable held before: nothing was
    stored. Like NO_RECORD it accuses nobody, for that a policy ended too soon is read from the kernel's own state and
    log; it is noted, since why such a policy ends would not be known.
    """

    kind: int = ExitKind.NO_RECORD
    code: int = 0
    reason: str = ""
    message: str = ""

    @property
    def stored(self) -> bool:
        """Whether the policy stored anything."""
        return self.kind not in (ExitKind.NO_RECORD, ExitKind.NONE)

    @property
    def clean(self) -> bool:
        """Whether nothing in it says that the policy ended otherwise than by its loader's hand."""
        return not self.stored or self.kind == ExitKind.UNREG

    @property
    def words(self) -> str:
        """The kernel's reason and message, or the kind by number where it gave neither; empty for no record."""
        if not self.stored:
            return ""
        return ": ".join(part for part in (self.reason, self.message) if part) or f"exit kind {self.kind}"

    def __str__(self) -> str:
        if not self.stored:
            return "no exit record"
        return f"exit kind {self.kind}, code {self.code}: {f'{self.reason} {self.message}'.strip()}"
