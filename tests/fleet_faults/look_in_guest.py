# SPDX-License-Identifier: Apache-2.0
"""On a host: what its agent answers root, what it exports, and what its kernel says, looked at every 2 ms."""

import json
import os
import socket
import time

STEP_S = 0.002
SCX = "/sys/kernel/sched_ext"
AGENT = "/run/schedcp/agent.sock"
PAGE_PORT = 9464


def begin(request, timeout_s=20.0, **members):
    """A request by root, sent; its answer is to be read."""
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(timeout_s)
    stream.connect(AGENT)
    stream.sendall(json.dumps({"v": 1, "req": request, "id": "fault", **members}).encode() + b"\n")
    return stream


def ask(request, **members):
    """The agent's answer to a request by root."""
    with begin(request, **members) as stream, stream.makefile("rb") as lines:
        return json.loads(lines.readline())


def page():
    """The agent's figures, by the series' name."""
    with socket.create_connection(("127.0.0.1", PAGE_PORT), 10) as stream:
        stream.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with stream.makefile("rb") as lines:
            pairs = [line.decode().rsplit(" ", 1) for line in lines if line.startswith(b"schedcp_")]
    return {name: float(value) for name, value in pairs}


def put(path, text):
    """A file in one step."""
    with open(path + ".part", "w") as file:
        file.write(text)
    os.replace(path + ".part", path)


def line_of(name):
    """One of sched_ext's files; empty where it is not there."""
    try:
        with open(f"{SCX}/{name}") as file:
            return file.read().strip()
    except OSError:
        return ""


def await_off(limit_s):
    """When the kernel had no policy any more, and the longest time between two looks; None for never."""
    state = os.open(f"{SCX}/state", os.O_RDONLY)
    try:
        began = before = time.monotonic()
        worst = 0.0
        while before - began < limit_s:
            off = os.pread(state, 64, 0).startswith(b"disabled") and not os.path.exists(f"{SCX}/root/ops")
            now = time.monotonic()
            worst, before = max(worst, now - before), now
            if off:
                return now, worst
            time.sleep(STEP_S)
        return None, worst
    finally:
        os.close(state)
