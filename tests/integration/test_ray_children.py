# SPDX-License-Identifier: Apache-2.0
"""Ray's processes are started without any Python between fork and exec, and still die with their parent."""

from __future__ import annotations

import json
import subprocess
import sys

CHILD = """
import ctypes, json, os, signal
death = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)  # PR_GET_PDEATHSIG
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
print(json.dumps({"death": death.value, "blocked": [int(n) for n in blocked], "variable": os.environ.get("SHOWN")}))
"""
PARENT = f"""
import os, signal, subprocess, sys
from tasks.fleet.children import PlainPopen
os.register_at_fork(after_in_child=lambda: os.write(2, b"a hook ran\\n"))
kind = {{"plain": PlainPopen, "usual": subprocess.Popen}}[sys.argv[1]]
child = kind([sys.executable, "-c", {CHILD!r}], env={{**os.environ, "SHOWN": "1"}}, stdout=subprocess.PIPE,
             preexec_fn=lambda: None)
out, _ = child.communicate()
assert child.returncode == 0 and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
sys.stdout.buffer.write(out)
"""


def started(kind: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PARENT, kind]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def test_no_hook_of_a_library_runs_in_a_copy_of_our_process():
    assert started("usual").stderr == "a hook ran\n"  # what Ray does by itself
    assert started("plain").stderr == ""


def test_a_child_dies_with_its_parent_and_leaves_interrupts_to_it():
    told = json.loads(started("plain").stdout)
    assert told == {"death": 9, "blocked": [2], "variable": "1"}
