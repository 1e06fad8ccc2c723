# SPDX-License-Identifier: Apache-2.0
"""What is too large names its size, the limit and what to change; what is no whole BPF object is bad input."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gate_events import changed, events, verdict
from object_cases import object_bytes

from policy_lake.errors import InputError
from tasks.trial.parts import read_linked, read_part
from verifier_vm.judge.too_large import map_too_large
from verifier_vm.object.analyse import ADVICE, analyse_object
from verifier_vm.object.program import read_program

OBJECT = object_bytes("paths")
NAME = "by_pid"
MAP = read_program(OBJECT).maps[NAME]
REFUSED = "libbpf: map '%s': failed to create: %s\nlibbpf: failed to load object 'policy.bpf.o'"


def test_a_map_without_memory_names_its_size_the_guests_and_what_to_lower():
    log = "libbpf: Error in bpf_create_map_xattr(x):Cannot allocate memory(-12). Retrying without BTF.\n"
    why, cause = map_too_large(log + REFUSED % (NAME, "Cannot allocate memory(-12)"), OBJECT, 512)
    assert f"map '{NAME}'" in why and f"{MAP.max_entries} entries" in why and "512 MiB" in why
    assert cause.bug == "size" and "max_entries" in cause.advice and NAME in cause.advice
    assert str(MAP.key_size + MAP.value_size) in why and MAP.value_size > 0


def test_a_map_whose_elements_are_too_large_is_not_told_of_the_watchdog():
    why, cause = map_too_large(REFUSED % (NAME, "Argument list too long(-7)"), OBJECT, 512)
    assert "4 MiB" in why and "timeout" not in cause.advice
    other, _ = map_too_large(REFUSED % ("gone", "Cannot allocate memory(-12)"), b"no object", 256)
    assert "'gone'" in other and "256 MiB" in other


@pytest.mark.parametrize("log", ["", REFUSED % (NAME, "Invalid argument(-22)"), "Cannot allocate memory(-12)"])
def test_another_refusal_is_not_one_of_size(log):
    assert map_too_large(log, OBJECT, 512) is None


def test_the_kernel_stage_says_so():
    made = events("accepted")
    refused = changed("attach", "log", REFUSED % ("big", "Cannot allocate memory(-12)"), made)
    refused = changed("attach", "ok", False, changed("attach", "phase", "load", refused))
    rejection = verdict(refused).rejection
    assert (rejection.stage, rejection.bug) == ("kernel", "size") and "'big'" in rejection.reason


def with_bss(size):
    """The object with a .bss of that size."""
    data = bytearray(OBJECT)
    at, width, count, names = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    texts = struct.unpack_from("<Q", data, at + names * width + 24)[0]
    for index in range(count):
        name = struct.unpack_from("<I", data, at + index * width)[0]
        if data[texts + name :].startswith(b".bss\0"):
            struct.pack_into("<Q", data, at + index * width + 32, size)
    return bytes(data)


def test_globals_that_are_too_large_say_how_large_and_what_to_change(tmp_path: Path):
    stage = analyse_object(with_bss(1 << 30))
    (finding,) = stage.findings
    assert finding.bug == "size" and "1024 MiB" in finding.reason and "128 MiB" in finding.reason
    assert finding.advice == ADVICE["size"] and "clang" not in finding.advice
    path = tmp_path / "large.bpf.o"
    path.write_bytes(with_bss(1 << 30))
    assert read_part(path).data, "it is an object: the stage rejects it"


@pytest.mark.parametrize(("data", "why"), [
    (OBJECT[:3000], "truncated"), (OBJECT[:-1], "truncated"),
    (OBJECT[:18] + b"\x3e\0" + OBJECT[20:], "not a relocatable for BPF"),
    (OBJECT[:4] + b"\1" + OBJECT[5:], "64-bit"), (b"\x7fELF", "no ELF"),
])  # fmt: skip
def test_what_is_no_whole_object_is_bad_input_in_one_line(tmp_path: Path, data: bytes, why: str):
    path = tmp_path / "mine.bpf.o"
    path.write_bytes(data)
    for read in (lambda: read_part(path), lambda: read_linked([path])):
        with pytest.raises(InputError, match=why) as told:
            read()
        assert str(path) in str(told.value) and "\n" not in str(told.value)
