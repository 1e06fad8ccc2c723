# SPDX-License-Identifier: Apache-2.0
"""The knobs that an object has, by its own BTF: types, but neither meaning nor documented range."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from policy_lake.model import Knob
from verifier_vm.object.btf import ARRAY, ENUM, ENUM64, INT, Btf
from verifier_vm.object.filled import Constant, constants, is_resizable
from verifier_vm.object.ops import MOST_CPUS
from verifier_vm.object.program import read_program

COMM_BYTES = 15  # TASK_COMM_LEN less the zero at its end
SIGNED = 1  # of a BTF integer's encoding, which stands in bits 24 to 27 (Documentation/bpf/btf.rst)


def read_knobs(data: bytes) -> tuple[Knob, ...]:
    """What can be set in an ELF object's .rodata and .rodata.NAME, in order; ObjectError when it is no object."""
    program = read_program(data)
    knobs = (_knob_of(program.btf, constant) for constant in constants(program))
    return tuple(knob for knob in knobs if knob is not None)


def _knob_of(btf: Btf, constant: Constant) -> Knob | None:
    knob = _knob(btf, constant.name, constant.type_id)
    if knob is not None and knob.kind == "ints" and is_resizable(btf, constant.section, constant.name):
        return replace(knob, count=MOST_CPUS)
    return knob


def _knob(btf: Btf, name: str, type_id: int) -> Knob | None:
    dims: list[int] = []
    type_id = btf.resolve(type_id)
    while btf.get(type_id).kind == ARRAY and len(dims) < 3:
        element, count = btf.array(type_id)
        dims.append(count)
        type_id = btf.resolve(element)
    c_type = _c_type(btf, type_id)
    is_char = c_type == "char"
    if not c_type or not all(dims) or len(dims) > (2 if is_char else 1):
        return None
    kind: Literal["int", "bool", "names", "ints"] = "bool" if c_type == "bool" else "int"
    if dims:
        kind = "names" if is_char else "ints"
    count = dims[0] if dims and (kind == "ints" or len(dims) > 1) else 1
    name_bytes = min(COMM_BYTES, dims[-1] - 1) if kind == "names" else COMM_BYTES
    return Knob(name, kind, "", "", count=count, c_type=c_type, name_bytes=name_bytes)


def _c_type(btf: Btf, type_id: int) -> str:
    """As policy_lake/knobs.py names types; empty for one that no word can set."""
    type_ = btf.get(type_id)
    if type_.kind not in (INT, ENUM, ENUM64) or type_.value not in (1, 2, 4, 8):
        return ""
    if type_.kind != INT:
        return f"{'s' if type_.flag else 'u'}{8 * type_.value}"  # of an enum, the flag says that it is signed
    if btf.is_bool(type_id):
        return "bool"
    if type_.name == "char":
        return "char"
    return f"{'s' if btf.encoding(type_id) & SIGNED else 'u'}{8 * type_.value}"
