# SPDX-License-Identifier: Apache-2.0
"""What is inside a bzImage: the ELF vmlinux, whichever compressor packed it, and the release it names."""

from __future__ import annotations

import lzma
import os
import subprocess
import zlib
from pathlib import Path

from policy_lake.errors import InputError

ZSTD, GZIP, XZ = b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"\xfd7zXZ\0"


def vmlinux_of(image: bytes, path: Path) -> bytes:
    """The ELF vmlinux inside a bzImage, whichever compressor the kernel was built with."""
    if image[:4] == b"\x7fELF":
        return image
    for magic, unpack in ((ZSTD, _unzstd), (GZIP, _ungzip), (XZ, _unxz)):
        at = image.find(magic)
        if at >= 0:
            unpacked = unpack(image[at:])
            if unpacked[:4] == b"\x7fELF":
                return unpacked
    raise InputError(f"kernel {path}: no zstd, gzip or xz payload found: not a bzImage?")


def _unzstd(data: bytes) -> bytes:
    # zstd reports what follows the payload as an error after it has written all of the payload.
    return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False, env=dict(os.environ)).stdout


def _ungzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data)  # 31: gzip framing; stops where the payload ends
    except zlib.error:
        return b""


def _unxz(data: bytes) -> bytes:
    try:
        return lzma.LZMADecompressor().decompress(data)
    except lzma.LZMAError:
        return b""


def release_of(image: bytes) -> str:
    """The version string of a bzImage: offset 0x20e of the setup header (Documentation/arch/x86/boot.rst)."""
    at = int.from_bytes(image[0x20E:0x210], "little") + 0x200
    return image[at : at + 128].split(b"\0")[0].decode("ascii", "replace").split(" ")[0]
