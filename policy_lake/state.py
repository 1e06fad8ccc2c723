# SPDX-License-Identifier: Apache-2.0
"""The note on the state of the lake's tables."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import atomic_write


@dataclass(frozen=True, slots=True)
class State:
    """What the tables hold: `offset` is how far into the journal (bytes), `rows` how many rows each has at least.

    `kinds` are the tables that there are; those of another version of schedcp are made anew.

    Tables are trusted only within the boot that wrote them: LanceDB never fsyncs, and so a power loss may undo some.
    """

    generation: str
    offset: int
    boot: str
    embedder: str
    dimensions: int
    rows: dict[str, int] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State | None:
        """The state in this file; None if there is none that can be read; InputError for no plain file."""
        if path.exists() and not path.is_file():  # a named pipe would hold us for ever
            raise InputError(f"{path}: no plain file")
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def store(self, path: Path) -> None:
        """Replaces the file in one step. Not fsynced: after a power loss another boot distrusts it anyway."""
        atomic_write(path, json.dumps(asdict(self)).encode())


def boot_id() -> str:
    """A name for this boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
