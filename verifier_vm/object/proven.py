# SPDX-License-Identifier: Apache-2.0
"""What an object is proven not to do: bugs that a stall cannot be, whatever it looks like.

Nothing is proven of an object that was not walked to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verifier_vm.object.analyse import OURS, read_facts
from verifier_vm.object.check_slices import check_slices, sets_slices
from verifier_vm.object.errors import ObjectError
from verifier_vm.object.facts import Facts, builtin, place_of
from verifier_vm.object.filled import MIRROR, constants
from verifier_vm.object.kernel import BUILTIN_IDLE, MOVES, NEED_NOT_COME
from verifier_vm.object.orders import queues_with_a_head
from verifier_vm.object.program import read_program
from verifier_vm.object.record import FOUND, SOME_QUEUE
from verifier_vm.object.values import sure_bits

ITER_REV = 1 << 16  # SCX_DSQ_ITER_REV
SHORT_SLICE_NS = 100_000_000  # twenty of them end before the suite takes anybody for stuck


@dataclass(frozen=True, slots=True)
class Proven:
    """Bugs that it has not; ids of shared queues into whose head it may insert, and that it takes from `backwards`; and
    whether it keeps tasks in no queue until dispatch inserts them; whether it may claim idle CPUs, so that one can be
    lost.
    """

    refuted: frozenset[str] = frozenset()
    at_head: frozenset[int] = frozenset()
    backwards: frozenset[int] = frozenset()
    keeps: bool = False
    claims: bool = True


NOTHING = Proven()


def proven_of(data: bytes, arguments: Sequence[str] = ()) -> Proven:
    """What is proven of an object with its loader's words; nothing of one that cannot be read.

    Constants that a loader takes from the kernel are anything here.
    """
    try:
        mirrors = {one.name for one in constants(read_program(data)) if MIRROR.fullmatch(one.name)}
        facts = read_facts(data, arguments, unknown=mirrors)
        at_head = frozenset[int]() if mirrors else queues_with_a_head(facts)
        return Proven(frozenset(_refuted(facts)), at_head, frozenset(_backwards(facts)), _keeps(facts), _claims(facts))
    except (ObjectError, *OURS):
        return NOTHING


def _backwards(facts: Facts) -> Iterator[int]:
    """Queues that an iterator goes through from the last to the first, where tasks are moved by one."""
    if not facts.record.by_name(*MOVES):
        return
    for call in facts.record.by_name("bpf_iter_scx_dsq_new"):
        if sure_bits(call.args[2]) & ITER_REV:
            yield call.args[1] if isinstance(call.args[1], int) else SOME_QUEUE


def _keeps(facts: Facts) -> bool:
    return any(insert.call.entry == "dispatch" and not insert.moved for insert in facts.inserts)


def _claims(facts: Facts) -> bool:
    """Whether it asks the kernel for an idle CPU, or a callback writes where its update_idle does, or may do so."""
    if facts.record.incomplete or facts.record.by_name(*BUILTIN_IDLE):
        return True
    writes = facts.record.writes.values()
    marks = {place_of(one.base, one.offset) for one in writes if one.entry == "update_idle"}
    others = NEED_NOT_COME | {"update_idle"}
    taken = {place_of(one.base, one.offset) for one in writes if one.entry not in others and one.member == ""}
    return bool(marks and taken) and (None in marks | taken or bool(marks & taken))


def _refuted(facts: Facts) -> Iterator[str]:
    if facts.record.incomplete:
        return
    if _slices_are_short(facts) and not any(finding.bug == "F36" for finding in check_slices(facts)):
        yield "F19"
    if not _inserts_always(facts):
        return
    yield "F01"
    queues = _queues(facts)
    if queues is None:
        return
    if all(queues <= looked or FOUND in looked for looked in _ways(facts)):
        yield "F13"
    if all(queues <= looked for looked in _ways(facts)):
        yield "F03"
    if not any(insert.vtime is not None for insert in facts.inserts):
        yield from ("F14", "F15")
        if not queues_with_a_head(facts) and not list(_backwards(facts)):
            yield "F18"
    if len(queues) == 1 and not any(builtin(insert.dsq) for insert in facts.inserts):
        yield "F43"


def _slices_are_short(facts: Facts) -> bool:
    given = [insert.slice_ns for insert in facts.inserts if not insert.moved]
    short = all(isinstance(slice_ns, int) and 0 < slice_ns <= SHORT_SLICE_NS for slice_ns in given)
    return short and not sets_slices(facts)


def _inserts_always(facts: Facts) -> bool:
    """Does every path of enqueue insert its task, or end the policy? Without an enqueue the kernel does."""
    paths = [ending.path for ending in facts.record.endings.values() if ending.entry == "enqueue"]
    return not facts.has("enqueue") or bool(paths and all(path.inserted or path.ended for path in paths))


def _queues(facts: Facts) -> frozenset[int] | None:
    """The policy's own queues in which tasks may stand; None where some are not known, or tasks are moved between."""
    if facts.record.by_name(*MOVES):
        return None
    numbers = [insert.dsq for insert in facts.inserts if not builtin(insert.dsq)]
    known = frozenset(number for number in numbers if isinstance(number, int))
    return known if len(known) == len(set(numbers)) else None


def _ways(facts: Facts) -> list[frozenset[int]]:
    """What each path through dispatch looked into; one that ends the policy leaves nobody waiting."""
    endings = [ending.path for ending in facts.record.endings.values() if ending.entry == "dispatch"]
    return [path.looked for path in endings if not path.ended] or [frozenset()]
