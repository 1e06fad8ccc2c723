# SPDX-License-Identifier: Apache-2.0
"""What a guest has said so far, put together from what arrives of its lines, and held to its turns."""

from __future__ import annotations

import time
from collections.abc import Callable

from policy_lake.errors import InfraError
from policy_lake.events import Done, Event, Hello, Ready, StepEvent
from verifier_vm.machine.wire import parse_event

REPORT_LIMIT = 32 << 20  # bytes
OnEvent = Callable[[Event], None]


class Said:
    """The events of one guest; `step_lines` are its own lines on its steps, `began` (monotonic) is when it started."""

    def __init__(self, began: float) -> None:
        self.ready: Ready | None = None
        self.hello: Hello | None = None
        self.steps: list[StepEvent] = []
        self.step_lines: list[str] = []
        self.done = False
        self._last_event = began
        self._partial = bytearray()
        self._received = 0

    @property
    def begun(self) -> bool:
        """Whether it has said a word."""
        return self.ready is not None or self.hello is not None

    def takes_no_more(self, data: bytes) -> bool:
        """Whether this would be more than a guest may say."""
        return self._received + len(data) > REPORT_LIMIT

    def hear(self, data: bytes, on_event: OnEvent | None) -> None:
        """Take what arrived, whole lines or not; InfraError for what is no event, or out of turn."""
        self._received += len(data)
        self._partial += data
        *lines, rest = self._partial.split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._take(bytes(line), on_event)

    def _take(self, line: bytes, on_event: OnEvent | None) -> None:
        now = time.monotonic()
        event = parse_event(line, wall_s=now - self._last_event)
        self._last_event = now
        if isinstance(event, Ready):
            if self.begun and not self.done:
                raise InfraError("event 'ready': the guest had begun before it")
            self.ready = event
            return
        if (self.hello is None) != isinstance(event, Hello) or self.done:
            raise InfraError(f"the guest sent an event out of turn: {event!r:.120}")
        if isinstance(event, Hello):
            self.hello = event
        elif isinstance(event, StepEvent):
            self.steps.append(event)
            self.step_lines.append(line.decode("ascii", "replace"))
        self.done = isinstance(event, Done)
        if on_event:
            on_event(event)
