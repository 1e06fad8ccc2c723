# SPDX-License-Identifier: Apache-2.0
"""A map that the kernel does not make: how large it would be, what the limit is, what to change."""

from __future__ import annotations

import re

from verifier_vm.judge.kernel_words import Cause
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.program import Map, read_program

ENOMEM, E2BIG, MIB = 12, 7, 1 << 20
PER_CPU = (5, 6, 10, 21)  # BPF_MAP_TYPE_PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE
MOST_ELEMENT_MIB = 4  # KMALLOC_MAX_SIZE, of a hash's element (htab_map_alloc_check, kernel/bpf/hashtab.c)
_REFUSED = re.compile(r"map '(?P<name>[^']{1,64})': failed to create: [^(\n]{1,80}\(-(?P<error>\d{1,3})\)")


def map_too_large(log: str, data: bytes, memory_mib: int) -> tuple[str, Cause] | None:
    """Why libbpf could not create a map, where that is its size; `memory_mib` is the guest's. None where it is not."""
    refused = _REFUSED.search(log)
    if refused is None or int(refused["error"]) not in (ENOMEM, E2BIG):
        return None
    name, error = refused["name"], int(refused["error"])
    limit = (
        f"one of them may have {MOST_ELEMENT_MIB} MiB" if error == E2BIG else f"the guest has {memory_mib} MiB in all"
    )
    why = f"map '{name}' is too large for the kernel: {_size(name, data)}{limit}"
    advice = f"Lower max_entries of '{name}', or the size of its values"
    advice += "; a hash with BPF_F_NO_PREALLOC, or task storage, takes memory for what is in it alone."
    return why, Cause("size", advice)


def _size(name: str, data: bytes) -> str:
    try:
        found = read_program(data).maps.get(name)
    except ObjectError:
        found = None
    return f"{_told(found)}, and " if found else ""


def _told(found: Map) -> str:
    each = found.key_size + found.value_size
    for_each = " for each CPU" if found.kind in PER_CPU else ""
    return f"{found.max_entries} entries of {each} bytes are {found.max_entries * each / MIB:.0f} MiB{for_each}"
