# SPDX-License-Identifier: Apache-2.0
"""What a policy is judged by: /proc by its versions, the two invariants, metrics of the workload, and how they show."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_cases import FakeHost, Running, run

from host_agent import probe as probe_module
from host_agent import sources
from host_agent.config import Config, Source
from host_agent.feedback import Feedback
from host_agent.kernel import Kernel, Scx
from host_agent.openmetrics import MetricsServer, exposition
from host_agent.probe import Probe
from host_agent.sources import read_source
from host_agent.stats_socket import COUNTERS, FIELDS, StatsSocket, figures
from host_agent.told import status
from policy_lake import proc
from policy_lake.errors import InfraError, InputError
from policy_lake.proc import CpuTimes

PSI = "some avg10=12.50 avg60=1.00 avg300=0.10 total=2500000\nfull avg10=3.25 avg60=0 avg300=0 total=1000000\n"
CPUS = "cpu  1 2 3 400 5 6 7 0 0 0\ncpu0 1 2 3 100 5 6 7 0 0 0\ncpu1 1 2 3 300 0 6 7 0 0 0\n"
STAT = CPUS + "intr 5 1\nctxt 77\nprocs_running 3\n"


def procfs(root: Path, version: str = "17") -> Path:
    (root / "pressure").mkdir(parents=True)
    for what in ("cpu", "memory", "io"):
        (root / "pressure" / what).write_text(PSI)
    lines = [f"version {version}", "timestamp 4295", "cpu0 0 0 0 0 0 0 5 2000000000 10", "domain0 MC 03 1 2 3",
             "cpu1 0 0 0 0 0 0 5 500000000 5"]  # fmt: skip
    (root / "schedstat").write_text("\n".join(lines) + "\n")
    (root / "stat").write_text(STAT)
    return root


def test_pressure_delay_switches_and_idle_time(tmp_path: Path) -> None:
    root = procfs(tmp_path / "proc")
    assert proc.pressure(root, "memory") == {
        "some_avg10": 12.5, "some_total_s": 2.5, "full_avg10": 3.25, "full_total_s": 1.0
    }  # fmt: skip
    assert proc.run_delay(root) == proc.RunDelay(2.5, 15)
    assert proc.cpu_times(root) == CpuTimes({"cpu0": 1.05, "cpu1": 3.0}, 3, 77)


@pytest.mark.parametrize("version", ["14", "18", "", "x", "1 7"])
def test_a_schedstat_of_an_unknown_version_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(InfraError, match="is none of those known"):
        proc.run_delay(procfs(tmp_path / "proc", version))


def test_a_schedstat_with_other_columns_or_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "schedstat").write_text("version 15\ncpu0 1 2 3\n")
    with pytest.raises(InfraError, match="3 numbers"):
        proc.run_delay(tmp_path)
    (tmp_path / "schedstat").unlink()
    with pytest.raises(InfraError, match="cannot be read"):
        proc.run_delay(tmp_path)


@pytest.mark.parametrize("text", ["", "full avg10=1 total=2\n", "some avg10=x total=1\n"])
def test_a_pressure_that_does_not_say_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/cpu").write_text(text)
    with pytest.raises(InfraError):
        proc.pressure(tmp_path, "cpu")


class Tasks:
    """Tasks below a directory that looks like /proc: state, CPU time in ns, allowed CPUs."""

    def __init__(self, root: Path, monkeypatch: Any) -> None:
        self.root, self.allowed = root, dict[int, set[int]]()
        monkeypatch.setattr(os, "sched_getaffinity", lambda task: self.allowed[task])

    def put(self, task: int, state: str, ran_ns: int, cpus: set[int]) -> None:
        (self.root / str(task) / "task" / str(task)).mkdir(parents=True, exist_ok=True)
        (self.root / str(task) / "stat").write_text(f"{task} (a ) R) {state} 1 1\n")
        (self.root / str(task) / "schedstat").write_text(f"{ran_ns} 0 0\n")
        self.allowed[task] = cpus


def times(at: float, idle: tuple[float, float], running: int) -> CpuTimes:
    return CpuTimes({"cpu0": at * idle[0], "cpu1": at * idle[1]}, running, 0)


def look_all(probe: Probe, tasks: Tasks, idle: tuple[float, float], running: int, ran: Callable[[int], int]) -> Any:
    """Looks each second for 5; task 11 has run as `ran` says. What came last."""
    found = (0.0, 0.0)
    for second in range(6):
        tasks.put(11, "R", ran(second), tasks.allowed.get(11, {0, 1}))
        found = probe.look(times(float(second), idle, running), float(second))
    return found


def test_a_task_that_waits_and_one_that_runs(tmp_path: Path, monkeypatch: Any) -> None:
    tasks = Tasks(tmp_path, monkeypatch)
    assert look_all(Probe(tmp_path), tasks, (0, 0), 4, lambda _s: 0)[0] == pytest.approx(4, abs=1)
    assert look_all(Probe(tmp_path), tasks, (0, 0), 4, lambda s: s) == (0.0, 0.0)
    tasks.put(12, "S", 0, {0, 1})
    assert look_all(Probe(tmp_path), tasks, (0, 0), 4, lambda s: s) == (0.0, 0.0)


def test_a_cpu_that_idles_beside_a_waiting_task_that_may_run_there(tmp_path: Path, monkeypatch: Any) -> None:
    tasks = Tasks(tmp_path, monkeypatch)
    assert look_all(Probe(tmp_path), tasks, (0, 1), 4, lambda _s: 0)[1] >= 3
    tasks.allowed[11] = {0}  # bound to the busy one
    assert look_all(Probe(tmp_path), tasks, (0, 1), 4, lambda _s: 0)[1] == 0
    tasks.allowed[11] = {0, 1}
    assert look_all(Probe(tmp_path), tasks, (0, 0.2), 4, lambda _s: 0)[1] == 0  # it idles little
    assert look_all(Probe(tmp_path), tasks, (0, 1), 1, lambda _s: 0) == (0.0, 0.0)  # nobody waits


def test_no_more_tasks_are_looked_at_than_the_limit(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(probe_module, "MOST_TASKS", 3)
    tasks = Tasks(tmp_path, monkeypatch)
    for task in range(20, 30):
        tasks.put(task, "R", 0, {0, 1})
    assert len(Probe(tmp_path)._tasks()) == 3


def read(kind: str, *at: str, name: str = "p99_s") -> float:
    return asyncio.run(read_source(Source(name, kind, at)))


def test_a_metric_from_a_command_a_file_and_an_endpoint(tmp_path: Path) -> None:
    assert read("command", "/bin/sh", "-c", "echo p99 0.25") == 0.25
    (tmp_path / "m").write_text("1.5\n")
    assert read("file", str(tmp_path / "m")) == 1.5

    page = 'HTTP/1.1 200 OK\r\n\r\n# HELP p99_s x\np99_s{q="0.99"} 0.5\np99_s{q="1"} 0.75 1234\nother 9\n'

    async def served(body: str) -> float:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(body.encode())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await read_source(Source("p99_s", "prometheus", (f"http://127.0.0.1:{port}/metrics",)))
        finally:
            server.close()

    assert asyncio.run(served(page)) == 0.75
    for body in (
        "HTTP/1.1 500 no\r\n\r\np99_s 1\n",
        "HTTP/1.1 200 OK\r\n\r\nother 1\n",
        "junk",
        page.replace("0.5", "NaN"),
    ):
        with pytest.raises(InfraError, match="p99_s"):
            asyncio.run(served(body))


@pytest.mark.parametrize(
    ("kind", "at"),
    [("command", ("/bin/false",)), ("command", ("/no/such",)), ("command", ("/bin/echo", "nan")),
     ("command", ("/bin/echo", "fast")), ("command", ("/bin/true",)), ("command", ("/bin/sleep", "30")),
     ("command", ("/bin/sh", "-c", "exec cat /dev/zero")), ("file", ("/no/such",)), ("file", ("/dev/zero",)),
     ("prometheus", ("http://127.0.0.1:1/m",)), ("prometheus", ("http://example.org/m",)),
     ("prometheus", ("https://127.0.0.1/m",)), ("prometheus", ("http://127.0.0.1/a b",))],
)  # fmt: skip
def test_a_source_that_is_silent_slow_endless_or_elsewhere_is_silence(
    kind: str, at: tuple[str, ...], monkeypatch: Any
) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_S", 0.5)
    with pytest.raises(InfraError):
        read(kind, *at)


def config(tmp_path: Path, *given: Source) -> Config:
    return replace(Config(), proc=procfs(tmp_path / "proc"), sys=tmp_path, sources=given)


def test_a_sample_has_it_all_and_says_what_was_silent(tmp_path: Path) -> None:
    good, bad = Source("good", "command", ("/bin/echo", "2")), Source("bad", "file", ("/no/such",), 1.0, True)
    sample = asyncio.run(Feedback(config(tmp_path, good, bad)).sample())
    assert sample.metrics == {"good": 2.0} and not sample.complete and sample.memory_percent == 3.25
    assert sample.data["run_delay_s"] == 2.5 and "bad" in sample.data["silent"][0] and sample.data["switches"] == 77
    json.dumps(sample.data, allow_nan=False)
    assert [type(event).__name__ for event in sample.events({})] == ["Memory", "TaskWaits", "IdleCpu"]


def test_a_host_without_schedstat_is_judged_by_the_rest(tmp_path: Path) -> None:
    here = config(tmp_path)
    (here.proc / "schedstat").unlink()
    sample = asyncio.run(Feedback(here).sample())
    assert sample.complete and "run_delay_s" not in sample.data and "cannot be read" in sample.data["run_delay_unknown"]
    (here.proc / "stat").unlink()
    assert not asyncio.run(Feedback(here).sample()).complete


def test_a_critical_source_beyond_its_limit_trips_a_running_policy(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    (tmp_path / "p99").write_text("0.1\n")
    source = Source("p99_s", "file", (str(tmp_path / "p99"),), limit=0.2, critical=True)

    async def test(here: Running) -> None:
        here.watcher._sampler = Feedback(here.agent.config, here.agent.kernel).sample
        await here.attach()
        await asyncio.sleep(0.6)
        assert here.agent.on is not None
        (tmp_path / "p99").write_text("0.3\n")
        await here.until(lambda: bool(host.told("detached")))

    run(host, test, sources=(source,), proc=procfs(tmp_path / "proc"))
    assert host.told("detached")[0]["why"] == "metric" and "p99_s is 0.3" in host.told("detached")[0]["reason"]


def test_the_kernels_files_are_read_as_they_are(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    kernel = Kernel(host.sys, Path("/proc"), "7.3")
    assert kernel.scx() == Scx("disabled", "", 4) and not kernel.scx().on
    host.scx("enabled", "ljf", seq=5)
    (host.sys / "kernel/sched_ext/root/events").write_text("SCX_EV_A 3\nSCX_EV_B x\nSCX_EV_C\n")
    assert kernel.steady_scx() == Scx("enabled", "ljf", 5) and kernel.scx().enabled
    assert kernel.events() == {"SCX_EV_A": 3}
    assert Kernel(tmp_path / "none").scx() == Scx() and not Kernel(tmp_path / "none").scx().on
    with pytest.raises(InfraError, match="tells of no types"):
        (host.sys / "kernel/btf/vmlinux").unlink()
        kernel.host()
    assert Kernel().start_time(os.getpid()) > 0 == Kernel().start_time(1 << 30)


HOSTILE = {
    "nr_a": 3,
    "nr_b": True,
    "nr_c": -1,
    "nr_d": 1 << 64,
    "nr_e": "1",
    "x": 1,
    'nr_f"} 1\n': 1,
    "nr_" + "g" * 60: 1,
}


def test_a_policy_s_own_counters_are_in_samples_and_metrics_and_no_word_that_it_made_up(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    (host.sys / "counters").write_text(json.dumps({**HOSTILE, "nr_z": (1 << 64) - 1}))

    async def test(here: Running) -> None:
        await here.until(lambda: bool(here.desk.samples))
        assert here.desk.samples[-1]["counters"] == {}
        await here.attach()
        await here.until(lambda: bool(here.desk.samples[-1]["counters"]))
        assert here.desk.samples[-1]["counters"] == {"nr_a": 3, "nr_z": (1 << 64) - 1}
        page = exposition(here.agent, here.desk.samples[-1])
        assert 'schedcp_policy_counter_total{counter="nr_a"} 3\n' in page and page.count("policy_counter_total") == 2
        (host.sys / "counters").write_text(json.dumps({f"nr_{number:02}": number for number in range(100)}))
        await here.until(lambda: len(here.desk.samples[-1]["counters"]) == 32)
        (host.sys / "counters").write_text("[1]")
        await here.until(lambda: here.desk.samples[-1]["counters"] == {})
        await here.ask("detach")
        seq = here.desk.samples[-1]["seq"]
        await here.until(lambda: here.desk.samples[-1]["seq"] > seq + 1)
        assert here.desk.samples[-1]["counters"] == {}

    run(host, test)


def test_openmetrics_on_loopback_and_the_scx_stats_protocol(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)

    async def test(here: Running) -> None:
        sample = {"run_delay_s": 2.5, "turns": 15, "switches": 3, "events": {"SCX_EV_A": 3}, "metrics": {"p99_s": 0.25}}
        await here.attach()
        page = exposition(here.agent, sample)
        assert page.endswith("# EOF\n") and 'schedcp_policy_info{digest="' in page and 'stage="canary"} 1\n' in page
        assert (
            'schedcp_status{schedcp_status="running"} 1\n' in page and "schedcp_run_delay_seconds_total 2.5\n" in page
        )
        assert 'schedcp_scx_events_total{event="SCX_EV_A"} 3\n' in page
        (seen,) = re.findall(r"^schedcp_control_seen_timestamp_seconds (\S+)$", page, re.MULTILINE)
        assert 0 <= time.time() - float(seen) < 60
        await here.ask("detach")
        page = exposition(here.agent, {})
        assert 'schedcp_reverts_total{reason="asked"} 1\n' in page and "schedcp_attach_gap_seconds_sum 0.005\n" in page
        assert 'schedcp_revert_seconds_bucket{le="+Inf"} 1\n' in page and "policy_info" not in page
        for line in page.splitlines():
            assert re.fullmatch(
                r'# (TYPE|HELP|EOF).*|schedcp_[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? \S+', line
            )
        server = MetricsServer(0, lambda: exposition(here.agent, {}))
        port = await server.start()
        for path, first in (("/metrics", b"HTTP/1.1 200"), ("/etc/passwd", b"HTTP/1.1 404")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await reader.read()).startswith(first)
            writer.close()
        with pytest.raises(InputError, match="metrics_port"):
            await MetricsServer(port, str).start()
        await server.close()
        stats = StatsSocket(tmp_path / "run/stats", lambda: figures(status(here.agent), sample))
        await stats.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "run/stats")
        asked = (
            b'{"req":"stats","args":{"target":"top"}}',
            b'{"req":"stats_meta"}',
            b"junk",
            b'{"req":"stats","args":7}',
        )
        told = []
        for line in asked:
            writer.write(line + b"\n")
            told.append(json.loads(await reader.readline()))
        assert [answer["errno"] for answer in told] == [0, 0, 22, 22]
        assert told[0]["args"]["resp"]["run_delay_s"] == 2.5 and told[0]["args"]["resp"]["attaches"] == 1
        meta = told[1]["args"]["resp"]["SchedcpStats"]
        assert meta["top"] == "true" and meta["fields"].keys() == told[0]["args"]["resp"].keys() == {*FIELDS, COUNTERS}
        writer.close()
        await stats.close()

    run(host, test)
