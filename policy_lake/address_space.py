# SPDX-License-Identifier: Apache-2.0
"""How much address space this process may have (`ulimit -v`), which LanceDB takes in large pieces."""

from __future__ import annotations

import resource

# Bytes. Below the first LanceDB does not even load; below the second a read may fail of it.
LEAST, AMPLE = 900 << 20, 4 << 30


def too_little(wanted: int) -> str:
    """Why it may not be enough, in words; empty when so much may be had."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or limit >= wanted:
        return ""
    return f"`ulimit -v` leaves a process {limit >> 20} MiB, which may be too little for LanceDB"
