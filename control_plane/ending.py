# SPDX-License-Identifier: Apache-2.0
"""How a command ends: every failure of ours is one line and its own exit status, never a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from typer.exceptions import TyperException

from control_plane.output import print_json, take_any_text
from control_plane.streams import guard_streams
from policy_lake.errors import InfraError, InputError, SchedcpError, cannot_be_loaded
from policy_lake.limits import LOG_CHARACTERS
from policy_lake.show import for_terminal, shortened
from tasks.host.interrupts import interruptible

INTERRUPTED = 128 + signal.SIGINT
ENDINGS = {
    INTERRUPTED: "interrupted",
    128 + signal.SIGTERM: "ended by SIGTERM",
    128 + signal.SIGHUP: "ended, as its terminal was closed (SIGHUP)",
    128 + signal.SIGQUIT: "ended by SIGQUIT",
}
ENDED = "what it had started is ended"


def run(app: Callable[..., Any], name: str) -> None:
    """Run a command line of that name to its end, in this process; a failure ends the process."""
    take_any_text()
    try:
        guard_streams()
        with interruptible(_cut_short):
            status = app(standalone_mode=False)  # none of one that has done what it should
            sys.stdout.flush()  # a verdict that nobody could hear is none, whatever it was
            if status:
                sys.exit(status)
    except TyperException as error:
        _usage(error, name)
    except SchedcpError as error:
        _fail(str(error), error.exit_status, code=getattr(error, "code", ""))
    except KeyboardInterrupt:
        _ended(INTERRUPTED, ENDED)
    except SystemExit as ending:
        if ending.code in ENDINGS:  # typer has taken the interrupt and says nothing
            _ended(int(ending.code), ENDED)
        raise
    except MemoryError:
        _fail("the system: out of memory", InfraError.exit_status)
    except ImportError as error:
        _fail(str(cannot_be_loaded(error)), InfraError.exit_status)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _fail(f"{error.filename or 'the system'}: {error.strerror}", 4)


def _cut_short(status: int) -> None:
    """The end of a command that does not clear away in time."""
    _ended(status, "what did not end by itself was cut short")


def _ended(status: int, cleared: str) -> None:
    """The end by a signal of that status, or by the loss of something that the run could not do without."""
    from tasks.fleet.lost import lost

    if reason := lost():
        _end(InfraError.exit_status, reason)
    _end(status, f"{ENDINGS[status]}; {cleared}")


def _end(status: int, line: str) -> None:
    """The end by a signal. At once: a thread that still works, and what it started, dies with this process."""
    try:
        _fail(line, status)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _usage(error: Any, name: str) -> None:
    """Typer's complaint in our form; a command of commands that is given none complains with its page of help."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in message:
        error.show()
        sys.exit(error.exit_code)
    path = context.command_path if context else name
    _fail(f"{message.removesuffix('.')}: see `{path} --help`", InputError.exit_status)


def _fail(message: str, status: int, *, code: str = "") -> None:
    line = shortened(" ".join(message.split()), LOG_CHARACTERS)
    sys.stderr.write(f"schedcp: {for_terminal(line)}\n")
    if "--json" in sys.argv[: sys.argv.index("--") if "--" in sys.argv else None]:  # what stands behind is not ours
        from control_plane.outputs import ErrorOutput

        with contextlib.suppress(SchedcpError, SystemExit):  # whoever cannot hear it is told by the status
            print_json("error", ErrorOutput(line, status, code))
            sys.stdout.flush()
    sys.exit(status)
