# SPDX-License-Identifier: Apache-2.0
"""Work that is left when its time is up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from policy_lake.errors import InfraError

Result = TypeVar("Result")


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of the work, or TimeoutError: HTTP timeouts alone do not end a server that drips bytes.

    What a library raises there to end a thread or a process (SystemExit, a panic of compiled code) is an InfraError.
    """
    done: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, name="ask a model", daemon=True).start()  # a daemon does not hold up an exit
    try:
        result, error = done.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise TimeoutError from None
    if error is not None and not isinstance(error, Exception):
        raise InfraError(f"the call ended in {type(error).__name__}: {error!s:.200}") from error
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
