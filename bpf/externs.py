# SPDX-License-Identifier: Apache-2.0
"""Kernel functions that an object calls and has no type of: libbpf refuses to load it.

clang (19) writes the type of an extern where it emits a call, or at the end for those that this source itself declared.
One that a precompiled header declares and only a cleanup attribute calls, as `bpf_for` calls bpf_iter_num_destroy, gets
none.
"""

from __future__ import annotations

from verifier_vm.object.btf import read_layout
from verifier_vm.object.elf import read_elf
from verifier_vm.object.errors import ObjectError


def without_type(data: bytes) -> list[str]:
    """The names of undefined symbols that the object's BTF does not know; empty for an object without either."""
    try:
        elf = read_elf(data)
        btf = elf.named(".BTF")
        strings = btf.data[read_layout(btf.data).strings] if btf else b""
    except ObjectError:
        return []  # whoever reads the object next says what is wrong with it
    known = {text.decode(errors="replace") for text in strings.split(b"\0")}
    return sorted({symbol.name for symbol in elf.symbols if symbol.undefined and symbol.name} - known)
