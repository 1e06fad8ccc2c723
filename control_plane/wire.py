# SPDX-License-Identifier: Apache-2.0
"""Between a command and the resident process: where its socket lies, and JSON objects on it, one a line."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.kernel_source import NEEDS
from bpf.toolchain import NAMES
from policy_lake.errors import InfraError
from tasks.host.settings import Settings
from verifier_vm.machine.qemu import QEMU

LONGEST_MESSAGE = 16 * 2**20
LONGEST_DIRECTORY = 80  # a socket's path may have 107 bytes
PACKAGES = ("benchmarks", "bpf", "control_plane", "flows", "policy_lake", "tasks", "verifier_vm")
# What a run may depend on besides its settings; SCHEDCP_ variables are in the settings.
VARIABLES = ("HOME", "TMPDIR", "OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PREFIXES = ("PREFECT_", "RAY_")
PROGRAMS = (QEMU, "zstd", *NEEDS, *NAMES)  # what a run looks up in PATH
Message = dict[str, Any]


def socket_path(settings: Settings, *, create: bool = False) -> Path:
    """The socket of the resident process for this data directory, in a directory that is the user's alone.

    The directory is made with `create` alone. InfraError when it is somebody else's, or open to others.
    """
    place = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"schedcp-{os.getuid()}"
    if len(str(place)) > LONGEST_DIRECTORY:
        place = Path("/tmp", f"schedcp-{os.getuid()}")
    path = place / f"{hashlib.sha256(str(settings.data_dir).encode()).hexdigest()[:16]}.socket"
    if create:
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700, parents=True)
    try:
        status = place.lstat()
    except FileNotFoundError:
        return path
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise InfraError(f"{place}: must be a directory of yours that is closed to others (chmod 700)")
    return path


def identity() -> dict[str, str]:
    """What must be the same on both sides: code, interpreter, CPUs, environment; values of variables as digests.

    PATH counts by what it finds: shells, virtual environments and cron differ in it without any difference to a run.
    """
    code = hashlib.sha256()
    above = (__package__ or "").removesuffix("control_plane")  # `schedcp.` in a wheel
    for package in PACKAGES:
        spec = importlib.util.find_spec(f"{above}{package}")
        assert spec is not None and spec.origin is not None
        for path in sorted(Path(spec.origin).parent.rglob("*.py")):
            status = path.stat()
            code.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    names = sorted(name for name in os.environ if name.startswith(PREFIXES) or name.upper() in VARIABLES)
    variables = {f"variable {name}": hashlib.sha256(os.environ[name].encode()).hexdigest() for name in names}
    cpus = " ".join(map(str, sorted(os.sched_getaffinity(0))))
    programs = str([shutil.which(name) for name in PROGRAMS])
    return {"code": code.hexdigest(), "Python": sys.executable, "CPUs": cpus, "programs in PATH": programs, **variables}


def differences(client: dict[str, str], server: dict[str, str]) -> list[str]:
    """The names of what two identities differ in."""
    return sorted(name for name in client | server if client.get(name) != server.get(name))


def peer_is_us(connection: socket.socket) -> bool:
    """Whether the process at the other end is the same user's."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())


def send(connection: socket.socket, kind: str, **more: Any) -> None:
    """One message; OSError when the other end is gone."""
    connection.sendall(json.dumps({"kind": kind, **more}, default=str).encode() + b"\n")


def messages(connection: socket.socket) -> Iterator[Message]:
    """The messages that arrive, until the other end closes; InfraError for what is none."""
    with connection.makefile("rb") as lines:
        while line := lines.readline(LONGEST_MESSAGE + 1):
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
                raise InfraError("the resident process: a message that is none of ours")
            yield message
