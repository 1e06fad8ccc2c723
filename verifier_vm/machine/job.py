# SPDX-License-Identifier: Apache-2.0
"""A guest's job on its way to the guest (verifier_vm/guest/init.c says the format)."""

from __future__ import annotations

import contextlib
import re
import socket

from policy_lake.errors import InfraError
from policy_lake.guest import GuestJob

# A guest of the virtual clock must never wait for the host to send the rest of its job.
SOCKET_BYTES = 4 << 20


def encode_job(job: GuestJob) -> bytes:
    """The job as the guest's init reads it; InfraError for what the format cannot hold."""
    parts = []
    for name, data in job.files.items():
        if not re.fullmatch(r"[\w.-]{1,100}", name):
            raise InfraError(f"guest file name '{name}' has characters other than letters, digits, '.', '_' and '-'")
        parts.append(b"file %s %d\n" % (name.encode(), len(data)) + data)
    for step in job.steps:
        fields = (step.verb, step.label, str(int(step.timeout_s * 1000)), *step.args)
        if any(character in field for field in fields for character in "\t\n\0"):
            raise InfraError(f"guest step '{step.label or step.verb}' has a tab or newline in an argument")
        parts.append(b"step " + "\t".join(fields).encode() + b"\n")
    parts.append(b"seed %d\n" % job.seed)
    return b"".join(parts) + (b"stay\n" if job.stays else b"go\n")


def enlarge(end: socket.socket) -> None:
    """Room for a whole job; the kernel may grant less (net.core.wmem_max): the rest is sent as the guest reads."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
    # Linux's SO_SNDBUFFORCE, for root; Python has no name for it.
    with contextlib.suppress(PermissionError):
        end.setsockopt(socket.SOL_SOCKET, 32, SOCKET_BYTES)
