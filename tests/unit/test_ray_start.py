# SPDX-License-Identifier: Apache-2.0
"""How we have Ray started, joined and killed, told by what it is asked; tests/e2e start and join real clusters."""

from __future__ import annotations

import ctypes
import logging
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import InfraError
from tasks.fleet import ray_start
from tasks.fleet.children import PlainPopen


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As much of Ray as we touch; `asked` is what it was started or joined with."""
    seen = SimpleNamespace(asked=[], started=[], tasks=[])

    def remote(work: Any) -> Any:
        def options(**given: Any) -> Any:
            return SimpleNamespace(remote=lambda: seen.tasks.append(given) or work)

        return SimpleNamespace(options=options)

    class Node:
        _webui_url = "unset"

        def start_monitor(self) -> None:
            pytest.fail("an autoscaler was started")

        def start_log_monitor(self) -> None:
            pytest.fail("a log monitor was started")

        def start_api_server(self, *, include_dashboard: bool = True) -> None:
            pytest.fail("a dashboard was started")

    def process(*words: Any, env_updates: dict[str, str] | None = None, **more: Any) -> Any:
        seen.started.append((words, env_updates, more))
        return "started"

    services = SimpleNamespace(
        start_ray_process=process, ConsolePopen=subprocess.Popen,
        _build_python_executable_command_memory_profileable=lambda *given, **named: [*given, *named.values()],
    )  # fmt: skip
    worker = SimpleNamespace(_worker_logs_enabled=True)
    made = {
        "ray": {"init": lambda **given: seen.asked.append(given), "remote": remote},
        "ray._private": {"services": services, "worker": worker},
        "ray._private.node": {"Node": Node},
    }
    for name, content in made.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    seen.services, seen.worker, seen.node = services, worker, Node
    return seen


def test_a_cluster_of_our_own_is_local_small_and_silent(ray: Any, tmp_path: Path) -> None:
    ray_start.start(3, tmp_path)
    (given,) = ray.asked
    assert (given["address"], given["num_cpus"], given["resources"]) == ("local", 3, {"microvm": 3})
    assert given["_temp_dir"] == str(tmp_path) and given["include_dashboard"] is False
    assert (given["log_to_driver"], given["logging_level"], ray.worker._worker_logs_enabled) == (
        False, logging.ERROR, False,
    )  # fmt: skip
    assert given["_system_config"] == {"enable_worker_prestart": False, "prestart_worker_first_driver": False}
    assert 75 * 2**20 < given["object_store_memory"] < 512 * 2**20, "above Ray's floor, far below its default"
    assert ray.services.ConsolePopen is PlainPopen
    node = ray.node()
    node.start_monitor()
    node.start_log_monitor()
    node.start_api_server(include_dashboard=False)
    assert node._webui_url == ""


def test_its_python_processes_die_with_their_parent_and_are_told_so_once(ray: Any, tmp_path: Path) -> None:
    ray_start.start(1, tmp_path)
    command = ray.services._build_python_executable_command_memory_profileable
    assert command("python", "-u", path="agent.py") == [*ray_start.DIES, "python", "-u", "agent.py"]
    ray_start.start(1, tmp_path)
    again = ray.services._build_python_executable_command_memory_profileable
    assert again("python") == [*ray_start.DIES, "python"], "a second cluster of the same process"


def test_its_processes_get_no_key(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    monkeypatch.delenv("SCHEDCP_MODEL_API_KEY", raising=False)
    ray_start.start(1, tmp_path)
    once = ray.services.start_ray_process
    ray_start.start(1, tmp_path)
    assert ray.services.start_ray_process is once
    assert once("raylet", "x", env_updates={"A": "1", "OPENAI_API_KEY": "y"}, fate_share=True) == "started"
    once("gcs")
    assert ray.started == [
        (("raylet", "x"), {"A": "1", "OPENAI_API_KEY": ""}, {"fate_share": True}),
        (("gcs",), {"OPENAI_API_KEY": ""}, {}),
    ]  # fmt: skip


def test_a_cluster_that_is_there_is_joined_and_one_that_is_not_is_not(
    ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(ray_start, "check_ray", tried.append)
    ray_start.join("host:6379")
    assert tried == ["host:6379"] and not ray.worker._worker_logs_enabled
    assert ray.asked == [{"address": "host:6379", "log_to_driver": False, "logging_level": logging.ERROR}]

    def gone(address: str) -> None:
        raise InfraError("no Ray cluster")

    monkeypatch.setattr(ray_start, "check_ray", gone)
    with pytest.raises(InfraError):
        ray_start.join("host:1")
    assert len(ray.asked) == 1


def test_each_slot_is_warmed_by_work_that_takes_the_slot_and_no_cpu(ray: Any) -> None:
    kept = ray_start.warm_workers(lambda: None, 2)
    assert len(kept) == 2
    assert ray.tasks == [{"name": "warm", "num_cpus": 0, "resources": {"microvm": 1}}] * 2


def test_the_handler_of_sigterm_is_what_it_was_below_python() -> None:
    libc = ctypes.CDLL(None)

    def action() -> bytes:
        told = ctypes.create_string_buffer(512)
        libc.sigaction(signal.SIGTERM, None, told)
        return told.raw[:8]  # the handler's address; of the mask behind it the kernel fills a part

    before = action()
    with pytest.raises(RuntimeError), ray_start.sigterm_kept():
        libc.signal(signal.SIGTERM, 1)  # SIG_IGN, which Python does not hear of
        assert action() != before
        raise RuntimeError("Ray did not start")
    assert action() == before


def test_what_runs_in_the_clusters_directory_is_killed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "schedcp-ray-1-x"
    sleeper = "print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", sleeper, f"--dir={scratch}/session"], **pipes) as child:
        assert child.stdout and child.stdin and child.stdout.readline() == b"\n"
        killed: list[tuple[int, int]] = []

        def kill(pid: int, number: int) -> None:
            killed.append((pid, number))
            raise ProcessLookupError("it ended meanwhile")

        with monkeypatch.context() as here:
            here.setattr(ray_start.os, "kill", kill)  # of a mutant, too: it must kill nobody
            ray_start.kill_processes(scratch)
        assert killed == [(child.pid, signal.SIGKILL)]
        child.stdin.write(b"\n")
        child.stdin.close()
