# SPDX-License-Identifier: Apache-2.0
"""Metrics in the OpenMetrics text format, on loopback alone. Prefix schedcp_, seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from host_agent.agent import Agent
from host_agent.counts import REVERT_BUCKETS
from policy_lake.errors import InputError

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
MOST_BYTES, TIMEOUT_S = 8 << 10, 5.0
Samples = Iterable[tuple[str, Mapping[str, str], float]]


def exposition(agent: Agent, sample: Mapping[str, Any]) -> str:
    """All metrics as text; `sample` is the latest of the watcher's, or empty."""
    counts, on, found = agent.counts, agent.on, agent.finding
    lines: list[str] = []

    def add(name: str, kind: str, help_: str, samples: Samples) -> None:
        lines.extend([f"# TYPE schedcp_{name} {kind}", f"# HELP schedcp_{name} {help_}"])
        lines.extend(f"schedcp_{name}{suffix}{_labels(labels)} {value:.15g}" for suffix, labels, value in samples)

    if on is not None:
        grant = on.grant
        add("policy", "info", "What is attached.", [("_info", {
            "digest": grant.wanted.object_sha256, "name": grant.token.policy, "token": grant.token.nonce,
            "kernel": grant.token.kernel, "stage": grant.wanted.stage}, 1)])  # fmt: skip
    add("status", "stateset", "Which of the five words this host is in.",
        [("", {"schedcp_status": word.value}, word is found.status) for word in type(found.status)])  # fmt: skip
    add("attaches", "counter", "Attachments.", [("_total", {}, counts.attaches)])
    add("attach_gap_seconds", "summary", "How long the kernel was between two schedulers.",
        [("_sum", {}, counts.gap_s), ("_count", {}, counts.gaps)])  # fmt: skip
    add("reverts", "counter", "Policies taken off.",
        [("_total", {"reason": why}, number) for why, number in sorted(counts.reverts.items())])  # fmt: skip
    buckets = [*zip(map(str, REVERT_BUCKETS), counts.revert_buckets, strict=True), ("+Inf", counts.reverts.total())]
    add("revert_seconds", "histogram", "From the decision to EEVDF on every CPU.",
        [*(("_bucket", {"le": le}, number) for le, number in buckets),
         ("_sum", {}, counts.revert_sum_s), ("_count", {}, counts.reverts.total())])  # fmt: skip
    add("verdicts", "counter", "What was asked for and admitted, or refused by a code.",
        [("_total", {"verdict": code}, number) for code, number in sorted(counts.verdicts.items())])  # fmt: skip
    add("unrecorded", "counter", "Entries that the disk would not take.", [("_total", {}, counts.unrecorded)])
    add("control_seen_timestamp_seconds", "gauge", "When somebody last asked this agent, since the epoch.",
        [("", {}, round(counts.control_seen, 3))])  # fmt: skip
    shut = sum(known.state in ("open", "quarantined") for known in agent.breakers.items().values())
    add("breaker_open", "gauge", "Policies whose circuit breaker is open or that are in quarantine.", [("", {}, shut)])
    if "run_delay_s" in sample:
        add(
            "run_delay_seconds", "counter", "Time that tasks waited for a CPU.", [("_total", {}, sample["run_delay_s"])]
        )
        add("turns", "counter", "Turns on a CPU.", [("_total", {}, sample["turns"])])
    add("scx_events", "counter", "The kernel's event counters of sched_ext.",
        [("_total", {"event": name}, number) for name, number in sorted(sample.get("events", {}).items())])  # fmt: skip
    own = sorted(sample.get("counters", {}).items())
    add("policy_counter", "counter", "What the attached policy counts itself, in its variables nr_….",
        [("_total", {"counter": name}, number) for name, number in own])  # fmt: skip
    add("workload", "gauge", "Metrics of the workload, as configured.",
        [("", {"metric": name}, number) for name, number in sorted(sample.get("metrics", {}).items())])  # fmt: skip
    return "\n".join([*lines, "# EOF", ""])


class MetricsServer:
    """HTTP on 127.0.0.1: one page."""

    def __init__(self, port: int, page: Callable[[], str]) -> None:
        self._port, self._page = port, page
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """The port. InputError if it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=MOST_BYTES)
        except OSError as error:
            raise InputError(f"metrics_port: {self._port}: {error.strerror}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """No more pages."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)
            asked = head.split(b"\r\n", 1)[0].split(b" ")
            ok = len(asked) == 3 and asked[0] == b"GET" and asked[1].partition(b"?")[0] == b"/metrics"
            body = self._page().encode() if ok else b"/metrics\n"
            status = "200 OK" if ok else "404 Not Found"
            kind = TYPE if ok else "text/plain"
            start = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(start.encode() + body)
            await asyncio.wait_for(writer.drain(), TIMEOUT_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            with contextlib.suppress(OSError):
                writer.close()


def _labels(labels: Mapping[str, str]) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""
