# SPDX-License-Identifier: Apache-2.0
"""A job's process that does what the workload's id asks of it, in place of control_plane/mcp/work.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

OBSERVED = {
    "kind": "observe", "profile": "p-1", "workload": "done", "size": "smoke", "cpus": 2, "clock": "virtual",
    "wall_s": 1.0, "cpu_s": 1.0, "parallelism": 1.0, "wakeups_per_s": 1.0, "aim": "",
    "goal": {"text": "g", "said_by": "workload", "left_out": 0},
    "text": {"text": "t", "said_by": "guest", "left_out": 0}, "commands": [], "left_out": 0,
}  # fmt: skip


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def progress(text: object) -> None:
    say(event="progress", text=str(text))


def hang(*, stubborn: bool = False) -> None:
    """Work for ever, with a child of its own, whose id is told."""
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress(f"{os.getpid()} {subprocess.Popen(['sleep', '600']).pid}")
    time.sleep(600)


def end_with_starter() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


asked = json.loads(sys.stdin.buffer.readline())
threading.Thread(target=end_with_starter, daemon=True).start()
what = asked["workload"]
if what == "hang":
    hang()
elif what == "stubborn":
    hang(stubborn=True)
elif what.startswith("done"):
    for step in ("one", "two", "two", "three"):
        progress(step)
        time.sleep(0.05)
    say(event="result", result=OBSERVED)
    if what == "done-and-stays":
        time.sleep(600)
elif what == "environment":
    progress(sorted(name for name in os.environ if name.endswith("_API_KEY")))
    say(event="result", result=OBSERVED)
elif what == "bad-input":
    say(event="error", exit_status=2, text="workload 'x': no such thing in /root/secret/place.toml")
    sys.exit(2)
elif what == "bad-machine":
    say(event="error", exit_status=4, text="no guest kernel here")
    sys.exit(4)
elif what == "dies":
    sys.stderr.write("a last word of /root/.cache/x\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
elif what == "endless-line":
    sys.stdout.write("x" * (8 << 20))
    sys.stdout.flush()
    time.sleep(600)
elif what == "no-json":
    print("Traceback", flush=True)
    time.sleep(600)
elif what == "another-result":
    say(event="result", result={**OBSERVED, "path": "/root"})
    time.sleep(600)
