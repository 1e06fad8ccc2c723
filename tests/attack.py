# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of each process that takes part in a run, at random moments, and many starts: `make attack`.

A run that was attacked must end within 30 s with a status and a line that are true, or go on to its end; nothing of it
may be left running after 30 s; `schedcp runs` must show what became of it; and the next tune must work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "e2e")]
from homes import MARK, SCHEDCP, Home
from leftovers import processes, runs

SMALL = ("--iterations", "1", "--per-iteration", "1", "--pairs", "4", "--tier", "smoke")
LIMIT_S, LONGEST_S = 30.0, 900.0
ROLES = {
    "main": "",
    "server": "tasks.fleet.prefect_server",
    "gcs": "gcs/gcs_server",
    "raylet": "raylet/raylet ",
    "worker": "ray::",
    "qemu": "qemu-system",
    "signer": "verifier_vm.tokens.signer",
}
ENDS = {0: {"done"}, 4: {"failed", None}, -9: {"killed", None}}  # None: the run had not begun


@dataclass
class Outcome:
    """What became of a run: its exit status, how long it took to end, its row's status, its last line, what is left."""

    at_s: float
    status: int
    took_s: float
    row: str | None
    line: str
    left: list[str]

    def __str__(self) -> str:
        row = self.row or "not begun"
        return f"at {self.at_s:5.1f} s: exit {self.status:>3} after {self.took_s:5.1f} s, {row}; {self.line[:110]}"

    @property
    def complaint(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.left:
            return f"left running: {self.left}"
        if self.row not in ENDS.get(self.status, set()):
            return f"exit status {self.status}, but its row says {self.row}"
        if self.status and self.took_s > LIMIT_S:
            return f"it took {self.took_s:.0f} s to end"
        if self.status > 0 and not self.line.startswith("schedcp: "):
            return "no line says why"
        return ""


class Tune:
    """A tune that runs, with its lines read as they come."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home, self.began = home, time.monotonic()
        self.child = subprocess.Popen(
            [SCHEDCP, "tune", "batch", *SMALL, "--seed", str(seed)], env=home.env, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.child.stderr or ()), daemon=True)
        self._reader.start()

    def find(self, role: str) -> list[int]:
        """The processes of that role that are this home's."""
        if role == "main":
            return [self.child.pid]
        return [pid for pid in processes(ROLES[role]) if pid != self.child.pid and runs(pid) and self._ours(pid)]

    def _ours(self, pid: int) -> bool:
        """Whether a process is this home's: the signer shows nobody its environment, but who its parent is."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            environment = b"" if int(status[1]) == self.child.pid else Path(f"/proc/{pid}/environ").read_bytes()
            return not environment or f"{MARK}={self.home.mark}".encode() in environment
        return False

    def hit(self, role: str, at_s: float) -> bool:
        """Kill one of that role once `at_s` have passed and there is one; whether there was."""
        while self.child.poll() is None:
            if time.monotonic() - self.began >= at_s and (found := self.find(role)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random.choice(found), signal.SIGKILL)
                    return True
            time.sleep(0.0 if role == "signer" else 0.02)  # that one lives for a third of a second
        return False

    def outcome(self, at_s: float) -> Outcome:
        """Wait for its end."""
        hit = time.monotonic()
        try:
            status = self.child.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            status = 999
            self.child.kill()
            self.child.wait()
        took_s = time.monotonic() - hit
        while (left := self.home.running()) and time.monotonic() < hit + took_s + LIMIT_S:
            time.sleep(0.2)
        self._reader.join(5)
        said = self.lines[-1].strip() if self.lines else ""
        return Outcome(at_s, status, took_s, self._row(), said, left)

    def _row(self) -> str | None:
        done = self.home.run("runs", "--json")
        rows = json.loads(done.stdout)["runs"] if done.returncode == 0 else []
        # Attacks on one home come one after the other: what is new is this run's.
        new = [row for row in rows if row["id"] not in self.home.known]
        self.home.known |= {row["id"] for row in rows}
        return str(new[0]["status"]) if new else None


@contextlib.contextmanager
def a_home(name: str) -> Iterator[Home]:
    """A user's machine of its own."""
    with tempfile.TemporaryDirectory(prefix=f"attack-{name}-", dir="/tmp") as place:
        home = Home(Path(place))
        home.known = set()
        yield home


def attack(roles: Sequence[str], moments: int, seed: int) -> list[str]:
    """Kill a process of each role at random moments, one run each, on one machine one after the other; the complaints.

    So each run is the next tune of one that was attacked; the last one is left alone, and must end well.
    """
    dice, complaints = random.Random(seed), []
    with a_home("kills") as home:
        whole = Tune(home, seed).outcome(0)
        print(f"untouched: exit {whole.status}, {whole.took_s:.0f} s; {whole.line[:110]}", flush=True)
        for number, role in enumerate(role for _ in range(moments) for role in roles):
            at_s = dice.uniform(0.0, 0.85 * whole.took_s)
            tune = Tune(home, seed + 2 * number + 1)
            if not tune.hit(role, at_s):  # there was none any more
                tune.outcome(at_s)
                tune = Tune(home, seed + 2 * number + 2)
                if not tune.hit(role, 0.0):
                    print(f"{role:<8} was not to be met", flush=True)
                    complaints.append(f"{role}: not met")
            result = tune.outcome(time.monotonic() - tune.began)
            print(f"{role:<8} {result} {result.complaint and '!!! ' + result.complaint}", flush=True)
            if result.complaint:
                complaints.append(f"{role} at {result.at_s:.1f} s: {result.complaint}")
                print("    " + "    ".join(tune.lines[-12:]), flush=True)
        after = Tune(home, seed + 99_999).outcome(0)
        print(f"untouched: exit {after.status}, {after.took_s:.0f} s; {after.line[:110]}", flush=True)
        if after.status or after.complaint:
            complaints.append(f"the last tune ended with {after.status}: {after.line} {after.complaint}")
    return complaints


def starts(count: int) -> list[str]:
    """So many tunes up to the observation, then Ctrl-C; the complaints."""
    complaints, took = [], []
    with a_home("starts") as home:
        for number in range(count):
            tune = Tune(home, number + 1)
            while not any("] observe: " in line for line in tune.lines) and tune.child.poll() is None:
                time.sleep(0.05)
            took.append(time.monotonic() - tune.began)
            tune.child.send_signal(signal.SIGINT)
            result = tune.outcome(took[-1])
            if result.status != 130 or result.left:
                complaints.append(f"start {number + 1}: exit {result.status}, {result.line} {result.left}")
                print(complaints[-1], flush=True)
            if (number + 1) % 10 == 0:
                print(
                    f"starts   {number + 1}: {len(complaints)} failed, {sorted(took)[len(took) // 2]:.1f} s", flush=True
                )
    return complaints


def main() -> int:
    """All of it; the exit status says whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--roles", nargs="*", default=list(ROLES), choices=list(ROLES))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    complaints = attack(given.roles, given.moments, given.seed) if given.moments else []
    complaints += starts(given.starts) if given.starts else []
    print("\n".join(complaints) if complaints else "nothing was wrong", flush=True)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
