# SPDX-License-Identifier: Apache-2.0
"""The kill switch: while one of its files is there, nothing is attached. Setting it asks nobody; to clear it is harder.

And what a host remembers of having stepped aside: an administrator's hand is not undone by the next request.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write, read_outside

ASIDE = "aside"
BY_CONTROL = "control plane: "


class KillSwitch:
    """The stop files, the first of which is ours to write."""

    def __init__(self, files: Sequence[Path], state: Path) -> None:
        self._files, self._aside = tuple(files), state / ASIDE

    def on(self) -> str:
        """Why nothing may be attached, with the file that says so; empty if none. What cannot be seen counts."""
        for path in self._files:
            try:
                os.lstat(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                return f"{path}: {error.strerror}"
            return f"{path} is there{_told(path)}"
        return ""

    def set(self, reason: str, *, control: bool) -> None:
        """Puts the first file there; InfraError if the disk will not take even that (what is attached goes anyway)."""
        path = self._files[0]
        if not os.path.lexists(path):
            atomic_write(path, f"{BY_CONTROL if control else ''}{reason}\n".encode(), mode=0o644)

    def clear(self, *, admin: bool) -> str:
        """Removes our file; what still stops, or empty. The control plane can take back only what it set itself."""
        path = self._files[0]
        if os.path.lexists(path) and (admin or _told(path).startswith(f": {BY_CONTROL}")):
            try:
                path.unlink()
            except OSError as error:
                raise InfraError(f"{path}: {error.strerror}") from error
        if admin:
            self._aside.unlink(missing_ok=True)
        return self.on() or self.aside()

    def step_aside(self, reason: str) -> None:
        """Remembers that somebody else took the matter in hand."""
        atomic_write(self._aside, reason.encode() + b"\n", durable=True, mode=0o600)

    def aside(self) -> str:
        """Why this host has stepped aside; empty if it has not."""
        return f"stepped aside{_told(self._aside)}" if os.path.lexists(self._aside) else ""


def _told(path: Path) -> str:
    try:
        text = read_outside(path, 4096).decode(errors="replace").strip()
    except InputError:
        text = ""
    return f": {' '.join(text.split())[:200]}" if text else ""
