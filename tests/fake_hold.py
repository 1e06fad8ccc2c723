#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for schedcp-hold where there is no sched_ext: the same words, and a directory in the kernel's place.

`SYS/behaviour` says how it misbehaves; `SYS/eject`, an exit record, is what the kernel would eject it with.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

options = dict(word[2:].partition("=")[::2] for word in sys.argv[1 : sys.argv.index("--")])
stops = [word[7:] for word in sys.argv[1:] if word.startswith("--stop=")]
root = Path(options["sys"])
scx = root / "kernel/sched_ext"
behaviour = (root / "behaviour").read_text() if (root / "behaviour").exists() else ""
NO_RECORD = {"kind": -1, "code": 0, "reason": "", "message": ""}


def tell(event: str, **facts: object) -> None:
    os.write(1, json.dumps({"event": event, **facts}).encode() + b"\n")


def put(state: str, ops: str) -> None:
    (scx / "root").mkdir(exist_ok=True)
    (scx / "state").write_text("disabling\n")
    if ops:
        (scx / "root/ops").write_text(ops + "\n")
        (scx / "enable_seq").write_text(f"{int((scx / 'enable_seq').read_text()) + 1}\n")
    else:
        (scx / "root/ops").unlink(missing_ok=True)
    (scx / "state").write_text(state + "\n")


def end(reason: str, record: dict[str, object] = NO_RECORD) -> None:
    put("disabled", "")
    if behaviour != "mute":
        tell("detached", reason=reason, detach_ns=2_000_000, exit=record)
    sys.exit(0)


(root / "seen.json").write_text(json.dumps({"words": sys.argv[sys.argv.index("--") + 1 :], "pid": os.getpid()}))
image = Path(options["object"]).read_bytes()
if behaviour == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if behaviour == "hang":
    time.sleep(60)
if behaviour == "babble":
    os.write(1, b"\xff" * 100_000)
    time.sleep(60)
if behaviour == "refuse" or (image != b"object" and not image.startswith(b"\x7fELF")):
    print("loader: the verifier said no", file=sys.stderr, flush=True)
    tell("failed", phase="load", exit=NO_RECORD)
    sys.exit(1)
if "shadow" in options:
    tell("shadow", ops="ljf", enable_seq=int((scx / "enable_seq").read_text()), load_ns=5_000_000)
    sys.exit(0)
if behaviour != "lie":
    put("enabled", "ljf")
signal.signal(signal.SIGTERM, lambda *_: end("signal"))
tell("attached", ops="ljf", enable_seq=int((scx / "enable_seq").read_text()), attach_ns=3_000_000, load_ns=1_000_000)
lease = int(options["lease-ms"]) / 1000
until = time.monotonic() + lease
while True:
    ready, _, _ = select.select([0], [], [], 0.02)
    data = os.read(0, 64) if ready else b""
    if ready and not data:
        end("agent")
    if b"r" in data:
        until = time.monotonic() + lease
    if b"s" in data:
        tell("counters", values=json.loads((root / "counters").read_text() if (root / "counters").exists() else "{}"))
    if b"d" in data and behaviour != "deaf":
        end("asked", {"kind": 64, "code": 0, "reason": "unregistered", "message": ""})
    if time.monotonic() > until:
        end("lease")
    if any(Path(stop).exists() for stop in stops) and behaviour != "deaf":
        end("stop")
    if (root / "eject").exists():
        record = json.loads((root / "eject").read_text())
        (root / "eject").unlink()
        end("ejected", record)
