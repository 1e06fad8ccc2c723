# SPDX-License-Identifier: Apache-2.0
"""The table in which the clock marks the blocks of BPF programs that ran (verifier_vm/vclock/executed.c)."""

from __future__ import annotations

import mmap
import os
import struct

from policy_lake.coverage import Block, Executed
from policy_lake.errors import InfraError

MOST_BLOCKS = 65535
_HEAD = struct.Struct("=2Q")
_BLOCK = struct.Struct("=2Q4I")
RAN, JUMPED, WENT_ON = 1, 2, 4


class BlockTable:
    """The memory that the clock writes and we read, of which only touched pages cost; `fd` is inherited by QEMU."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("schedcp-blocks", 0)
        size = _HEAD.size + MOST_BLOCKS * _BLOCK.size
        os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size, prot=mmap.PROT_READ)

    def fileno(self) -> int:
        """The table's descriptor, for QEMU to inherit."""
        return self.fd

    def close(self) -> None:
        """Let go of the table; QEMU keeps its own mapping."""
        self._memory.close()
        os.close(self.fd)

    def read(self) -> Executed:
        """The blocks that ran so far; InfraError for a table that the clock cannot have written."""
        count, dropped = _HEAD.unpack_from(self._memory)
        if count > MOST_BLOCKS:
            raise InfraError(f"the clock's table of blocks is damaged: {count} blocks")
        content = self._memory[_HEAD.size : _HEAD.size + count * _BLOCK.size]
        blocks = (
            Block(start, size, crc, bool(seen & JUMPED), bool(seen & WENT_ON))
            for start, _, size, crc, seen, _ in _BLOCK.iter_unpack(content)
            if seen & RAN
        )
        return Executed(tuple(blocks), dropped)
