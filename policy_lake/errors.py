# SPDX-License-Identifier: Apache-2.0
"""Failures of ours, each told in one line: the leaf that every package imports."""

from __future__ import annotations

from typing import Any

# The command that mends what is missing: a wheel, where all of this is below `schedcp`, has no Makefile.
SETUP = "schedcp setup" if __name__.startswith("schedcp.") else "make setup"


class SchedcpError(Exception):
    """A failure of ours, told in one line; `exit_status` is what a command ends with."""

    exit_status = 4


class InputError(SchedcpError):
    """The caller's input is wrong; the message names the thing and the place."""

    exit_status = 2


class InfraError(SchedcpError):
    """QEMU, disk, network or the cluster failed: nothing is known of the candidate, and a retry may help."""


def cannot_be_loaded(error: ImportError) -> InfraError:
    """What a library is told as that is not there, or was made for another Python: no damage of what it reads."""
    library, why = (error.name or "a library").partition(".")[0], " ".join(str(error).split())[:200]
    return InfraError(f"{library} cannot be loaded ({why}): run `{SETUP}`")


class LostVMError(InfraError):
    """The guest stopped answering without saying why; `console` is the end of what it printed."""

    def __init__(self, message: str, console: str = "") -> None:
        super().__init__(message)
        self.console = console

    def __reduce__(self) -> tuple[Any, ...]:  # Ray pickles errors, and Exception's own reduce drops `console`
        return type(self), (str(self), self.console)


class EndedVMError(LostVMError):
    """The guest was ended by this process, which wants no other in its place."""


class BuildError(SchedcpError):
    """The compiler refused a source; `diagnostics` is what it said, `missing` the header that it did not find."""

    def __init__(self, message: str, diagnostics: str = "", missing: str = "") -> None:
        super().__init__(message)
        self.diagnostics, self.missing = diagnostics, missing

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.diagnostics, self.missing)
