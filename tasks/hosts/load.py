# SPDX-License-Identifier: Apache-2.0
"""What a host does all day: one of our workloads, again and again, as a service that keeps its numbers in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.workloads import Accel, Workload, arguments, job_files, program_of
from policy_lake.errors import InputError
from tasks.host.programs import workload_programs
from verifier_vm.machine.image import host_program

UNIT = "schedcp-workload.service"
PLACE = "usr/lib/schedcp-workload"
NUMBERS = "/run/schedcp-workload"  # one file a number, and all of them as Prometheus reads them
SEED = 1
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/=+-]+")  # words that systemd takes as they are


def load_files(described: Workload, accel: Accel, cache_dir: Path) -> Mapping[str, tuple[bytes, int]]:
    """The service's files by path on the host, each with its mode. InputError for a workload that a host cannot run."""
    if described.root:
        raise InputError(f"workload '{described.id}': it needs {described.root}, which no host of a fleet has")
    words = (f"/{PLACE}/{program_of(described)}", *arguments(described, seed=SEED, accel=accel))
    if odd := [word for word in words if not _PLAIN.fullmatch(word)]:
        raise InputError(f"workload '{described.id}': its argument {odd[0][:60]!r} cannot stand in a unit")
    files = {f"{PLACE}/{name}": (data, 0o755) for name, data in job_files(described).items()}
    if not described.binary:
        binary = host_program(described.program, workload_programs()[described.program], cache_dir)
        files[f"{PLACE}/{described.program}"] = (binary.read_bytes(), 0o755)
    files[f"{PLACE}/repeat.py"] = (Path(__file__).with_name("repeat.py").read_bytes(), 0o644)
    files[f"etc/systemd/system/{UNIT}"] = (_unit(described.id, words).encode(), 0o644)
    return files


def _unit(id: str, words: tuple[str, ...]) -> str:
    return f"""[Unit]
Description=The workload of this host: {id}, again and again

[Service]
ExecStart=/usr/bin/python3 -I /{PLACE}/repeat.py {NUMBERS} {" ".join(words)}
WorkingDirectory=/{PLACE}
RuntimeDirectory=schedcp-workload
PrivateTmp=yes
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
