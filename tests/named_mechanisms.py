# SPDX-License-Identifier: Apache-2.0
"""What a policy's essay names as its mechanisms beside what its C holds, and what the C holds without using it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policy_lake.model import Policy

PRIMITIVES = Path(__file__).parents[1] / "bpf/primitives"
COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
DEFINED = re.compile(r"^(?:static __always_inline [\w *]+?[ *](\w+)\(|#define (\w+)|struct (\w+) \{)", re.MULTILINE)
VARIABLES = re.compile(r"^static \w+ ([^;(]+);", re.MULTILINE)
FIELDS = re.compile(r"^\t[\w ]+?[ *](\w+);", re.MULTILINE)
KEYS = ("order", "queues", "place", "slice", "preempt", "steal", "class", "guard")


@dataclass(frozen=True, slots=True)
class Mark:
    """`sign` is in the C exactly when `key` is one of `values`; with `but` exactly when it is none of them."""

    key: str
    values: tuple[str, ...]
    sign: str
    but: bool = False

    def broken(self, named: dict[str, str], code: str) -> bool:
        return ((named.get(self.key, "none") in self.values) != self.but) != bool(re.search(self.sign, code))


MARKS = (
    Mark("preempt", ("none",), r"\bSX_(KICK|ENQ)_PREEMPT\b", but=True),
    Mark("preempt", ("earlier",), r"\bturn_put_off\b"),
    Mark("steal", ("none",), r"\bsx_steal_any\b|\bsx_longest_queue\b", but=True),
    Mark("steal", ("imbalance",), r"\bsx_longest_queue\b"),
    Mark("steal", ("empty",), r"\bvisit_every\b"),
    Mark("steal", ("overdue",), r"\boverdue_ns\b"),
    Mark("queues", ("llc",), r"\bsx_number_llcs\("),
    Mark("queues", ("cpu",), r"queues = sx_nr_cpu_ids\("),
    Mark("place", ("core",), r"\bsx_place_on_idle_core\(|\bSX_PICK_IDLE_CORE\b"),
    Mark("place", ("warm",), r"\bsx_place_on_warm_cpu\("),
    Mark("place", ("previous",), r"\bsx_place_on_prev_cpu\("),
    Mark("place", ("two",), r"\bshorter_of_two\("),
    Mark("slice", ("weight",), r"\bsx_slice_by_weight\("),
    Mark("slice", ("burst",), r"\bsx_slice_for_burst\("),
    Mark("order", ("vtime",), r"\bsx_vtime_due_in\("),
    Mark("order", ("deadline",), r"\bsx_put_off_by_weight\("),
    Mark("order", ("shortest",), r"\bsx_put_off_by_length\("),
    Mark("order", ("interactive",), r"\bsx_put_off_by_sleep\("),
    Mark("order", ("longest",), r"\bsx_put_off_short\("),
    Mark("order", ("woken",), r"\bexpired_wait_ns\b"),
    Mark("class", ("nice",), r"weight < SX_WEIGHT_NICE_0"),
    Mark("class", ("burst",), r"sx_expected_burst_ns\([^;]*> burst_ns"),
    Mark("class", ("kthread",), r"!sx_is_kthread\("),
    Mark("guard", ("short",), r"\baged_slice_ns\b"),
)


def differences(policy: Policy) -> list[str]:
    """What is named and is not there, is there and not named, or is there and not used."""
    code = COMMENTS.sub("", policy.source)
    named = dict(policy.mechanisms)
    return [
        *(f"{key} is not named" for key in KEYS if key not in named),
        *(f"{one.key}={named.get(one.key)}, and {one.sign}" for one in MARKS if one.broken(named, code)),
        *_queue(named, code), *_unused(code), *_table(policy.id, code), *_knobs(policy, code),
    ]  # fmt: skip


def _queue(named: dict[str, str], code: str) -> Iterator[str]:
    """By due time where there is an order or a class, else by arrival; one queue, or as many as a loop makes."""
    ordered = bool(re.search(r"\bsx_insert_(due|vtime)\(", code))
    if ordered == (named.get("order") == "fifo" and named.get("class", "none") == "none"):
        yield "the order of the queue is not what is named"
    loops = bool(re.search(r"bpf_for\(queue, 0, \(s32\)queues\)", code))
    if loops == (named.get("queues") == "one"):
        yield "there are other queues than named"


def _words(code: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in re.findall(r"\b[A-Za-z_]\w*", code):
        counts[word] = counts.get(word, 0) + 1
    return counts


def _unused(code: str) -> Iterator[str]:
    counts = _words(code)
    names = {name for found in DEFINED.findall(code) for name in found if name}
    for declared in VARIABLES.findall(code):
        names |= {re.match(r"\w+", part.strip())[0] for part in declared.split(",")}
    if record := re.search(r"struct task_ctx \{(.*?)\n\};", code, re.DOTALL):
        names |= set(FIELDS.findall(record[1]))
    yield from (f"{name} is not used" for name in sorted(names) if counts[name] < 2)
    for header in re.findall(r'#include "primitives/(\w+\.bpf\.h)"', code):
        gives = {n for found in DEFINED.findall((PRIMITIVES / header).read_text()) for n in found if n}
        if not any(counts.get(name) for name in gives):
            yield f"nothing of {header} is used"


def _table(name: str, code: str) -> Iterator[str]:
    """Each callback that is there is in the ops table, and the other way round."""
    there = set(re.findall(rf"SX_OP(?:_SLEEPABLE)?\({name}_(\w+)", code))
    there |= {"cpu_online", "cpu_offline"} if f"SX_COUNTS_CPUS({name})" in code else set()
    listed = set(re.findall(rf"\.(\w+) = \(void \*\){name}_\w+", code))
    yield from (f"{one} is in the table or in the C, not in both" for one in sorted(there ^ listed))


def _knobs(policy: Policy, code: str) -> Iterator[str]:
    counts = _words(code)
    yield from (f"knob {knob.name} is never read" for knob in policy.knobs if counts[knob.name] < 2)
