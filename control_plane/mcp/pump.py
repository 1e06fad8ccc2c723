# SPDX-License-Identifier: Apache-2.0
"""What comes on stdin, message by message, for the SDK: bounded, and ended when we say so."""

from __future__ import annotations

import os
import threading

from control_plane.mcp.limits import MESSAGE_BYTES


class Pump:
    """What comes on stdin, message by message, handed on to the SDK by a pipe in its place.

    The SDK reads lines of any length on a thread that only the end of its input wakes. Here a line that is too long
    ends the input, and so does `close`, whatever the client does.
    """

    def __init__(self, most: int = MESSAGE_BYTES) -> None:
        self._most, self.too_long = most, False
        self._source, self._sink, self._before = -1, -1, -1
        self._lock = threading.Lock()

    def __enter__(self) -> Pump:
        self._before, self._source = os.dup(0), os.dup(0)
        reading, self._sink = os.pipe()
        os.dup2(reading, 0)
        os.close(reading)
        threading.Thread(target=self._hand_on, name="stdin", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        os.dup2(self._before, 0)
        os.close(self._before)

    def close(self) -> None:
        """The end of the input, for the SDK."""
        with self._lock:
            if self._sink >= 0:
                os.close(self._sink)
                self._sink = -1

    def _hand_on(self) -> None:
        length = 0
        while piece := os.read(self._source, 1 << 16):
            parts = piece.split(b"\n")
            self.too_long = length + len(parts[0]) > self._most or any(len(part) > self._most for part in parts[1:])
            length = len(parts[-1]) + (length if len(parts) == 1 else 0)
            if self.too_long or not self._write(piece):
                break
        self.close()

    def _write(self, piece: bytes) -> bool:
        while piece:
            sink = self._sink
            if sink < 0:
                return False
            try:
                piece = piece[os.write(sink, piece) :]
            except OSError:
                return False
        return True
