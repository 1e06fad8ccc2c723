# SPDX-License-Identifier: Apache-2.0
"""`schedcp host describe`: this host in a file, for `schedcp verify|tune --for` elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from control_plane.output import escape, out, print_json
from control_plane.verifier_outputs import HostDescribeOutput
from policy_lake.files import atomic_write
from policy_lake.host_file import written
from tasks.host.describe import describe_host
from tasks.host.settings import load_settings


def describe_command(output: Path | None, *, as_json: bool) -> None:
    """Write or print the host file."""
    host = describe_host(load_settings())
    if output:
        atomic_write(output, written(host).encode(), mode=0o644)
    if as_json:
        print_json("host describe", HostDescribeOutput(host, str(output or "")))
    elif output:
        out().print(f"{escape(str(output))}: kernel {escape(host.kernel)}, {host.cpus}", soft_wrap=True)
        if not host.kernel_sha256:
            out().print(
                "its image could not be read: whoever verifies needs it (/boot/vmlinuz-RELEASE)", soft_wrap=True
            )
    else:
        sys.stdout.write(written(host))
