# SPDX-License-Identifier: Apache-2.0
"""What this process may have (`ulimit`), and what it needs: third parties' libraries abort or lie for want of it."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """The least with which something was seen to work: bytes of address space, open files, bytes of one file."""

    address_space: int
    files: int
    file_bytes: int


LAKE = Needs(3 << 30, 32, 16 << 20)  # LanceDB alone; below it a read may fail, and less than a third aborts the process
GUEST = Needs(3900 << 20, 64, 32 << 20)  # QEMU: the guest's memory and 1 GiB for what it translates; and the lake
RUN = Needs(6 << 30, 256, 256 << 20)  # Ray's processes, Prefect's server, snapshots of guests

_MIB = 1 << 20


def shortage(needs: Needs) -> str:
    """What is too little, in words that say what to do; empty when all of it may be had."""
    for kind, letter, wanted, unit, words in (
        (resource.RLIMIT_AS, "v", needs.address_space, _MIB, " MiB of address space"),
        (resource.RLIMIT_NOFILE, "n", needs.files, 1, " open files"),
        (resource.RLIMIT_FSIZE, "f", needs.file_bytes, _MIB, " MiB for one file"),
    ):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and limit < wanted:
            return (
                f"`ulimit -{letter}` leaves a process {limit // unit}{words}, and this needs {wanted // unit}: "
                f"raise it (`ulimit -{letter} {'4096' if letter == 'n' else 'unlimited'}`)"
            )
    return ""
