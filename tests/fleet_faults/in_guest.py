# SPDX-License-Identifier: Apache-2.0
"""On a host, by Debian's python3 alone: injects one fault at a time, and sees when EEVDF is back, by the host's clock.

It reads a JSON object a line from its standard input and answers each by a line that begins with `@@`. It runs in real
time above whatever may stall, with its memory locked, and looks at /sys/kernel/sched_ext every 2 ms. What a fault's
trip condition is, `CONDITIONS` in inject_faults.py says; times are CLOCK_MONOTONIC, in s.
"""

import ctypes
import glob
import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from look_in_guest import ask, await_off, begin, line_of, page, put

PRIORITY = 60  # above the holder's 50
P99, FILL = "/run/faults/p99_s", "/var/lib/schedcp-fill"
ENDPOINT_PORT = 9917
PR_SET_NAME = 15
libc = ctypes.CDLL(None, use_errno=True)
seen = mmap.mmap(-1, 4096)  # shared with the endpoint: when it answered last


def plain_child(run):
    """A process of the class that policies schedule, which `run`s."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        run()
    finally:
        os._exit(0)


def stall(name):
    """A task wakes under a name that the policy stalls at; just before it goes to sleep."""
    ours, theirs = os.pipe()

    def run():
        time.sleep(0.01)  # once as any task
        os.write(theirs, struct.pack("d", time.monotonic()))
        libc.prctl(PR_SET_NAME, name, 0, 0, 0)
        time.sleep(0.001)

    pid = plain_child(run)
    os.close(theirs)
    at = struct.unpack("d", os.read(ours, 8))[0]
    os.close(ours)
    return at, pid


def agent_pid():
    """The agent's process."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                if b"\0host_agent\0" in file.read():
                    return int(path.split("/")[2])
        except OSError:
            continue
    raise RuntimeError("there is no agent")


def serve_endpoint():
    """A Prometheus endpoint that says when it answered last."""
    with socket.create_server(("127.0.0.1", ENDPOINT_PORT), backlog=16) as server:
        while True:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                seen[:8] = struct.pack("d", time.monotonic())
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\nschedcp_fault_endpoint 1\n")


def fill_disk():
    """All of the disk that root may have."""
    with open(FILL, "wb") as file:
        size = os.statvfs("/var/lib").f_bfree * os.statvfs("/var/lib").f_frsize
        at = 0
        while size >= 4096:
            try:
                os.posix_fallocate(file.fileno(), at, size)
                at += size
            except OSError:
                size //= 2


class Faults:
    """One host's."""

    def __init__(self):
        self.endpoint = plain_child(serve_endpoint)
        self.requests = requests_begun()
        put(P99, "0.010\n")

    def fault(self, kind, limit_s, **of):
        """Injects it; the condition's moment and when the policy was off, None where only the page can tell."""
        pid, waiting, condition, from_ = 0, None, None, time.monotonic()
        if kind.startswith("stall_"):
            at, pid = stall(kind.replace("_", "-").encode())
            condition = at + of["stall_s"]
        elif kind == "p99_doubled":
            condition = time.monotonic()
            put(P99, "0.020\n")
        elif kind == "agent_killed":
            victim = agent_pid()
            condition = time.monotonic()
            os.kill(victim, signal.SIGKILL)
        elif kind == "metrics_gone":
            os.kill(self.endpoint, signal.SIGKILL)
            os.waitpid(self.endpoint, 0)
            condition = struct.unpack("d", seen[:8])[0] + of["silence_s"]
        elif kind == "disk_full":
            fill_disk()
            condition = time.monotonic()
            waiting = begin("lease", lease=5000)  # refused, a canary's is shorter: which is to be written down
        else:
            say({"armed": kind})
        off, worst = await_off(limit_s)
        if condition is None:  # only the agent knows when it heard the control plane last; it was asked nothing since
            heard = page()["schedcp_control_seen_timestamp_seconds"]
            condition = heard - time.time() + time.monotonic() + of["lease_s"]
        if pid:
            os.waitpid(pid, 0)
        if waiting:
            waiting.close()
        return {
            "condition": condition,
            "off": off,
            "from": from_,
            "longest_step": worst,
            "switch_all": line_of("switch_all"),
            "state": line_of("state"),
            "ops": line_of("root/ops"),
        }

    def mend(self, kind):
        """Undoes it; once the agent answers, what it said, and the breaker is released by root."""
        if os.path.exists(FILL):
            os.unlink(FILL)
        put(P99, "0.010\n")
        if kind == "metrics_gone":
            self.endpoint = plain_child(serve_endpoint)
        subprocess.run(["systemctl", "reset-failed", "schedcpd.service"], check=False)
        limit = time.monotonic() + 60
        while True:
            try:
                status = ask("status")
                break
            except (OSError, ValueError):
                if time.monotonic() > limit:
                    raise
                time.sleep(0.2)
        status["released"] = [ask("resume", object=sha)["ok"] for sha in status["breakers"]]
        status["control_seen"] = page()["schedcp_control_seen_timestamp_seconds"]
        return status

    def classes(self, cgroup):
        """How many tasks of each class there are, within the cgroup and without, kernel threads aside; the policy."""
        inside, outside = {}, {}
        for path in glob.glob("/proc/[0-9]*/task/[0-9]*"):
            try:
                with open(f"{path}/cgroup") as file:
                    of = file.read().strip().partition("::")[2]
                with open(f"{path}/stat") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) in (0, 2):  # its parent is kthreadd
                        continue
                counted = inside if (of + "/").startswith(f"/{cgroup}/") else outside
                policy = str(os.sched_getscheduler(int(path.rpartition("/")[2])) & ~os.SCHED_RESET_ON_FORK)
                counted[policy] = counted.get(policy, 0) + 1
            except (OSError, ValueError):  # it ended
                continue
        return {"inside": inside, "outside": outside, "ops": line_of("root/ops"), "switch_all": line_of("switch_all")}

    def gaps(self):
        """Seconds in which the kernel was between two schedulers: of each attachment and take-off, by the audit log."""
        found, since = [], 0
        while True:
            entries = ask("audit", since=since)["entries"]
            if not entries:
                return found
            since = entries[-1]["seq"]
            found += [
                [entry["what"], entry[name]]
                for entry in entries
                for name in ("attach_s", "detach_s")
                if entry.get(name)
            ]

    def counts(self):
        """What became of the requests so far, and the agent's figures."""
        names = ("sent", "answered", "lost", "late")
        counted = dict(zip(names, struct.unpack("4Q", self.requests[:32]), strict=True))
        return {**counted, "at": time.monotonic(), "page": page()}


def requests_begun():
    """Server and client of requests begun; the memory in which the client counts."""
    import requests_in_guest as of

    counts = mmap.mmap(-1, 4096)
    plain_child(of.serve)
    if not os.fork():
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            of.send(counts)
        finally:
            os._exit(1)
    time.sleep(0.5)
    return counts


def say(told):
    """A line, which the kernel's own lines on this console cannot run into: they end with one, too."""
    sys.stdout.write(f"\n@@{json.dumps(told)}\n")
    sys.stdout.flush()


def main():
    """Until the standard input ends."""
    os.makedirs(os.path.dirname(P99), exist_ok=True)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    faults = Faults()
    libc.mlockall(3)
    last = {"ready": os.getpid()}
    say(last)
    for line in sys.stdin:
        try:
            given = json.loads(line)
            do = given.pop("do")
            if do != "again":
                last = {"ok": True, "told": getattr(faults, do)(**given)}
        except Exception as error:  # whatever it is, the other side is waiting for it
            last = {"ok": False, "why": f"{type(error).__name__}: {error}"}
        say(last)


if __name__ == "__main__":
    main()
