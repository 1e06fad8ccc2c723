# SPDX-License-Identifier: Apache-2.0
"""The socket protocol of scx_stats, so that scxtop and scxstats_to_openmetrics.py read our policies, too.

A line of JSON each: `{"req":"stats","args":{"target":"top"}}` or `{"req":"stats_meta"}`, answered by
`{"errno":0,"args":{"resp":…}}`. By default it lies at /var/run/scx/root/stats, where these tools look.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from host_agent.serve import make_room
from policy_lake.errors import InputError
from policy_lake.strict_json import strict_object

LONGEST, TIMEOUT_S, MOST_CLIENTS = 4096, 30.0, 8
EINVAL = 22
FIELDS = {
    "attached_s": ("float", "seconds since the policy was attached"),
    "enable_seq": ("u64", "the kernel's number of this enabling"),
    "attaches": ("u64", "attachments since the agent started"),
    "reverts": ("u64", "policies taken off since then"),
    "run_delay_s": ("float", "seconds that tasks have waited for a CPU since boot"),
    "turns": ("u64", "turns on a CPU since boot"),
    "switches": ("u64", "context switches since boot"),
    "events": ("u64", "sum of the kernel's event counters of sched_ext"),
}
# The policy's own counters are a dictionary of structures, since scxstats_to_openmetrics.py takes none of plain numbers
# and makes of `{"nr_x":{"counter":3}}` its gauge schedcp_policy_counter with that name in a label.
COUNTERS, COUNTER = "counters", "counter"
META = {
    "SchedcpStats": {
        "desc": "SchedCP host agent", "name": "SchedcpStats", "top": "true",
        "user": {"_om_prefix": "schedcp_"},
        "fields": {
            **{name: {"desc": text, "datum": kind} for name, (kind, text) in FIELDS.items()},
            COUNTERS: {
                "desc": "what the attached policy counts itself, in its variables nr_",
                "dict": {"key": "string", "datum": {"struct": "SchedcpCounter"}},
            },
        },
    },
    "SchedcpCounter": {
        "desc": "one of the policy's own counters", "name": "SchedcpCounter",
        "user": {"_om_prefix": "schedcp_policy_", "_om_label": "counter"},
        "fields": {COUNTER: {"desc": "the variable's value", "datum": "u64"}},
    },
}  # fmt: skip


class StatsSocket:
    """Serves what `read` says: a number for each of FIELDS (0 where it has none), and the policy's own `counters`."""

    def __init__(self, path: Path, read: Callable[[], Mapping[str, Any]]) -> None:
        self._path, self._read = path, read
        self._server: asyncio.Server | None = None
        self._clients = 0

    async def start(self) -> None:
        """Listens; InputError where it cannot, or another scheduler's statistics are served there."""
        make_room(self._path)
        before = os.umask(0o117)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LONGEST)
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None
        finally:
            os.umask(before)

    async def close(self) -> None:
        """No more clients."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    def answer(self, line: bytes) -> dict[str, Any]:
        """What one line gets."""
        try:
            data = strict_object(line, most=LONGEST)
            args = data.get("args", {})
            target = args.get("target", "top") if isinstance(args, dict) else None
        except ValueError:
            return {"errno": EINVAL, "args": {"resp": "not a request"}}
        if data.get("req") == "stats_meta":
            return {"errno": 0, "args": {"resp": META}}
        if data.get("req") != "stats" or target not in ("top", "all"):
            return {"errno": EINVAL, "args": {"resp": "unknown request"}}
        found = self._read()
        values = {name: float(found.get(name, 0)) if kind == "float" else int(found.get(name, 0))
                  for name, (kind, _) in FIELDS.items()}  # fmt: skip
        counters = {name: {COUNTER: count} for name, count in found.get(COUNTERS, {}).items()}
        return {"errno": 0, "args": {"resp": {**values, COUNTERS: counters}}}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            while self._clients <= MOST_CLIENTS and (line := await asyncio.wait_for(reader.readline(), TIMEOUT_S)):
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), TIMEOUT_S)
        except (OSError, TimeoutError, ValueError):
            pass
        finally:
            self._clients -= 1
            writer.close()


def figures(status: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    """FIELDS and counters from the agent's status and the watcher's latest sample."""
    counts = status["counts"]
    return {
        **{name: sample[name] for name in ("run_delay_s", "turns", "switches") if name in sample},
        "attached_s": status["attached_s"], "enable_seq": status["scx"]["enable_seq"], "attaches": counts["attaches"],
        "reverts": sum(counts["reverts"].values()), "events": sum(sample.get("events", {}).values()),
        COUNTERS: dict(sample.get("counters", {})),
    }  # fmt: skip
