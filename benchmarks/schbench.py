# SPDX-License-Identifier: Apache-2.0
"""A real schbench in place of our own: whether a file can be one, its options, and its output under our names.

Its output as of commit 24e32b8 (December 2025): blocks of text on stderr, the last of which counts, or JSON by `-j -`.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.descriptor import Binary, Workload
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.limits import BINARY_BYTES, LONGEST_LINE, OUTPUT_BYTES
from policy_lake.printed import last_object, number

_ELF64_LITTLE = b"\x7fELF\x02\x01"
_EXEC, _DYN, _X86_64 = 2, 3, 62
_PT_INTERP = 3

# Section of the text: (our prefix, our suffix, the percentiles that must be there by our names).
_LATENCY = {"50.0": "p50", "90.0": "p90", "99.0": "p99", "99.9": "p999"}
_RATE = {"20.0": "p20", "50.0": "p50", "90.0": "p90"}
_SECTIONS = {
    "Wakeup Latencies percentiles (usec)": ("wakeup", "_us", _LATENCY),
    "Request Latencies percentiles (usec)": ("request", "_us", _LATENCY),
    "RPS percentiles (requests)": ("rps", "", _RATE),
}
_FIRST = next(iter(_SECTIONS))
# Of a line without the blanks at its ends: those of a hostile one could be taken in many ways.
_PERCENTILE = re.compile(r"(?:\* *)?(\d{1,3}\.\d)th: {1,40}(\S+)", re.ASCII)
_ENDS = re.compile(r"min=(\S+), max=(\S+)")
_AVERAGE = re.compile(r"average rps: (\S+)")
_DELAY = re.compile(r"sched delay: message (\S+) \(usec\) worker (\S+) \(usec\)")


def read_binary(path: Path) -> Binary:
    """The user's binary; InputError naming the path unless it is a static x86-64 ELF program, as the guest needs it."""
    data = read_outside(path, BINARY_BYTES)
    if wrong := _not_static(data):
        raise InputError(f"{path}: {wrong}; the guest needs a static x86-64 program (build schbench with -static)")
    return Binary(str(path), hashlib.sha256(data).hexdigest())


def real_arguments(args: Sequence[str]) -> tuple[str, ...]:
    """Our program's arguments as schbench takes them: those that it has, whole seconds of run time, rounded up."""
    kept: list[str] = []
    rest = iter(args)
    for option in rest:
        if option in ("--seed", "--user-ps", "--spread"):
            next(rest, None)
        elif option == "--runtime-ms":
            kept += ["-r", str(-(-int(next(rest, "1")) // 1000))]
        else:
            kept.append(option)
    return tuple(kept)


def result_of(workload: Workload, out: str, err: str, *, where: str) -> Mapping[str, Any]:
    """What a run of the workload's program, or of the user's binary, said last; InputError if it cannot be read."""
    if workload.binary:
        return read_output(out, err, where=f"{where}, output of {workload.binary.path}")
    return last_object(out, where=where, error=InputError)


def read_output(out: str, err: str, *, where: str) -> dict[str, float]:
    """schbench's figures under our names (`request_p99_us`, `rps`, …), from its JSON if it printed any, else its text.

    InputError naming `where` and the field that is missing or no number, as in the output of another version.
    """
    printed = _json_object(out)
    if printed is not None:
        return _from_json(printed, where)
    text = err if _FIRST in err else out + err
    if len(text) > OUTPUT_BYTES:
        raise InputError(f"{where}: more than {OUTPUT_BYTES >> 20} MiB of text")
    return _from_text(text, where)


def _json_object(out: str) -> Mapping[str, Any] | None:
    for text in (out[:OUTPUT_BYTES], out[-OUTPUT_BYTES:].rstrip().rpartition("\n")[2]):
        try:
            printed = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(printed, dict):
            return printed
    return None


def _from_json(printed: Mapping[str, Any], where: str) -> dict[str, float]:
    inner = printed.get("int")
    if not isinstance(inner, Mapping):
        raise InputError(f"{where}: field 'int' is missing: JSON of another version of schbench")
    metrics = {}
    for prefix, suffix, percentiles in _SECTIONS.values():
        stem = prefix if prefix == "rps" else f"{prefix}_latency"
        for percent, name in percentiles.items():
            field = f"{stem}_pct{percent}"
            if field not in inner:
                raise InputError(f"{where}: field 'int' has no '{field}': JSON of another version of schbench")
            metrics[f"{prefix}_{name}{suffix}"] = _number(inner[field], field, where)
        for end in ("min", "max"):
            if f"{stem}_{end}" in inner:
                metrics[f"{prefix}_{end}{suffix}"] = _number(inner[f"{stem}_{end}"], f"{stem}_{end}", where)
    return metrics


def _from_text(text: str, where: str) -> dict[str, float]:
    start = text.rfind(_FIRST)
    if start < 0:
        raise InputError(f"{where}: no '{_FIRST}': not schbench, or another version of it")
    if not text.endswith("\n"):
        raise InputError(f"{where}: ends in the middle of a line, {text.splitlines()[-1]!r:.60}")
    metrics: dict[str, float] = {}
    sections: set[str] = set()
    section = ""
    for line in text[start:].splitlines():
        section = next((title for title in _SECTIONS if line.startswith(title)), section)
        sections.add(section)
        metrics |= _line(line.strip()[:LONGEST_LINE], section, where)
    for title, (prefix, suffix, percentiles) in _SECTIONS.items():
        if title not in sections:
            raise InputError(f"{where}: the last block has no '{title}': cut short, or another version of schbench")
        for percent, name in percentiles.items():
            if f"{prefix}_{name}{suffix}" not in metrics:
                raise InputError(f"{where}: the last block has no {percent}th under '{title}'")
    return metrics


def _line(line: str, section: str, where: str) -> dict[str, float]:
    prefix, suffix, percentiles = _SECTIONS[section]
    if match := _PERCENTILE.match(line):
        name = percentiles.get(match[1])
        return {f"{prefix}_{name}{suffix}": _number(match[2], f"{match[1]}th", where)} if name else {}
    if match := _ENDS.match(line):
        ends = zip(("min", "max"), match.groups(), strict=True)
        return {f"{prefix}_{end}{suffix}": _number(value, end, where) for end, value in ends}
    if match := _AVERAGE.match(line):
        return {"rps": _number(match[1], "average rps", where)}
    if match := _DELAY.match(line):
        delays = zip(("message", "worker"), match.groups(), strict=True)
        return {f"{who}_delay_us": _number(value, "sched delay", where) for who, value in delays}
    return {}


def _number(value: object, field: str, where: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise InputError(f"{where}: field '{field}' is no number but {value!r:.40}") from None
    # `number` takes a dot in a name for a field within a field.
    return number({"value": value}, "value", where=f"{where}, '{field}'", error=InputError)


def _not_static(data: bytes) -> str:
    """Why `data` is not a static ELF program for x86-64 (System V ABI, figures 4-3 and 5-1); empty if it is one."""
    if data[:6] != _ELF64_LITTLE or len(data) < 64:
        return "not a 64-bit ELF file"
    kind, machine = struct.unpack_from("<HH", data, 16)
    headers_at, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    if machine != _X86_64:
        return f"an ELF file for another machine ({machine})"
    if kind not in (_EXEC, _DYN) or size < 56 or headers_at + size * count > len(data):
        return "not an ELF program, or cut short"
    types = [struct.unpack_from("<I", data, headers_at + size * index)[0] for index in range(count)]
    return "dynamically linked" if _PT_INTERP in types else ""
