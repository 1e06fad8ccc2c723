# SPDX-License-Identifier: Apache-2.0
"""What is inside a bzImage: the ELF vmlinux, whichever compressor packed it, and the release it names.

The setup header says where the packed kernel lies (Documentation/arch/x86/boot.rst, protocol 2.08 and later).
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from policy_lake.errors import InputError

ELF = b"\x7fELF"
MOST_BYTES = 1 << 30  # unpacked; Debian's has some 60 MB, one with DWARF half a GB
LZ4_BLOCK = 8 << 20  # the legacy frame's blocks, all but the last
_SETUP_SECTORS, _HDRS, _VERSION, _PAYLOAD = 0x1F1, 0x202, 0x206, 0x248


def vmlinux_of(image: bytes, path: Path) -> bytes:
    """The ELF vmlinux inside a bzImage. InputError, which names `path` and the compressor, when it cannot be read."""
    if image[:4] == ELF:
        return image
    payload = _payload(image)
    if payload is None:
        raise InputError(f"kernel {path}: it is no bzImage (x86 boot protocol 2.08 or later) and no vmlinux")
    for name, magic, unpack in PACKERS:
        if not payload.startswith(magic):
            continue
        if unpack is None:
            raise InputError(f"kernel {path}: it is packed with {name}, which is not read here: name its vmlinux")
        try:
            unpacked = unpack(payload)
        except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"kernel {path}: its {name} payload is damaged: {error}") from error
        if unpacked[:4] != ELF or len(unpacked) >= MOST_BYTES:
            raise InputError(f"kernel {path}: its {name} payload holds no ELF below 1 GiB")
        return unpacked
    raise InputError(f"kernel {path}: what packed it is not known: its payload begins with {payload[:4].hex()}")


def _payload(image: bytes) -> bytes | None:
    if image[_HDRS : _HDRS + 4] != b"HdrS" or int.from_bytes(image[_VERSION : _VERSION + 2], "little") < 0x208:
        return None
    begin = 512 * ((image[_SETUP_SECTORS] or 4) + 1) + int.from_bytes(image[_PAYLOAD : _PAYLOAD + 4], "little")
    length = int.from_bytes(image[_PAYLOAD + 4 : _PAYLOAD + 8], "little")
    return image[begin : begin + length] if begin + length <= len(image) else None


def _ungzip(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(data, MOST_BYTES)  # 31: gzip framing


def _unxz(data: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(data, MOST_BYTES)


def _unbzip2(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, MOST_BYTES)


def _unzstd(data: bytes) -> bytes:
    import pyarrow as pa

    # The kernel's build puts the unpacked size behind the frame.
    with pa.CompressedInputStream(pa.PythonFile(io.BytesIO(data[:-4]), "r"), "zstd") as stream:
        return bytes(stream.read(MOST_BYTES))


def _unlz4(data: bytes) -> bytes:
    """The legacy frame that `lz4 -l` writes: blocks, each behind its packed size; then the kernel's unpacked size."""
    import pyarrow as pa

    codec, body, left = pa.Codec("lz4_raw"), memoryview(data)[4:-4], int.from_bytes(data[-4:], "little")
    if left >= MOST_BYTES:
        raise ValueError(f"it says that it has {left} bytes")
    out = []
    while left > 0:
        size, block = int.from_bytes(body[:4], "little"), min(left, LZ4_BLOCK)
        out.append(codec.decompress(body[4 : 4 + size], decompressed_size=block, asbytes=True))
        body, left = body[4 + size :], left - block
    return b"".join(out)


Unpack = Callable[[bytes], bytes]
# The kernel's own choices (init/Kconfig), Debian's of today first.
PACKERS: tuple[tuple[str, bytes, Unpack | None], ...] = (
    ("zstd", b"\x28\xb5\x2f\xfd", _unzstd), ("lz4", b"\x02\x21\x4c\x18", _unlz4), ("gzip", b"\x1f\x8b", _ungzip),
    ("xz", b"\xfd7zXZ\0", _unxz), ("bzip2", b"BZh", _unbzip2), ("lzma", b"\x5d\0\0", _unxz),
    ("LZO", b"\x89LZO", None),
)  # fmt: skip


def release_of(image: bytes) -> str:
    """The version string of a bzImage: offset 0x20e of the setup header (Documentation/arch/x86/boot.rst)."""
    at = int.from_bytes(image[0x20E:0x210], "little") + 0x200
    return image[at : at + 128].split(b"\0")[0].decode("ascii", "replace").split(" ")[0]
