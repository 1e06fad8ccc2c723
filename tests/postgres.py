# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL of a test's own: on loopback, in a directory that goes with it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 120.0


def installed() -> Path | None:
    """The directory of Debian's latest server programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


@contextmanager
def serving(programs: Path) -> Iterator[str]:
    """The address of an empty database for the length of a `with`, as SQLAlchemy takes it for asyncpg."""
    place = Path(tempfile.mkdtemp(prefix="test-postgres-"))
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    password = secrets.token_hex(16)
    try:
        (place / "password").write_text(password)
        if user:
            owner = pwd.getpwnam(user)
            for path in (place, place / "password"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data = place / "data"
        made = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "team",
            f"--pwfile={place}/password",
            "-A",
            "scram-sha-256",
            "-N",
        ]
        subprocess.run(made, user=user, cwd=place, check=True, capture_output=True, timeout=START_S)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", place, "-F"]
        with subprocess.Popen([programs / "postgres", *words], user=user, cwd=place, stderr=subprocess.PIPE) as server:
            try:
                _await(programs, port, server)
                yield f"postgresql+asyncpg://team:{password}@127.0.0.1:{port}/postgres"
            finally:
                server.terminate()
                server.communicate(timeout=START_S)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _await(programs: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ask = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "team", "-d", "postgres"]
    deadline = time.monotonic() + START_S
    while subprocess.run(ask, check=False).returncode != 0:
        assert server.poll() is None and time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.1)
