# SPDX-License-Identifier: Apache-2.0
"""The probe's handling without a kernel: what loaders are told, what is counted when, containers by their engine."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import docker.errors
import pytest

from policy_lake.errors import InfraError, InputError
from tasks.observing import bcc_probe, core_probe, cost, kernel_maps, layout, probe
from tasks.observing.containers import process_of_container
from tasks.observing.kernel_maps import RunTime
from tasks.observing.scope import Scope

HERE = Scope("pid", str(os.getpid()), "this test", (os.getpid(),))


class FakeProbe:
    """Two programs; what they took is given before each look."""

    backend = "core"

    def __init__(self) -> None:
        self.done: list[str] = []

    def map_fd(self, name: str) -> int:
        return ("options", "tasks", "counts", "shared", "cpus", "pairs").index(name) + 100

    def program_fds(self) -> list[int]:
        return [1, 2]

    def attach(self, clock_cpu: int) -> None:
        self.done.append(f"attach {clock_cpu}")

    def detach(self) -> None:
        self.done.append("detach")

    def close(self) -> None:
        self.done.append("close")


class Kernel:
    """Maps and clocks that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spent_ns, self.runs, self.left_out, self.now = 0, 0, 0, 100.0
        self.written: dict[int, dict[bytes, bytes]] = {}
        self.counts = bytearray(layout.COUNTS_BYTES)
        self.table = b""
        self.memory = bytearray(4096)
        monkeypatch.setattr(probe.mmap, "mmap", lambda fd, size: self.memory)
        monkeypatch.setattr(probe.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(probe.time, "monotonic_ns", lambda: int(self.now * 1e9))
        monkeypatch.setattr(probe.os, "cpu_count", lambda: 2)
        self.counting = 0
        monkeypatch.setattr(cost, "stats_counted", self.stats_counted)
        for name in ("update", "lookup", "array", "pairs_of", "run_time", "possible_cpus"):
            monkeypatch.setattr(kernel_maps, name, getattr(self, name))

    @contextlib.contextmanager
    def stats_counted(self) -> Iterator[None]:
        self.counting += 1
        yield
        self.counting -= 1

    def update(self, fd: int, key: bytes, value: bytes) -> None:
        self.written.setdefault(fd, {})[key] = value

    def lookup(self, fd: int, key: bytes, size: int) -> bytes:
        return bytes(self.counts)

    def array(self, fd: int, entries: int, size: int) -> bytes:
        return self.table

    def pairs_of(self, *_: int) -> list[tuple[bytes, bytes]]:
        return []

    def run_time(self, fd: int) -> RunTime:
        return RunTime(self.spent_ns, self.runs, self.left_out) if fd == 1 else RunTime(0, 0, 0)

    def possible_cpus(self) -> int:
        return 1


def test_a_probe_counts_from_when_all_is_attached_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, fake = Kernel(monkeypatch), FakeProbe()
    seen = probe.Watched(fake, HERE, most_share=0.01)
    assert fake.done == [f"attach {min(os.sched_getaffinity(0))}"]
    assert layout.OPTIONS.unpack_from(kernel.memory) == (0, 0, 100 * 10**9)
    own = kernel.written[101][(os.getpid() % layout.TASKS).to_bytes(4, "little")]
    assert [task.pid for task in layout.read_tasks(own)] == [os.getpid()]
    kernel.now, kernel.spent_ns, kernel.runs, kernel.left_out = 110.0, 10**8, 1000, 3
    seen.end()
    assert layout.OPTIONS.unpack_from(kernel.memory) == (0, 0, 0) and fake.done[1:] == ["detach"]
    kernel.now, kernel.spent_ns = 200.0, 10**10  # what comes later is of nobody's concern
    kernel.counts[0:8] = (500).to_bytes(8, "little")
    found = seen.histograms()
    assert (found.seconds, found.switches, found.lost_events) == (10.0, 500, 3)
    assert (found.cost.events, found.cost.ns_per_event, found.cost.taken_off) == (1000, 1e5, False)
    assert round(found.cost.cpu_share, 9) == 0.005
    assert fake.done[1:] == ["detach"]


def test_a_turn_that_goes_on_counts_once_a_cpu_and_the_last_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    seen = probe.Watched(FakeProbe(), HERE, most_share=0.01)
    kernel.now = 104.0

    def running(pid: int, cpu: int, since_s: float) -> bytes:
        entry = bytearray(layout.seed(pid, b"x", runs=True, now_ns=int(since_s * 1e9)))
        entry[4:8] = (cpu + 1).to_bytes(4, "little")
        return bytes(entry)

    kernel.table = running(7, 0, 101.0) + running(8, 0, 103.0) + running(9, 1, 102.5)
    assert seen.histograms().run_s == pytest.approx(1.0 + 1.5)


@pytest.mark.parametrize(("spent_ms", "off"), [(19, False), (21, True)])
def test_it_comes_off_beyond_its_share_of_all_cpus_over_a_second(
    spent_ms: int, off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, fake = Kernel(monkeypatch), FakeProbe()
    seen = probe.Watched(fake, HERE, most_share=0.01)
    assert not seen.costs_too_much()
    kernel.now, kernel.spent_ns = 100.5, spent_ms * 10**6
    assert not seen.costs_too_much(), "half a second is too short to tell"
    kernel.now = 101.0
    assert seen.costs_too_much() is off
    assert seen.costs_too_much() is off
    assert ("detach" in fake.done) is off
    assert kernel.counting == 0
    assert seen.histograms().cost.taken_off is off


def test_cost_is_measured_now_and_then_and_what_was_not_measured_is_in_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    seen = probe.Watched(FakeProbe(), HERE, most_share=0.01)
    counting = []
    for tenth in range(1, 70):
        kernel.now, kernel.spent_ns, kernel.runs = 100.05 + tenth / 10, tenth * 10**6, tenth * 10
        assert not seen.costs_too_much()
        counting.append(kernel.counting)
    assert counting[:2] == [1, 1] and 7 <= sum(counting) <= 12
    kernel.left_out = 4
    found = seen.histograms()
    assert found.cost.seconds == pytest.approx(1.0, abs=0.3) and found.cost.ns_per_event == 1e5
    assert found.cost.cpu_share == pytest.approx(0.005, rel=0.2)
    assert found.lost_events == 4 and kernel.counting == 0


def test_which_loader_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "BccProbe", lambda: "bcc")
    monkeypatch.setattr(probe, "CoreProbe", lambda cache: "core")
    monkeypatch.setattr(probe, "BTF", tmp_path / "none")
    assert probe._load(None, tmp_path) == "bcc" and probe.by_bcc(None)
    with pytest.raises(InfraError, match="has no BTF"):
        probe._load("core", tmp_path)
    monkeypatch.setattr(probe, "BTF", tmp_path)
    assert (probe._load(None, tmp_path), probe._load("bcc", tmp_path)) == ("core", "bcc")

    def refuse(cache: Path) -> None:
        raise InfraError("no clang")

    monkeypatch.setattr(probe, "CoreProbe", refuse)
    assert probe._load(None, tmp_path) == "bcc"
    with pytest.raises(InfraError, match="no clang"):
        probe._load("core", tmp_path)

    def refuse_too() -> None:
        raise InfraError("no bcc")

    monkeypatch.setattr(probe, "BccProbe", refuse_too)
    with pytest.raises(InfraError, match="no clang"):  # what mends it first
        probe._load(None, tmp_path)


class FakeBcc:
    """What of BCC is used, and what it was told."""

    class PerfType:
        SOFTWARE = 1

    class PerfSWConfig:
        CPU_CLOCK = 0

    def __init__(self) -> None:
        self.funcs = {"each_ms": SimpleNamespace(fd=7)}
        self.tracepoint_fds = {b"sched:sched_switch": 3}
        self.headers: dict[str, str] = {}
        self.calls: list[Any] = []

    def BPF(self, *, text: str, cflags: list[str]) -> Any:
        root = Path(os.environ["BCC_KERNEL_SOURCE"]) / "include"
        self.headers = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.h")}
        self.text, self.cflags = text, cflags
        return self

    def __getitem__(self, name: bytes) -> Any:
        assert name == b"tasks"
        return SimpleNamespace(map_fd=9)

    def attach_perf_event(self, **told: Any) -> None:
        self.calls.append(("clock", told["fn_name"], told["sample_period"], told["cpu"]))

    def detach_perf_event(self, **told: Any) -> None:
        self.calls.append("no clock")

    def detach_tracepoint(self, name: bytes) -> None:
        self.calls.append(name)

    def cleanup(self) -> None:
        self.calls.append("cleanup")


def test_bcc_needs_no_headers_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeBcc()
    monkeypatch.setattr(bcc_probe, "_package", lambda: fake)
    monkeypatch.setattr(bcc_probe.platform, "release", lambda: "6.18.300-fc")
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    one = bcc_probe.BccProbe()
    assert "BCC_KERNEL_SOURCE" not in os.environ
    assert f"LINUX_VERSION_CODE {(6 << 16) + (18 << 8) + 255}\n" in fake.headers["linux/version.h"]
    assert set(fake.headers) >= {"linux/types.h", "linux/kconfig.h", "uapi/linux/bpf.h", "asm/page.h"}
    assert fake.cflags[0] == "-DSCHEDCP_BCC"
    one.attach(1)
    assert (one.map_fd("tasks"), one.program_fds()) == (9, [7])
    one.close()
    one.detach()
    assert fake.calls == [("clock", b"each_ms", 1_000_000, 1), "no clock", b"sched:sched_switch", "cleanup"]


def test_what_bcc_refuses_is_one_line_and_its_absence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_: object) -> None:
        raise Exception("Failed to compile BPF module <text>")

    monkeypatch.setattr(bcc_probe, "_package", lambda: SimpleNamespace(BPF=refuse))
    with pytest.raises(InfraError, match="BCC does not take the probe: Failed to compile"):
        bcc_probe.BccProbe()
    monkeypatch.undo()

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(bcc_probe.importlib, "import_module", missing)
    monkeypatch.setattr(bcc_probe, "PACKAGES", tmp_path)
    with pytest.raises(InfraError, match="apt-get install python3-bpfcc"):
        bcc_probe.BccProbe()


class FakeLib:
    """What of libbpf is used; `status` is what loading comes to."""

    def __init__(self, status: int) -> None:
        self.status, self.calls = status, list[str]()

    def __getattr__(self, name: str) -> Any:
        answers = {"bpf_object__open_mem": 5, "bpf_object__load": self.status, "bpf_object__next_program": None}

        def called(*_: object) -> int | None:
            self.calls.append(name)
            return answers.get(name, 0)

        return called


def test_an_object_that_the_kernel_refuses_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lib = FakeLib(-1)
    monkeypatch.setattr(core_probe, "_libbpf", lambda: lib)
    monkeypatch.setattr(core_probe, "compile_policy", lambda *_, **__: SimpleNamespace(data=b"elf"))
    with pytest.raises(PermissionError, match="the probe is not loaded"):
        core_probe.CoreProbe(tmp_path)
    assert lib.calls[-1] == "bpf_object__close"
    lib.status = 0
    core_probe.CoreProbe(tmp_path).close()
    assert lib.calls[-1] == "bpf_object__close"


def test_what_a_program_took_is_read_and_a_kernel_that_does_not_say_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = iter(
        ["run_time_ns:\t7\nrun_cnt:\t3\nrecursion_misses:\t2\n", "run_time_ns:\t7\nrun_cnt:\t3\n", "pos:\t0\n"]
    )
    monkeypatch.setattr(kernel_maps.Path, "read_text", lambda self: next(texts))
    assert kernel_maps.run_time(3) == RunTime(7, 3, 2)
    assert kernel_maps.run_time(3) == RunTime(7, 3, 0)
    with pytest.raises(InfraError, match="does not say what a BPF program takes"):
        kernel_maps.run_time(3)


@pytest.mark.parametrize(("text", "cpus"), [("0-3\n", 4), ("0\n", 1), ("0-1,8-11\n", 12)])
def test_possible_cpus_are_up_to_the_last(text: str, cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_maps.Path, "read_text", lambda self: text)
    assert kernel_maps.possible_cpus() == cpus


def test_maps_are_asked_for_in_the_kernels_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def bpf(command: int, attributes: Any) -> int:
        asked.append(command)
        if command == 24:  # a batch: all that was asked for, in two goes
            at = attributes.values
            ctypes.memmove(at, bytes(range(8)) * attributes.count, 8 * attributes.count)
        return 0

    monkeypatch.setattr(kernel_maps, "_bpf", bpf)
    assert kernel_maps.array(3, 5000, 8) == bytes(range(8)) * 5000
    kernel_maps.update(3, bytes(4), b"x")
    kernel_maps.lookup(3, bytes(4), 8)
    assert asked == [24, 24, 2, 1]


class FakeEngine:
    """An engine that answers so, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.api, self._answer, self.closed = self, answer, False

    def inspect_container(self, name: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"State": self._answer}

    def close(self) -> None:
        self.closed = True


def test_a_container_by_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine({"Pid": 77, "Status": "running"})
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    assert process_of_container("web") == (77, "") and engine.closed
    for answer, words in (
        ({"Pid": 0, "Status": "exited"}, "--container web: does not run .exited."),
        (docker.errors.NotFound("no"), "--container web: the Docker engine knows no such container"),
    ):
        monkeypatch.setattr(docker, "from_env", lambda answer=answer, **_: FakeEngine(answer))
        with pytest.raises(InputError, match=words):
            process_of_container("web")


def test_without_an_engine_it_is_said_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise docker.errors.DockerException("no socket\nmore")

    monkeypatch.setattr(docker, "from_env", refuse)
    assert process_of_container("web") == (0, "no Docker engine answers (no socket)")
    monkeypatch.setattr(docker, "from_env", lambda **_: FakeEngine(docker.errors.APIError("denied")))
    assert process_of_container("web") == (0, "the Docker engine refuses (denied)")


def test_each_cpu_is_visited_once_and_where_a_thread_may_run_is_as_before(monkeypatch):
    allowed, visited = os.sched_getaffinity(0), []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: visited.append((pid, set(cpus))))
    probe.visit_cpus()
    assert visited == [*((0, {cpu}) for cpu in allowed), (0, allowed)]
