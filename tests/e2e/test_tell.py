# SPDX-License-Identifier: Apache-2.0
"""Somebody is told: automations on a real Prefect server that post to a real receiver on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker

from policy_lake.night import Night, NightChange
from policy_lake.scores import Ratio
from tasks.nights.tell import KINDS, make_automations, tell_failure, tell_night, tell_revert

PATIENCE_S = 90.0


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hearing)
        self.heard: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def until(self, subjects: set[str]) -> dict[str, str]:
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends and not subjects <= {one["subject"] for one in self.heard}:
            time.sleep(0.2)
        return {one["subject"]: one["text"] for one in self.heard}


class Hearing(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


NIGHT = Night("night-batch-1", "batch", "2026-11-28T02:30", "ljf", "s1", Ratio(1.3, (1.25, 1.35)), "win")


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("prefect_url")
def test_win_regression_failure_revert_and_silence_reach_a_receiver(receiver: Receiver) -> None:
    made = make_automations(receiver.url, silent=timedelta(seconds=10))
    assert make_automations(receiver.url, silent=timedelta(seconds=10)) == made, "made again, they are the same"
    with get_client(sync_client=True) as client:
        assert all(len(client.read_automations_by_name(name)) == 1 for name in made) and len(made) == 5
    worse = NightChange(NIGHT, NIGHT, "regression", {"kernel": ("7.3.4", "7.3.5")})
    for change in (NightChange(NIGHT, None, "win"), worse, NightChange(NIGHT, NIGHT, "same")):
        tell_night(change)
    tell_failure("wakeup", "no workload 'wakeup'")
    tell_revert("rollout-1", "the p99 of fleet-2 was beyond its limit")
    EventsWorker.drain_all(timeout=30)
    silence = "schedcp: silence"
    heard = receiver.until({silence, *(subject for _, subject in KINDS.values())})
    assert "batch: ljf 1.30x" in heard["schedcp: a win"] and "kernel 7.3.4 -> 7.3.5" in heard["schedcp: a regression"]
    assert "wakeup" in heard["schedcp: a night failed"] and "rollout-1" in heard["schedcp: a policy was taken back"]
    assert heard[silence].startswith("no night has ended for")
    assert [one["subject"] for one in receiver.heard].count("schedcp: a win") == 1, "what is the same is no news"
