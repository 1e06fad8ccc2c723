# SPDX-License-Identifier: Apache-2.0
"""Ray 2.60 as we want it: joined, or started for one host alone without what that has no use for; and killed."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policy_lake.secrets import secret_names
from tasks.fleet.children import reap, start_plainly
from tasks.fleet.fan_out import MICROVM
from tasks.fleet.reach import check_ray

SIGACTION_BYTES = 512  # struct sigaction has 152 on x86-64
DIES = ("setpriv", "--pdeathsig", "KILL")
# Else the driver's registration waits for the first workers, with the GIL held: for ever, when one of them dies.
NO_WORKERS_YET = {"enable_worker_prestart": False, "prestart_worker_first_driver": False}
OBJECT_STORE_BYTES = 100 * 2**20  # Ray's floor is 75 MiB, its default 30 % of memory; ours carries small records


def join(address: str) -> None:
    """Connect this process to the cluster at HOST:PORT; InfraError when there is none."""
    check_ray(address)
    import ray

    _keep_quiet()
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def start(slots: int, scratch: Path) -> None:
    """Start a cluster of so many guest slots on the loopback interface, with its files in `scratch`."""
    import ray

    _keep_quiet()
    _trim()
    _keep_secrets()
    start_plainly()
    ray.init(
        address="local", num_cpus=slots, resources={MICROVM: slots}, _temp_dir=str(scratch),
        object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False, log_to_driver=False,
        logging_level=logging.ERROR, _system_config=NO_WORKERS_YET,
    )  # fmt: skip


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Put SIGTERM's handler back: Ray 2.60 replaces it, below Python, by one that dumps stacks and aborts."""
    libc, before = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(SIGACTION_BYTES)
    libc.sigaction(signal.SIGTERM, None, before)
    try:
        yield
    finally:
        libc.sigaction(signal.SIGTERM, before, None)


def _keep_quiet() -> None:
    from ray._private import worker

    # Ray 2.60 prints each retry of a task on this process's stdout, log_to_driver or not, and stdout may carry JSON.
    worker._worker_logs_enabled = False


def warm_workers(warm: Callable[[], None], slots: int) -> list[Any]:
    """Have it called in each worker; keep what this returns until it is done."""
    import ray

    task = ray.remote(warm).options(name="warm", num_cpus=0, resources={MICROVM: 1})
    return [task.remote() for _ in range(slots)]


def _trim() -> None:
    """Start nothing that a cluster of one host has no use for: 4 s of CPU time at each start, with Ray 2.60.

    The two agents stay: in its minimal form they outlive a cluster that was killed. While they start (seconds, or on
    a busy host a minute) they do so in any form, unless the kernel sees to it.
    """
    from ray._private import services
    from ray._private.node import Node

    plain = services._build_python_executable_command_memory_profileable

    def dies_with_its_parent(*given: Any, **named: Any) -> list[str]:
        command = list(plain(*given, **named))
        return command if command[0] == DIES[0] else [*DIES, *command]

    services._build_python_executable_command_memory_profileable = dies_with_its_parent

    def nothing(node: Any, **_: Any) -> None:
        """No autoscaler where nothing can be added, no log monitor as `log_to_driver` is off, no dashboard."""

    def no_api_server(node: Any, **_: Any) -> None:
        node._webui_url = ""

    Node.start_monitor = Node.start_log_monitor = nothing
    Node.start_api_server = no_api_server


def _keep_secrets() -> None:
    """Start Ray's processes, and so its workers, without our keys: they get this process's environment (Ray 2.60)."""
    from ray._private import services

    start = services.start_ray_process
    if getattr(start, "keeps_secrets", False):
        return

    def started(*args: Any, env_updates: dict[str, str] | None = None, **more: Any) -> Any:
        blank = dict.fromkeys(secret_names(), "")  # as good as unset, which it cannot do
        return start(*args, env_updates={**(env_updates or {}), **blank}, **more)

    started.keeps_secrets = True  # type: ignore[attr-defined]
    services.start_ray_process = started


def kill_processes(scratch: Path) -> None:
    """Kill what a cluster runs in this directory, whose name is no other's, and reap it; workers die with it."""
    killed = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(scratch) in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
                killed.add(int(path.parent.name))
    reap(killed)
