# SPDX-License-Identifier: Apache-2.0
"""Faults injected into a real host (`make fleet-faults`): how long from the trip condition to EEVDF on every CPU.

One micro-VM is brought up with the real agent, the fleet's workload, and a server of requests. A policy is attached by
a token over mutual TLS and its lease renewed by a control plane of its own process; then one fault is injected, and a
real-time process in the guest sees by the guest's clock when the kernel has no policy any more. The kinds take turns in
a seeded order. What is measured begins with the trip condition, which `CONDITIONS` says for each kind.

Into docs/rollout-faults.md and, beside it, docs/rollout-faults.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from fault_fleet import LEASE_S, SILENCE_S, STALL_S, FaultHost, Shell
from fault_page import write_page

from tasks.host.settings import load_settings
from tasks.hosts.host import set_network
from tasks.hosts.places import address_of
from tasks.hosts.reach import UnreachableError, context

# Each is the moment from which it holds that the policy must go.
CONDITIONS = {
    "stall_one": f"one task, which the policy never runs, has waited for the token's limit ({STALL_S:g} s)",
    "stall_all": f"no task that waits is given a CPU any more, and the first of them has waited for {STALL_S:g} s",
    "p99_doubled": "the file of the workload's p99 has twice the base; the token allows 1.5 times",
    "agent_killed": "SIGKILL was sent to the agent (its unit starts another, which attaches nothing)",
    "control_killed": f"SIGKILL to the control plane: its lease ({LEASE_S:g} s) ran out after its last word",
    "metrics_gone": f"SIGKILL to the metrics endpoint: {SILENCE_S:g} s (the breaker's limit) after its last answer",
    "disk_full": "the disk takes no byte, and something is to be written down: a refusal was asked for",
    "network_cut": f"the host's cable was pulled: the lease ({LEASE_S:g} s) ran out after the last word that came",
}
KINDS = tuple(CONDITIONS)
# What the agent may say of each: another word means that something else took it off first.
WORDS = {
    "stall_one": {"task_waits", "ejected"}, "stall_all": {"task_waits", "ejected", "agent_late"},
    "p99_doubled": {"metric"}, "agent_killed": {""}, "control_killed": {"control_lost"},
    "metrics_gone": {"metrics_silent"}, "disk_full": {"not_recorded"}, "network_cut": {"control_lost"},
}  # fmt: skip
LIMIT_S, REST_S = 60.0, 1.0


def say(text: str) -> None:
    """What goes on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def control(host: str) -> None:
    """A control plane that does nothing but be heard, over mutual TLS, until it is killed.

    By one connection for as long as that holds: an emulated host of a busy machine has no time for a handshake a word.
    """
    at = address_of(host, load_settings())
    while True:
        with (
            suppress(OSError),
            socket.create_connection((at.at, at.port), 5.0) as plain,
            context(at).wrap_socket(plain, server_hostname=at.host) as stream,
        ):
            stream.settimeout(3.0)
            while True:
                stream.sendall(b'{"v":1,"req":"status","id":"heard"}\n')
                answer = b""
                while not answer.endswith(b"\n"):
                    piece = stream.recv(1 << 16)
                    if not piece:
                        raise ConnectionResetError
                    answer += piece
                time.sleep(REST_S)
        time.sleep(REST_S)


class Injector:
    """Injects one after the other."""

    def __init__(self, host: FaultHost, shell: Shell, chance: random.Random) -> None:
        self._host, self._shell, self._chance = host, shell, chance
        self._control = self._begin_control()

    def one(self, kind: str) -> dict[str, Any]:
        """One fault from a fresh attachment to a mended host."""
        host, shell = self._host, self._shell
        attach_s = host.attach(stalls=kind.startswith("stall_"))
        time.sleep(self._chance.uniform(1.0, 2.5))  # so that it comes at any moment of the watcher's rounds
        shell.begin("fault", kind=kind, limit_s=LIMIT_S, stall_s=STALL_S, silence_s=SILENCE_S, lease_s=LEASE_S)
        if kind in ("control_killed", "network_cut"):
            shell.read(30)
            if kind == "network_cut":
                set_network(host.place, up=False)
            else:
                self._control.send_signal(signal.SIGKILL)
        told = shell.end(LIMIT_S + 60)
        if kind == "network_cut":
            set_network(host.place, up=True)
        if kind == "control_killed":
            self._control.wait()
            self._control = self._begin_control()
        after = shell.do("mend", kind=kind)
        word, reason = after["ended"]["why"], after["ended"]["reason"]
        off_s = told["off"] - told["condition"] if told["off"] else None
        return {
            "kind": kind, "off_s": off_s, "word": word, "reason": reason, "expected": word in WORDS[kind],
            "attach_s": attach_s, "longest_step_s": told["longest_step"], "state": told["state"], "ops": told["ops"],
        }  # fmt: skip

    def close(self) -> None:
        """Ends the control plane."""
        self._control.kill()
        self._control.wait()

    def _begin_control(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, __file__, "--control", self._host.name]
        return subprocess.Popen(words, env={**os.environ, "SCHEDCP_DATA_DIR": str(self._host.settings.data_dir)})


def turns(count: int, chance: random.Random, only: list[str]) -> list[str]:
    """That many faults, each kind as often as the others or once more, in an order drawn by chance."""
    kinds = only or list(KINDS)
    all_ = [kinds[at % len(kinds)] for at in range(count)]
    chance.shuffle(all_)
    return all_


def run(count: int, seed: int, only: list[str], baseline_s: float, workload: str, limit_s: float) -> dict[str, Any]:
    """All of it; whatever happens the host is ended."""
    began, chance, found, wrong = time.monotonic(), random.Random(seed), [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="schedcp-faults-") as data:
        host = FaultHost(load_settings(data_dir=Path(data)), count + 20, workload, say)
        injector = shell = None
        try:
            host.up()
            shell = Shell(host)
            injector = Injector(host, shell, chance)
            start = shell.do("counts")
            for at, kind in enumerate(turns(count, chance, only)):
                if time.monotonic() - began > limit_s:
                    break
                try:
                    found.append(injector.one(kind))
                    say(f"{at + 1}: {found[-1]}")
                except (RuntimeError, UnreachableError, OSError) as error:
                    wrong[f"{kind}: {error}"[:200]] += 1
                    say(f"{at + 1}: {kind}: {error!r}")
                    if wrong.total() > 10:
                        raise
                    set_network(host.place, up=True)
                    shell.do("mend", kind="none")
            faults = shell.do("counts")
            gaps = shell.do("gaps")
            length = baseline_s or faults["at"] - start["at"]
            time.sleep(length)
            base = shell.do("counts")
        finally:
            if injector:
                injector.close()
            if shell:
                shell.close()
            host.down()
    return {
        "seed": seed, "workload": workload, "seconds": time.monotonic() - began, "faults": found, "wrong": dict(wrong),
        "gaps": gaps, "figures": faults["page"],
        "requests": {"under faults": _between(start, faults), "EEVDF alone": _between(faults, base)},
    }  # fmt: skip


def _between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    names = ("sent", "answered", "lost", "late", "at")
    return {name if name != "at" else "seconds": after[name] - before[name] for name in names}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=KINDS, default=[])
    parser.add_argument("--baseline-s", type=float, default=0.0, help="as long as the faults took, unless given")
    parser.add_argument("--limit-s", type=float, default=3600.0, help="no fault is begun after that")
    parser.add_argument("--workload", default="schbench-light")
    parser.add_argument("--page", type=Path, default=Path(__file__).parents[1] / "docs/rollout-faults.md")
    parser.add_argument("--control", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.control:
        control(given.control)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    result = run(given.count, given.seed, given.only, given.baseline_s, given.workload, given.limit_s)
    given.page.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    return write_page(given.page, result, CONDITIONS)


if __name__ == "__main__":
    sys.exit(main())
