# SPDX-License-Identifier: Apache-2.0
"""Throwing broken objects at the analyser: `python -m verifier_vm.object.fuzz --count 10000 --seed 1`.

Prints one JSON line: how many were rejected, how many made the analysis itself fail (there must be none), the slowest
in seconds of CPU time, and the peak of memory. The same seed and objects give the same inputs.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from verifier_vm.object.analyse import FAILED, analyse_object
from verifier_vm.object.elf import HEADER, REL, SECTION, read_elf
from verifier_vm.object.errors import ObjectError

OBJECTS = Path(__file__).parents[2] / "tests/golden/objects"
NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
ARGUMENTS = (
    (),
    ("slice_ns=1",),
    ("nothing=1",),
    ("=",),
    ("slice_ns=-99999999999999999999999",),
    ("ops.timeout_ms=2000",),
)
MOST_FAILURES = 20


@dataclass(slots=True)
class Summary:
    """What a run of the fuzzer saw; `failures` are inputs on which the analysis did not end as it must."""

    count: int = 0
    rejected: int = 0
    failed: int = 0
    slowest_s: float = 0.0
    peak_mib: float = 0.0
    failures: list[str] = field(default_factory=list)


def read_objects(folder: Path) -> list[bytes]:
    """The objects in a directory, as they are or compressed, by name."""
    plain = {path.name: path.read_bytes() for path in folder.glob("*.o")}
    packed = {path.name: lzma.decompress(path.read_bytes()) for path in folder.glob("*.o.xz")}
    return [data for _, data in sorted((plain | packed).items())]


def inputs(objects: list[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    """`count` broken inputs: (how it was broken, the bytes, the loader's arguments)."""
    rng = random.Random(seed)
    for index in range(count):
        damage = DAMAGES[index % len(DAMAGES)]
        data = bytearray(rng.choice(objects)) if objects else bytearray(rng.randbytes(4096))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = damage(rng, data)
        yield damage.__name__.strip("_"), bytes(data), rng.choice(ARGUMENTS)


def fuzz(objects: list[bytes], count: int, seed: int) -> Summary:
    """Analyse `count` broken objects made from `objects`."""
    summary = Summary()
    for index, (how, data, arguments) in enumerate(inputs(objects, count, seed)):
        started = time.process_time()
        try:
            stage = analyse_object(data, arguments)
            wrong = stage.evidence if stage.evidence.startswith(FAILED) else ""
            summary.rejected += not stage.ok
        except Exception as error:  # whatever it is, it is what is looked for here
            wrong = f"{type(error).__name__}: {error}"
        summary.count += 1
        summary.slowest_s = max(summary.slowest_s, round(time.process_time() - started, 3))
        if wrong:
            summary.failed += 1
            summary.failures += [f"input {index} ({how}): {wrong}"] if len(summary.failures) < MOST_FAILURES else []
    summary.peak_mib = _peak_mib()
    return summary


def _peak_mib() -> float:
    """Of this program alone: getrusage() counts whoever started it, too, up to exec (proc_pid_status(5), VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1)


def _noise(rng: random.Random, data: bytearray) -> bytearray:
    """Random bytes, some of them behind a true ELF header."""
    return bytearray(data[: rng.choice((0, 4, HEADER.size))] + rng.randbytes(rng.randrange(20_000)))


def _truncation(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _flips(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 4, 32, 256))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _header(rng: random.Random, data: bytearray) -> bytearray:
    return _overwrite(rng, data, 0, HEADER.size)


def _section_table(rng: random.Random, data: bytearray) -> bytearray:
    table, count = _table(data)
    if count:
        data = _overwrite(rng, data, table + SECTION.size * rng.randrange(count), SECTION.size)
    return data


def _types(rng: random.Random, data: bytearray) -> bytearray:
    """Counts, kinds and ids of BTF types: huge ones, ones that go in a circle."""
    for _ in range(rng.choice((1, 8, 64))):
        data = _in_section(rng, data, lambda kind, flags, name: name == ".BTF", 4, _word)
    return data


def _extra(rng: random.Random, data: bytearray) -> bytearray:
    return _in_section(rng, data, lambda kind, flags, name: name == ".BTF.ext", 4, _word)


def _links(rng: random.Random, data: bytearray) -> bytearray:
    """Relocations that name other symbols, other places, or themselves."""
    for _ in range(rng.choice((1, 8))):
        data = _in_section(rng, data, lambda kind, flags, name: kind == 9, REL.size, _relocation)
    return data


def _symbols(rng: random.Random, data: bytearray) -> bytearray:
    return _in_section(rng, data, lambda kind, flags, name: kind == 2, 8, _word)


def _code(rng: random.Random, data: bytearray) -> bytearray:
    """Instructions: other operations, jumps to anywhere near, loops of one instruction."""
    for _ in range(rng.choice((1, 4, 32))):
        data = _in_section(rng, data, lambda kind, flags, name: bool(flags & 4), 8, _instruction)
    return data


def _ops_table(rng: random.Random, data: bytearray) -> bytearray:
    return _in_section(rng, data, lambda kind, flags, name: name.startswith(".struct_ops"), 4, _word)


DAMAGES: tuple[Callable[[random.Random, bytearray], bytearray], ...] = (
    _noise, _truncation, _flips, _header, _section_table, _types, _extra, _links, _symbols, _code, _ops_table,
    _code, _types, _links)  # fmt: skip


def _word(rng: random.Random) -> bytes:
    return struct.pack(
        "<I", rng.choice((rng.choice(NUMBERS), rng.randrange(1 << 32), rng.randrange(1000))) & 0xFFFFFFFF
    )


def _relocation(rng: random.Random) -> bytes:
    kind = rng.choice((1, 2, 3, 4, 10, rng.randrange(256)))
    return REL.pack(rng.randrange(2000) * 8, rng.randrange(200) << 32 | kind)


def _instruction(rng: random.Random) -> bytes:
    code = rng.choice(
        (0x05, 0x15, 0x55, 0x85, 0x95, 0x79, 0x7B, 0x18, 0xBF, 0x07, 0x0F, 0xDB, 0xE5, rng.randrange(256))
    )
    return struct.pack(
        "<BBhi", code, rng.randrange(256), rng.randrange(-40, 40), rng.choice((-1, 0, 1, 181, 164, rng.randrange(99)))
    )


def _overwrite(rng: random.Random, data: bytearray, at: int, size: int) -> bytearray:
    width = rng.choice((1, 2, 4, 8))
    place = at + rng.randrange(size)
    data[place : place + width] = (rng.choice(NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, "little")
    return data


def _table(data: bytearray) -> tuple[int, int]:
    if len(data) < HEADER.size:
        return 0, 0
    header = HEADER.unpack_from(data)
    offset, count = header[6], header[12]
    return (offset, count) if offset + count * SECTION.size <= len(data) else (0, 0)


def _in_section(
    rng: random.Random, data: bytearray, wanted: Callable[[int, int, str], bool], step: int,
    make: Callable[[random.Random], bytes],
) -> bytearray:  # fmt: skip
    """Overwrite one unit of `step` bytes in a section that is `wanted` by kind, flags and name."""
    table, count = _table(data)
    try:
        names = [section.name for section in read_elf(bytes(data)).sections]
    except ObjectError:
        return data
    places = []
    for index in range(count):
        fields = SECTION.unpack_from(data, table + index * SECTION.size)
        if fields[5] >= step and fields[1] != 8 and wanted(fields[1], fields[2], names[index]):
            places.append((fields[4], fields[5]))
    if places:
        offset, size = rng.choice(places)
        at = offset + rng.randrange(size // step) * step
        made = make(rng)
        data[at : at + len(made)] = made
    return data


def main() -> int:
    """The command; status 1 when an input made the analysis fail."""
    parser = argparse.ArgumentParser(description="throw broken objects at the object analyser")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objects", type=Path, default=OBJECTS, help="a directory of good objects (*.o, *.o.xz)")
    options = parser.parse_args()
    objects = read_objects(options.objects)
    summary = fuzz(objects, options.count, options.seed)
    print(json.dumps({"objects": len(objects), **asdict(summary)}))
    return 1 if summary.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
