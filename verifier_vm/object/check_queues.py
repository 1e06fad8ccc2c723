# SPDX-License-Identifier: Apache-2.0
"""Checks of DSQs: created, filled, emptied, and each kept to one order (F02 to F06, F18, F32, F34)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from policy_lake.model import Finding
from verifier_vm.object.check_switches import Ways, ways_of
from verifier_vm.object.facts import Facts, Insert, builtin, dsq_text, local, user_id
from verifier_vm.object.kernel import ENQ_IMMED_BIT
from verifier_vm.object.limits import STEPS_AGAIN
from verifier_vm.object.orders import check_orders
from verifier_vm.object.record import FOUND, SOME_QUEUE, Call
from verifier_vm.object.values import leaves_of, sure_bits
from verifier_vm.situations import Situation


def check_queues(facts: Facts) -> Iterator[Finding]:
    """All checks of this file."""
    yield from _never_created(facts)
    yield from _create_ignored(facts)
    yield from _never_consumed(facts)
    yield from _not_looked_into(facts)
    yield from _builtin_ids(facts)
    yield from _two_orders(facts)
    yield from check_orders(facts)
    yield from _immediate(facts)
    yield from _destroyed(facts)


def _first_by_id(inserts: tuple[Insert, ...]) -> dict[int, Insert]:
    first: dict[int, Insert] = {}
    for insert in inserts:
        number = user_id(insert.dsq)
        if number is not None and (number not in first or insert.call.exact > first[number].call.exact):
            first[number] = insert
    return first


def _computed(inserts: tuple[Insert, ...]) -> list[Insert]:
    return [insert for insert in inserts if not isinstance(insert.dsq, int) and not builtin(insert.dsq)]


def _never_created(facts: Facts) -> Iterator[Finding]:
    created = {number for number, _ in facts.created if isinstance(number, int)}
    others = any(not isinstance(number, int) for number, _ in facts.created) or not facts.complete("init")
    advice = (
        "Create the DSQ in .init (sx_create_dsq) and pass its error on, or insert into SCX_DSQ_LOCAL or SCX_DSQ_GLOBAL."
    )
    for number, insert in _first_by_id(facts.inserts).items():
        if number in created:
            continue
        if others:
            reason = f"whether DSQ {number:#x} is created hangs on values that are not known here"
            yield facts.finding("F02", "unknown", reason, insert.call, advice)
        else:
            reason = f'DSQ {number:#x} is inserted into and never created: "non-existent DSQ" ends the policy'
            yield facts.finding("F02", "reject", reason, insert.call, advice)
    for insert in _computed(facts.inserts)[:1]:
        if not facts.created and facts.complete("init"):
            reason = "a DSQ with a computed id is inserted into, and none is ever created"
            yield facts.finding("F02", "reject", reason, insert.call, advice)
        else:
            reason = "whether every DSQ that is inserted into exists hangs on ids computed at run time"
            yield facts.finding("F02", "unknown", reason, insert.call, advice)


def _create_ignored(facts: Facts) -> Iterator[Finding]:
    returned = {leaf for ending in facts.record.endings.values() for leaf in leaves_of(ending.value)}
    for _, call in facts.created:
        if call.result is not None and call.result not in facts.record.tested | returned and facts.complete(call.entry):
            reason = (
                "the result of scx_bpf_create_dsq is ignored: if it fails, every insert into that DSQ ends the policy"
            )
            finding = facts.finding("F02", "suspicion", reason, call, "Return its error from .init.")
            yield replace(finding, situations=(Situation.NO_MEMORY,))  # nothing else makes it fail
            return


def _never_consumed(facts: Facts) -> Iterator[Finding]:
    taken = {number for number, _ in facts.consumed if isinstance(number, int)}
    others = any(not isinstance(number, int) for number, _ in facts.consumed)
    partly = bool(facts.record.incomplete)
    advice = "Take tasks from it in .dispatch (sx_move_to_local)."
    for number, insert in _first_by_id(facts.inserts).items():
        if number in taken:
            continue
        if others or partly:
            reason = f"whether DSQ {number:#x} is ever consumed hangs on ids computed at run time"
            yield facts.finding("F03", "unknown", reason, insert.call, advice)
        else:
            missing = "" if facts.has("dispatch") else ", for there is no .dispatch"
            reason = f"DSQ {number:#x} is never consumed{missing}: whoever waits there never runs again"
            yield facts.finding("F03", "reject", reason, insert.call, advice)
    for insert in _computed(facts.inserts)[:1]:
        if not facts.consumed and not partly and facts.created:
            reason = "DSQs with computed ids are never consumed: whoever waits there never runs again"
            yield facts.finding("F03", "reject", reason, insert.call, advice)
        else:
            reason = "whether every DSQ is consumed hangs on ids computed at run time"
            yield facts.finding("F03", "unknown", reason, insert.call, advice)


def _not_looked_into(facts: Facts) -> Iterator[Finding]:
    """A queue that dispatch passes by at times though another was empty: whether any CPU takes the other path, and so
    whether anybody ever empties that queue, is not known here."""
    ways = {ending.path.looked for ending in facts.record.endings.values() if ending.entry == "dispatch"}
    others = any(insert.call.entry == "dispatch" or insert.moved for insert in facts.inserts)
    if others or not facts.complete("dispatch") or any(SOME_QUEUE in looked for looked in ways):
        return
    gave_up = [looked for looked in ways if looked and FOUND not in looked]
    conditions: dict[int, Ways] = {}
    for number, insert in _first_by_id(facts.inserts).items():
        if any(number in looked for looked in ways) and not all(number in looked for looked in gave_up):
            conditions = conditions or _conditions(facts)
            where = _where_it_is_left_out(facts, number, conditions)
            condition = f"by the condition at {where}" if where else "on a condition unknown here"
            reason = f"dispatch can find nothing and not have looked into DSQ {number:#x}, {condition}"
            advice = "Let every CPU look into every queue before it idles, or be sure that one always does."
            yield facts.finding("F03", "suspicion", reason, insert.call, advice)


def _where_it_is_left_out(facts: Facts, queue: int, conditions: Mapping[int, Ways]) -> str:
    """The condition of dispatch of which one way passes a queue by that some path on the other looks into; empty where
    none is found. One that alone decides comes before those that others follow, which may be right as they are."""
    passing = [
        pc for pc, ways in conditions.items() if any(queue in ways.passed_by(jumps=jumps) for jumps in (True, False))
    ]
    pc = next((pc for pc in passing if conditions[pc].decides(queue)), passing[0] if passing else None)
    return "" if pc is None else facts.place("dispatch", facts.program.line_of(pc), pc)


def _conditions(facts: Facts) -> dict[int, Ways]:
    """What hangs on each condition of dispatch, by pc; of the first alone where walking them all is too much."""
    found, steps = dict[int, Ways](), 0
    for pc in sorted(facts.record.tests):
        if steps > STEPS_AGAIN:
            break
        found[pc] = ways_of(facts, pc)
        steps += found[pc].steps
    return found


def _once(calls: list[Call]) -> Iterator[Call]:
    pcs: set[int] = set()
    for call in calls:
        if call.pc not in pcs:
            pcs.add(call.pc)
            yield call


def _builtin_ids(facts: Facts) -> Iterator[Finding]:
    for call in _once([call for number, call in facts.created if builtin(number)]):
        reason = f"{dsq_text(call.args[0])} is a built-in DSQ: creating it fails with -EINVAL"
        yield facts.finding("F04", "reject", reason, call, "Ids of own DSQs are any number without bit 63.")
    for call in _once([call for number, call in facts.consumed if builtin(number)]):
        reason = (
            f"{dsq_text(call.args[0])} is a built-in DSQ, which the kernel empties itself: moving from it is an error"
        )
        yield facts.finding("F04", "reject", reason, call, "Move only from DSQs that the policy created.")
    for call in _once([insert.call for insert in facts.inserts if insert.vtime is not None and builtin(insert.dsq)]):
        reason = 'an insert by vtime into a built-in DSQ: "cannot use vtime ordering for built-in DSQs" ends the policy'
        advice = "Create a DSQ of the policy's own for ordered tasks, or use sx_insert."
        yield facts.finding("F05", "reject", reason, call, advice)


def _two_orders(facts: Facts) -> Iterator[Finding]:
    ordered = _first_by_id(tuple(i for i in facts.inserts if i.vtime is not None))
    appended = _first_by_id(tuple(i for i in facts.inserts if i.vtime is None))
    advice = "Use one kind of insert for each DSQ."
    for number in sorted(ordered.keys() & appended.keys()):
        call = appended[number].call if ordered[number].call.exact else ordered[number].call
        reason = (
            f"DSQ {number:#x} is given both ordered and appended tasks: the first of the other kind ends the policy"
        )
        yield facts.finding("F06", "reject", reason, call, advice)
    computed = _computed(facts.inserts)
    kinds = {i.vtime is None for i in computed} | ({False} if ordered else set()) | ({True} if appended else set())
    if computed and len(kinds) == 2:
        reason = "whether one DSQ is given both ordered and appended tasks hangs on ids computed at run time"
        yield facts.finding("F06", "unknown", reason, computed[0].call, advice)


def _immediate(facts: Facts) -> Iterator[Finding]:
    for insert in facts.inserts:
        if sure_bits(insert.flags) & ENQ_IMMED_BIT and isinstance(insert.dsq, int) and not local(insert.dsq):
            reason = (
                f'SCX_ENQ_IMMED on {dsq_text(insert.dsq)}, which is no CPU\'s own: "SCX_ENQ_IMMED on a non-local DSQ"'
            )
            yield facts.finding("F32", "reject", reason, insert.call, "Use the flag with SCX_DSQ_LOCAL only.")
            return


def _made_once(facts: Facts, number: int) -> bool:
    """Whether a queue is made when the policy comes and never again."""
    return all(call.entry == "init" for made, call in facts.created if made == number or not isinstance(made, int))


def _destroyed(facts: Facts) -> Iterator[Finding]:
    inserted = _first_by_id(facts.inserts)
    advice = "Do not destroy DSQs: the kernel frees them when the policy goes."
    for call in _once(facts.record.by_name("scx_bpf_destroy_dsq")):
        number = call.args[0]
        if call.entry == "exit":
            yield facts.finding(
                "F34", "note", "a DSQ is destroyed in .exit, which the kernel does by itself", call, advice=advice
            )
        elif isinstance(number, int) and number in inserted and _made_once(facts, number):
            reason = f"DSQ {number:#x} is destroyed in .{call.entry} while tasks are inserted into it elsewhere"
            yield facts.finding("F34", "reject", reason, call, advice)
        else:
            reason = "a DSQ is destroyed while the policy runs, and may still be inserted into"
            yield facts.finding("F34", "unknown", reason, call, advice)
