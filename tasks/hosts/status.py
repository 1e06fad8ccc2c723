# SPDX-License-Identifier: Apache-2.0
"""What a host is doing now, by its process, what it said on its control channel, and what its agent answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from policy_lake.show import for_terminal
from tasks.hosts import process
from tasks.hosts.host import ready_after_s
from tasks.hosts.reach import Address, UnreachableError, ask
from tasks.hosts.records import DamagedError, read_host

State = Literal["up", "booting", "silent", "stopped", "absent", "damaged"]
LONGEST_WORD = 64


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host: `up` (its agent answers), `booting`, `silent` (booted, and its agent does not answer), `stopped`,
    `absent` (never made), `damaged` (its files cannot be believed).

    `port` of this machine's loopback, 0 where none is known; `pid` of its QEMU, 0 where none runs; `boot_s` until it
    had booted, in s of its own time, and 0 before; `memory_mib` that it takes of this machine; `agent`: the agent's own
    word for what it does; `message`: why it is not up.
    """

    host: str
    state: State
    port: int = 0
    pid: int = 0
    boot_s: float = 0.0
    memory_mib: int = 0
    agent: str = ""
    message: str = ""


def host_status(directory: Path, certificates: Path) -> HostStatus:
    """The host in that directory, as it is now; nothing is raised for what is wrong with it."""
    name, running = directory.name, process.find(directory)
    here = HostStatus(name, "damaged")
    if running:
        here = replace(here, pid=running.pid, memory_mib=process.resident_mib(running))
    try:
        host = read_host(directory)
    except DamagedError as error:
        return replace(here, message=str(error))
    if host is None:
        if running:
            return replace(here, message="it runs, and its file is gone")
        return replace(here, state="absent", message="it was never made: run `schedcp fleet up` again")
    here = replace(here, port=host.port)
    if running is None:
        words = for_terminal(process.last_words(directory))
        return replace(here, state="stopped", message=f"its QEMU has ended: {words}")
    boot_s = ready_after_s(directory)
    if boot_s is None:
        return replace(here, state="booting", message="it has not booted yet")
    return _asked(replace(here, boot_s=boot_s), Address(name, host.port, certificates))


def _asked(here: HostStatus, address: Address) -> HostStatus:
    try:
        answer = ask(address, "status")
    except UnreachableError as error:
        return replace(here, state="silent", message=str(error))
    if not answer.ok:
        said = for_terminal(f"{answer.code}: {answer.message}")
        return replace(here, state="silent", message=f"its agent refuses: {said}")
    word = answer.fields.get("status", "")
    return replace(here, state="up", agent=for_terminal(word[:LONGEST_WORD]) if isinstance(word, str) else "")
