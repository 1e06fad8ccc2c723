# SPDX-License-Identifier: Apache-2.0
"""A short table of what was found in an object, for a person or a model to read."""

from __future__ import annotations

from verifier_vm.object.facts import Facts, dsq_text
from verifier_vm.object.values import Value

MOST_NAMES = 12


def evidence(facts: Facts) -> str:
    """Ops, which callback calls which kfunc, and the DSQs created, inserted into and consumed."""
    numbers = facts.ops.numbers
    lines = [f"ops {facts.ops.name or '(no name)'}: flags {numbers['flags']:#x}, timeout_ms {numbers['timeout_ms']}, "
             f"callbacks {' '.join(facts.ops.callbacks)}"]  # fmt: skip
    for entry in dict.fromkeys(call.entry for call in facts.record.calls.values()):
        calls = (call.name for call in facts.record.calls.values() if call.entry == entry and _is_kfunc(call.name))
        if names := sorted(set(calls)):
            lines.append(f"  {entry}: {' '.join(names[:MOST_NAMES])}{' ...' if len(names) > MOST_NAMES else ''}")
    inserted = [f"{dsq_text(i.dsq)} ({'vtime' if i.vtime is not None else 'fifo'})" for i in facts.inserts]
    created = [dsq_text(number) for number, _ in facts.created]
    consumed = [dsq_text(number) for number, _ in facts.consumed]
    lines.append(f"DSQs created: {_listed(created)}; inserted into: {_listed(inserted)}; consumed: {_listed(consumed)}")
    lines.append(f"slices: {_listed([_slice(i.slice_ns) for i in facts.inserts if i.slice_ns is not None])}")
    lines.append(f"{facts.record.steps} instructions walked")
    return "\n".join(lines)


def _is_kfunc(name: str) -> bool:
    return name.startswith(("scx_bpf_", "__scx_bpf_", "bpf_"))


def _listed(texts: list[str]) -> str:
    names = sorted(set(texts))
    return ", ".join(names[:MOST_NAMES]) + (" ..." if len(names) > MOST_NAMES else "") or "none"


def _slice(slice_ns: Value) -> str:
    return f"{slice_ns} ns" if isinstance(slice_ns, int) else "computed"
