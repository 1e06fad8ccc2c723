# SPDX-License-Identifier: Apache-2.0
"""Broken objects: each gets an answer, and soon. Ten thousand of them: python -m verifier_vm.object.fuzz."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from object_cases import object_bytes

from verifier_vm.object import analyse, fuzz
from verifier_vm.object.elf import SHT_SYMTAB, STT_FUNC, SYMBOL, read_elf


def test_some_hundred_broken_objects_get_an_answer():
    # In a process of its own: the peak of memory is a process's.
    command = [sys.executable, "-m", "verifier_vm.object.fuzz", "--count", "308", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    summary = json.loads(done.stdout)
    assert done.returncode == 0 and summary["count"] == 308 and not summary["failures"]
    assert 200 < summary["rejected"] < 308, "the damage is either harmless or all of one kind"
    assert summary["slowest_s"] < 1 and summary["peak_mib"] < 512


def test_the_same_seed_gives_the_same_inputs():
    objects = [object_bytes("plain_subprograms")]
    first, second = (list(fuzz.inputs(objects, 28, 3)) for _ in range(2))
    assert first == second and list(fuzz.inputs(objects, 28, 4)) != first


def test_a_failure_of_the_analysis_is_counted_and_is_a_rejection(monkeypatch):
    monkeypatch.setattr(analyse, "read_ops", lambda program, _: program.functions[-1])
    summary = fuzz.fuzz([object_bytes("plain_subprograms")], 28, seed=1)
    assert summary.failed and "KeyError" in summary.failures[0]
    stage = analyse.analyse_object(object_bytes("plain_subprograms"))
    assert not stage.ok and stage.findings[0].level == "reject"


@pytest.mark.parametrize(
    "code", [b"\x05\0\xff\xff\0\0\0\0", b"\x85\x10\0\0\xff\xff\xff\xff", b"\x05\0\x7f\x7f\0\0\0\0"]
)
def test_code_that_goes_nowhere_ends(code):
    """A jump to itself, a call of itself, a jump out of the function: in place of enqueue's first instruction."""
    data = bytearray(object_bytes("plain_subprograms"))
    section = next(s for s in read_elf(bytes(data)).sections if s.name.endswith("enqueue") and s.executable)
    at = bytes(data).find(section.data)
    data[at : at + 8] = code
    stage = analyse.analyse_object(bytes(data))
    assert stage.findings and not stage.evidence.startswith(analyse.FAILED)


@pytest.mark.parametrize(("value", "size"), [(0, 7), (0, 0), (8, 1 << 40), (4, 8)])
def test_a_function_that_is_no_whole_number_of_instructions_is_rejected(value, size):
    """Found by the fuzzer: a function of less than one instruction has no flow."""
    data = bytearray(object_bytes("plain_subprograms"))
    elf = read_elf(bytes(data))
    table = next(s for s in elf.sections if s.kind == SHT_SYMTAB)
    index = next(i for i, s in enumerate(elf.symbols) if s.kind == STT_FUNC and s.name.endswith("enqueue"))
    at = bytes(data).find(table.data) + index * SYMBOL.size
    fields = SYMBOL.unpack_from(data, at)
    SYMBOL.pack_into(data, at, *fields[:4], value, size)
    stage = analyse.analyse_object(bytes(data))
    assert [f.bug for f in stage.findings if f.level == "reject"] == ["code"]
