# SPDX-License-Identifier: Apache-2.0
"""The parts below the walk: ELF held against pyelftools, BTF, instructions, values, and what branches tell."""

from __future__ import annotations

import io

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from hypothesis import given
from hypothesis import strategies as st
from object_cases import BAD, GOOD, object_bytes

from verifier_vm.object import branch, kernel
from verifier_vm.object.btf import Btf
from verifier_vm.object.decode import decode
from verifier_vm.object.elf import read_elf
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.facts import builtin, dsq_text, local, local_on, user_id
from verifier_vm.object.program import read_program
from verifier_vm.object.state import State
from verifier_vm.object.values import MASK, Values, signed, sure_bits

WORD = st.integers(0, MASK)


@pytest.mark.parametrize("name", [*GOOD, *BAD, "paths"])
def test_the_elf_reader_agrees_with_pyelftools(name):
    data = object_bytes(name)
    ours, theirs = read_elf(data), ELFFile(io.BytesIO(data))
    assert [(s.name, s.size) for s in ours.sections] == [(s.name, s["sh_size"]) for s in theirs.iter_sections()]
    symbols = theirs.get_section_by_name(".symtab")
    assert [(s.value, s.size) for s in ours.symbols] == [(s["st_value"], s["st_size"]) for s in symbols.iter_symbols()]
    named = {s.name for s in symbols.iter_symbols() if s.name}
    assert named <= {s.name for s in ours.symbols}
    for section in theirs.iter_sections():
        if isinstance(section, RelocationSection) and ".BTF" not in section.name:
            expected = {r["r_offset"]: r["r_info_type"] for r in section.iter_relocations()}
            found = ours.relocations.get(section["sh_info"], {})
            assert {offset: kind for offset, (kind, _) in found.items()} == expected


def test_btf_finds_fields_by_access_string():
    btf = read_program(object_bytes("vtime")).btf
    task = btf.find("task_struct", 4)
    members = [m.name for m in btf.members(task)]
    scx = members.index("scx")
    inner = [m.name for m in btf.members(btf.members(task)[scx].type_id)].index("dsq_vtime")
    path, offset = btf.access(task, f"0:{scx}:{inner}")
    assert path == "scx.dsq_vtime" and offset > 0
    assert btf.access(task, "0:99999") is None and btf.access(task, "0:x") is None and btf.access(task, "") is None


def test_a_chain_of_types_that_goes_in_a_circle_ends():
    def typed(kind, value):
        return (0).to_bytes(4, "little") + (kind << 24).to_bytes(4, "little") + value.to_bytes(4, "little")

    types = typed(8, 2) + typed(10, 1) + typed(3, 0) + (3).to_bytes(4, "little") * 3  # typedef, const, array of itself
    header = (
        (0xEB9F).to_bytes(2, "little")
        + b"\1\0"
        + b"".join(x.to_bytes(4, "little") for x in (24, 0, len(types), len(types), 1))
    )
    btf = Btf(header + types + b"\0")
    assert btf.resolve(1) == 0 and btf.size(1) == 0 and btf.size(3) == 0


@pytest.mark.parametrize(
    "damaged", [b"", b"\0" * 40, (0xEB9F).to_bytes(2, "little") + b"\1\0" + (24).to_bytes(4, "little") + b"\xff" * 16]
)
def test_btf_that_is_none_is_an_object_error(damaged):
    with pytest.raises(ObjectError, match="BTF"):
        Btf(damaged)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"\x95" + bytes(6), "whole number"),
        (b"\x18" + bytes(7), "middle of a 64-bit load"),
        (b"\xb7\x0b" + bytes(6), "register"),
        (b"\x18" + bytes(7) + b"\x95" + bytes(7), "broken 64-bit load"),
    ],
)
def test_instructions_that_make_no_sense_are_an_object_error(code, words):
    with pytest.raises(ObjectError, match=words):
        decode(code, "here")


def test_a_64_bit_load_takes_two_slots():
    data = b"\x18\x01" + bytes(2) + b"\x02\0\0\0" + bytes(4) + b"\0\0\0\x80"
    first, second = decode(data, "here")
    assert second is None and first.dst == 1 and first.imm == kernel.DSQ_LOCAL


@pytest.mark.parametrize(
    ("extern", "name", "there"),
    [
        ("scx_bpf_dsq_insert___v2___sx", "scx_bpf_dsq_insert", True),
        ("scx_bpf_dsq_insert___v2___compat", "scx_bpf_dsq_insert", True),
        ("__scx_bpf_dsq_insert_vtime___sx", "__scx_bpf_dsq_insert_vtime", True),
        ("scx_bpf_dsq_move_to_local", "scx_bpf_dsq_move_to_local", True),
        ("scx_bpf_consume___sx", "scx_bpf_consume", False),
        ("scx_bpf_dispatch___compat", "scx_bpf_dispatch", False),
        ("bpf_task_from_pid", "bpf_task_from_pid", True),
    ],
)
def test_names_of_kfuncs_without_their_generation(extern, name, there):
    assert kernel.kernel_name(extern) == name and kernel.exists(extern) is there


def test_which_dsq_an_id_is():
    values = Values()
    cpu = values.make("ret", ("scx_bpf_task_cpu", 1))
    on_cpu = values.compute("or", cpu, kernel.DSQ_LOCAL_ON, wide=True)
    assert local_on(on_cpu) and local(on_cpu) and builtin(on_cpu) and user_id(on_cpu) is None
    assert dsq_text(on_cpu) == "SCX_DSQ_LOCAL_ON|cpu" and dsq_text(kernel.DSQ_LOCAL_ON | 3) == "SCX_DSQ_LOCAL_ON|3"
    assert local(kernel.DSQ_LOCAL) and not local(kernel.DSQ_GLOBAL) and builtin(kernel.DSQ_GLOBAL)
    assert user_id(7) == 7 and not builtin(cpu) and dsq_text(cpu) == "one computed at run time"


@given(WORD, WORD, st.booleans())
def test_numbers_are_computed_as_bpf_does(a, b, wide):
    values, width = Values(), 64 if wide else 32
    a, b = (a, b) if wide else (a & 0xFFFFFFFF, b & 0xFFFFFFFF)
    top = (1 << width) - 1
    assert values.compute("add", a, b, wide=wide) == (a + b) & top
    assert values.compute("sub", a, b, wide=wide) == (a - b) & top
    assert values.compute("div", a, b, wide=wide) == (a // b if b else 0)
    assert values.compute("mod", a, b, wide=wide) == (a % b if b else a)
    assert values.compute("lsh", a, b, wide=wide) == a << (b & width - 1) & top
    assert values.compute("arsh", a, b, wide=wide) == signed(a, width) >> (b & width - 1) & top


@given(WORD, WORD)
def test_bits_that_are_sure_are_in_every_value(known, unknown):
    values = Values()
    leaf = values.make("any", "x")
    made = values.compute("or", leaf, known, wide=True)
    assert sure_bits(made) & ~(known | unknown) == 0 and sure_bits(made) == known


OPS = sorted(branch.OPPOSITE)


@given(
    st.lists(st.tuples(st.sampled_from(OPS), WORD | st.integers(0, 4), st.booleans()), max_size=6),
    WORD | st.integers(0, 4),
)
def test_what_branches_tell_never_rules_out_what_is_so(tests, truth):
    """Whatever was compared with what: the path that the true value takes is never called impossible."""
    values = Values()
    state, leaf = State(0, [None] * 11), values.make("arg", "x")
    for op, number, wide in tests:
        asked = leaf if wide else values.low(leaf)
        operand = number if wide else number & 0xFFFFFFFF
        held = truth if wide else truth & 0xFFFFFFFF
        taken = branch.assume(State(0, [None] * 11), op, held, operand, wide=wide)
        assert branch.assume(state, op if taken else branch.OPPOSITE[op], asked, operand, wide=wide)


@given(st.sampled_from(OPS), WORD, st.booleans())
def test_a_branch_and_its_opposite_are_not_both_open_the_second_time(op, number, wide):
    values = Values()
    state, leaf = State(0, [None] * 11), values.make("arg", "x")
    asked, number = (leaf, number) if wide else (values.low(leaf), number & 0xFFFFFFFF)
    if branch.assume(state, op, asked, number, wide=wide):
        assert not branch.assume(state, branch.OPPOSITE[op], asked, number, wide=wide)
