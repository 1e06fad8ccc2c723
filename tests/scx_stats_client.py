# SPDX-License-Identifier: Apache-2.0
"""A client of the protocol of scx_stats that reads values by their description alone, as sched-ext's own tools do."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

Gauge = tuple[str, tuple[tuple[str, str], ...]]
PLAIN = {"i64": int, "u64": int, "float": float}


class Client:
    """One connection. `gauges` is a name with labels for each number, `told` all that was said last."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self.meta = self.ask("stats_meta")
        self.told: dict[str, Any] = {}

    def ask(self, request: str, **args: str) -> Any:
        self._socket.sendall(json.dumps({"req": request, "args": args}).encode() + b"\n")
        answer = json.loads(self._lines.readline())
        assert type(answer["errno"]) is int and isinstance(answer["args"], dict)
        if answer["errno"]:
            raise OSError(answer["errno"], answer["args"]["resp"])
        return answer["args"]["resp"]

    def gauges(self) -> dict[Gauge, float]:
        (top,) = [name for name, kind in self.meta.items() if "top" in kind]
        self.told = self.ask("stats")
        found: dict[Gauge, float] = {}
        self._read(top, self.told, (), found)
        return found

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def _read(self, kind: str, value: dict[str, Any], labels: tuple, found: dict[Gauge, float]) -> None:
        meta = self.meta[kind]
        assert meta["name"] == kind and value.keys() == meta["fields"].keys()
        for name, about in meta["fields"].items():
            if (plain := about.get("datum")) is not None:
                assert type(value[name]) is PLAIN[plain], (name, plain)
                found[meta["user"]["_om_prefix"] + name, labels] = value[name]
                continue
            assert about["dict"]["key"] == "string"
            inner = about["dict"]["datum"]["struct"]
            for key, one in value[name].items():
                self._read(inner, one, (*labels, (self.meta[inner]["user"]["_om_label"], key)), found)
