# SPDX-License-Identifier: Apache-2.0
"""Whether somebody can read how a policy ended: what its .exit keeps of the kernel's struct scx_exit_info (F35).

It may be our record, upstream's, or any variable or map of the policy's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_lake.model import Finding
from verifier_vm.object.btf import STRUCT
from verifier_vm.object.facts import Facts
from verifier_vm.object.names import COPIES
from verifier_vm.object.record import Call, Write
from verifier_vm.object.values import Expr, Value, leaves_of, root

INFO = "scx_exit_info"
TEXTS = ("reason", "msg")  # pointers: the text has to be copied
TELLING = ("kind", *TEXTS)  # each of them tells how it ended; the code of every error is 0
ASKED = (*TELLING, "exit_code")
OWN = ("data", "element", "map", "storage")
# Calls that leave nothing behind.
PURE = frozenset(("map_lookup_elem", "task_storage_get", "cgrp_storage_get", "get_smp_processor_id", "ktime_get_ns",
                  "trace_printk", "trace_vprintk", "scx_bpf_now", "bpf_rcu_read_lock",
                  "bpf_rcu_read_unlock"))  # fmt: skip


def check_exit(facts: Facts) -> Iterator[Finding]:
    """A note where nobody can tell how the policy ended, with what is missing for that."""
    advice = "Record kind, code, reason and message in .exit (SX_EXIT_RECORD and sx_record_exit do that)."
    if not facts.has("exit"):
        yield facts.finding("F35", "note", "no .exit: nobody learns why the policy ended", None, advice)
        return
    kept = set(_kept(facts))
    if kept.intersection(TELLING) or _may_keep_more(facts):
        return
    what = f"keeps {' and '.join(f'ei->{name}' for name in sorted(kept))}, but" if kept else "keeps"
    reason = f".exit {what} none of {', '.join(f'ei->{name}' for name in TELLING)}"
    if not stores(facts, "exit"):
        reason = ".exit stores nothing"
    if not facts.complete("exit"):
        reason = f"not all of .exit could be followed; as far as it could, {reason}"
    yield facts.finding("F35", "note", f"{reason}: nobody learns why the policy ended", "exit", advice)


def stores(facts: Facts, entry: str) -> bool:
    """Does a callback leave anything behind in memory of the policy's own?"""
    if any(write.entry == entry for write in facts.record.writes.values()):
        return True
    calls = (call for call in facts.record.calls.values() if call.entry == entry and call.name not in PURE)
    return any(_is_own(value) for call in calls for value in call.args)


def _kept(facts: Facts) -> Iterator[str]:
    """The fields of scx_exit_info that .exit copies into the policy's own memory."""
    btf = facts.program.btf
    info = btf.find(INFO, STRUCT)
    names = {member.bits // 8: member.name for member in btf.members(info)} if info else {}
    for write in facts.record.writes.values():
        if write.entry == "exit":
            yield from _of_write(write, names)
    for call in facts.record.calls.values():
        if call.entry == "exit" and call.name in COPIES and _is_kept_in(call.args[0]):
            yield from _of_copy(call, names)


def _of_write(write: Write, names: dict[int, str]) -> Iterator[str]:
    for leaf in leaves_of(write.value):
        name, is_text = _field(leaf, names)
        if name in ASKED and is_text == (name in TEXTS):
            yield name


def _of_copy(call: Call, names: dict[int, str]) -> Iterator[str]:
    base, offset = root(call.args[2])
    if _is_info(base):  # one field by its address, or the whole
        size = call.args[1] if isinstance(call.args[1], int) else 1
        covered = (name for at, name in names.items() if offset <= at < offset + size)
        yield from (name for name in covered if name in ASKED and name not in TEXTS)
    elif isinstance(base, Expr):
        name, _ = _field(base, names)
        if name in TEXTS:
            yield name


def _field(leaf: Expr, names: dict[int, str]) -> tuple[str, bool]:
    """(the field of scx_exit_info that was loaded, whether it is what that points to)."""
    if leaf.op != "load" or not isinstance(leaf.key, tuple):
        return "", False
    base, _ = root(leaf.a or 0)
    if _is_info(base):
        at = leaf.key[0]
        return names.get(at, "") if isinstance(at, int) else "", False
    if isinstance(base, Expr) and base.op == "load":
        return _field(base, names)[0], True
    return "", False


def _may_keep_more(facts: Facts) -> bool:
    """Does .exit hand something to a map or a buffer, of which the walk does not say what it was?"""
    calls = facts.record.calls.values()
    others = (c for c in calls if c.entry == "exit" and c.name not in PURE and c.name not in COPIES)
    return any(_is_own(value) for call in others for value in call.args)


def _is_info(base: Value) -> bool:
    return isinstance(base, Expr) and base.op == "arg" and base.key == "info"


def _is_own(value: Value) -> bool:
    base, _ = root(value)
    return isinstance(base, Expr) and base.op in OWN


def _is_kept_in(value: Value) -> bool:
    """Whether what is copied there outlives the callback."""
    base, _ = root(value)
    return isinstance(base, Expr) and base.op != "frame"
