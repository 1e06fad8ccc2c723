# SPDX-License-Identifier: Apache-2.0
"""What a host is given with each start, as one archive that it unpacks over its disk before anything else runs.

So a host has the agent of this checkout after a restart, whatever its disk had. What a host must keep as it has it (the
revocation list and log head that it saw, which may never become older) is given with its first start alone.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from policy_lake.errors import InputError
from policy_lake.files import read_outside
from tasks.hosts.agent_files import AGENT, HOLD, ROOT, UNIT, agent_files, hold_program
from tasks.hosts.certificates import AUTHORITY, CERTIFICATE, KEY
from tasks.hosts.load import NUMBERS
from tasks.hosts.load import UNIT as LOAD_UNIT
from verifier_vm.machine.host_line import AGENT_PORT

PYTHON = "usr/lib/schedcp"
UNITS, TLS, TRUST = "etc/systemd/system", "etc/schedcp/tls", "etc/schedcp/trust"
MOST_TRUST_BYTES, MOST_TRUST_FILES = 1 << 20, 64
Files = Mapping[str, tuple[bytes, int]]


def host_files(name: str, certificates: Path, metric: str, cache_dir: Path, root: Path = ROOT) -> Files:
    """What host `name` is given with every start, its workload aside: itself, its keys, the agent and its unit.

    `metric` is that of the workload, by which the agent watches it. InfraError for what cannot be built, OSError where
    a certificate is not there.
    """
    text = {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost {name}\n",
        "etc/machine-id": hashlib.sha256((certificates / f"{name}{CERTIFICATE}").read_bytes()).hexdigest()[:32] + "\n",
        "etc/sysusers.d/schedcp.conf": "g schedcp -\n",
        "etc/schedcp/agent.toml": _configuration(name, metric),
    }
    files = {path: (content.encode(), 0o644) for path, content in text.items()}
    for path, source in ((f"{TLS}/ca.pem", AUTHORITY), (f"{TLS}/host.pem", name)):
        files[path] = ((certificates / f"{source}{CERTIFICATE}").read_bytes(), 0o644)
    files[f"{TLS}/host.key"] = ((certificates / f"{name}{KEY}").read_bytes(), 0o600)
    files |= {f"{PYTHON}/{path}": (content, 0o644) for path, content in agent_files(root).items()}
    files[f"{PYTHON}/{HOLD}"] = (hold_program(cache_dir, root), 0o755)
    files[f"{UNITS}/{UNIT}"] = ((root / AGENT / UNIT).read_bytes(), 0o644)
    return files


def trust_files(directory: Path) -> Files:
    """What a host gets in /etc/schedcp/trust with its first start: the plain files of a directory. InputError."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"{directory}: cannot be read: {error.strerror}") from None
    if len(paths) > MOST_TRUST_FILES:
        raise InputError(f"{directory}: more than {MOST_TRUST_FILES} files")
    return {f"{TRUST}/{path.name}": (read_outside(path, MOST_TRUST_BYTES), 0o644) for path in paths}


def archive(files: Files) -> bytes:
    """A tar archive of the files by their paths, all of them root's; the units among them are enabled."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
        for unit in (UNIT, LOAD_UNIT):
            if f"{UNITS}/{unit}" in files:
                link = tarfile.TarInfo(f"{UNITS}/multi-user.target.wants/{unit}")
                link.type, link.linkname = tarfile.SYMTYPE, f"../{unit}"
                tar.addfile(link)
    return out.getvalue()


def audience_of(fleet: str) -> str:
    """The audience of a fleet's hosts: all of them are meant by one token."""
    return f"fleet:{fleet}"


def _configuration(name: str, metric: str) -> str:
    return f"""# Made by `schedcp fleet up`; given anew with each start.
audience = "{audience_of(name.rpartition("-")[0])}"

[tls]
host = "0.0.0.0"
port = {AGENT_PORT}
certificate = "/{TLS}/host.pem"
key = "/{TLS}/host.key"
authority = "/{TLS}/ca.pem"

[[sources]]
name = "schedcp_workload_{metric}"
kind = "file"
at = ["{NUMBERS}/{metric}"]
"""
