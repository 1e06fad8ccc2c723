# SPDX-License-Identifier: Apache-2.0
"""`schedcp host describe`: this host in a file, for `schedcp verify|tune --for` elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

from control_plane.output import err, escape, out, print_json
from control_plane.verifier_outputs import HostDescribeOutput
from policy_lake.files import atomic_write
from policy_lake.host_file import written
from tasks.host.describe import describe_host
from tasks.host.settings import load_settings
from tasks.hosts.describe import describe_elsewhere
from tasks.rollout.open import address_of_host


def describe_command(name: str, output: Path | None, *, as_json: bool) -> None:
    """Write or print the host file, of this host or of one whose agent is asked."""
    settings = load_settings()
    host = describe_elsewhere(address_of_host(name, settings)) if name else describe_host(settings)
    if output:
        atomic_write(output, written(host).encode(), mode=0o644)
    if as_json:
        print_json("host describe", HostDescribeOutput(host, str(output or "")))
    elif output:
        out().print(f"{escape(str(output))}: kernel {escape(host.kernel)}, {host.cpus}", soft_wrap=True)
        if not host.kernel_sha256 and not name:
            out().print(
                "its image could not be read: whoever verifies needs it (/boot/vmlinuz-RELEASE)", soft_wrap=True
            )
    else:
        sys.stdout.write(written(host))
    if not as_json and "sched_ext" not in host.features:  # of the file itself nothing else may stand on stdout
        console = out() if output else err()
        console.print(f"kernel {escape(host.kernel)} has no sched_ext: no policy can be loaded there", soft_wrap=True)
