# SPDX-License-Identifier: Apache-2.0
"""Error paths of calls that say by a number that they failed: `ret = scx_bpf_create_dsq(…); if (ret) return ret;`.

A way is one if it is taken only where such a call has failed, and every way on returns what it gave, or another
negative number, or ends the policy. A function of the policy's own fails alike if all it returns is 0 and such
failures.
Where a call's number is a count, a truth value or a choice, both ways are the policy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from verifier_vm.coverage.error_paths import JUMPED, WENT_ON, Graph, called, nulls
from verifier_vm.coverage.results import (
    INT_BYTES,
    State,
    Value,
    computed,
    excluded,
    is_failure,
    is_outcome,
    joined,
    negative_way,
    nonzero_way,
)
from verifier_vm.object.btf import FUNC, FUNC_PROTO
from verifier_vm.object.decode import ATOMIC, BY_REGISTER, CALL, EXIT, JMP, JMP32, ST, STX, Instruction
from verifier_vm.object.flow import successors
from verifier_vm.object.kernel import ENDING
from verifier_vm.object.program import Program

# 0, or a negative number by failure alone.
OR_FAILED = frozenset((
    "scx_bpf_create_dsq", "map_update_elem", "map_push_elem", "timer_init", "timer_set_callback", "timer_start",
    "ringbuf_output", "probe_read", "probe_read_kernel", "get_current_comm", "bpf_wq_init", "bpf_wq_start",
    "bpf_wq_set_callback_impl", "bpf_cpumask_populate",
))  # fmt: skip
# A length or a count, or a negative number by failure alone.
COUNT_OR_FAILED = frozenset(("probe_read_str", "probe_read_kernel_str", "snprintf", "loop", "for_each_map_elem"))
MOST_STEPS = 1 << 20  # beyond them no more error paths are looked for: an object may be made to need many
RESULT = 0  # the register of what is returned


@dataclass(slots=True)
class FailedCalls:
    """The error paths of one object's functions; `known` are functions by their first pc: do they give 0 or fail?"""

    program: Program
    known: dict[int, bool] = field(default_factory=dict)
    steps: int = 0

    def ways(self, graph: Graph, name: str, null_ways: Mapping[int, int]) -> dict[int, int]:
        """By pc of a jump on such a call's result in the function `name`: its way that is an error path.

        `null_ways` are those on which a pointer is null by failure.
        """
        if not graph or not returns_number(self.program, name):
            return {}
        found = {}
        for pc, (state, _) in self._states(graph, min(graph), {}, null_ways).items():
            way, failing = self._failing_way(pc, state)
            if failing is not None and self._only_fails(graph, graph[pc][1 if way == JUMPED else 0], failing):
                found[pc] = way
        return found

    def _failing_way(self, pc: int, state: State) -> tuple[int, State | None]:
        """The way on which a call has surely failed, and what is known there; None if the jump says nothing of it."""
        instruction = self.program.code[pc]
        if instruction is None or instruction.kind not in (JMP, JMP32) or instruction.code & BY_REGISTER:
            return JUMPED, None
        value = state.get(instruction.dst)
        way = negative_way(instruction)
        if value is not None and value.kind == "call" and way is None:
            way = nonzero_way(instruction)
        if value is None or way is None or value.kind not in ("call", "count"):
            return JUMPED, None
        failed = Value("failed", value.number)
        return way, {place: failed if held == value else held for place, held in state.items()}

    def _only_fails(self, graph: Graph, start: int, state: State) -> bool:
        """Whether every way on from there returns a failure or ends the policy, and one does."""
        ends = 0
        for pc, (now, _) in self._states(graph, start, state, {}, failed=True).items():
            instruction = self.program.code[pc]
            if instruction is None:
                continue
            if instruction.code == JMP | EXIT:
                if not is_failure(now.get(RESULT)):
                    return False
                ends += 1
            ends += instruction.code == JMP | CALL and called(instruction) in ENDING
        return ends > 0

    def _states(
        self, graph: Graph, start: int, state: State, null_ways: Mapping[int, int], *, failed: bool = False
    ) -> dict[int, tuple[State, bool]]:
        """By pc reached from `start`, what places hold before it, and whether something has failed by then."""
        states: dict[int, tuple[State, bool]] = {}
        pending: list[tuple[int, State, bool]] = [(start, state, failed)]
        while pending:
            pc, now, has_failed = pending.pop()
            self.steps += 1
            if self.steps > MOST_STEPS:
                return {}
            instruction = self.program.code[pc] if pc in graph else None
            if instruction is None:
                continue
            if (before := states.get(pc)) is not None:
                both = (joined(before[0], before[1], now, has_failed), before[1] and has_failed)
                if both == before:
                    continue
                now, has_failed = both
            states[pc] = (now, has_failed)
            if instruction.code == JMP | CALL and called(instruction) in ENDING:
                continue
            after = self._after(pc, instruction, now)
            ways = list(zip(graph[pc], (WENT_ON, JUMPED), strict=False))
            if len(ways) < 2:
                pending += [(to, after, has_failed) for to, _ in ways]
                continue
            failing, in_failure = self._failing_way(pc, now)
            for to, way in ways:
                if excluded(instruction, now, way):
                    continue
                fails = in_failure is not None and way == failing
                known = in_failure if fails and in_failure is not None else after
                pending.append((to, known, has_failed or fails or null_ways.get(pc) == way))
        return states

    def _after(self, pc: int, instruction: Instruction, now: State) -> State:
        kind, dst = instruction.kind, instruction.dst
        if instruction.code == JMP | CALL:
            kept = {place: v for place, v in now.items() if (place < 0 or place > 5) and v not in _of(pc)}
            if (given := self._given(pc, instruction)) is not None:
                kept[RESULT] = given
            return kept
        if kind in (JMP, JMP32) or (kind == STX and dst != 10):
            return now
        if kind in (ST, STX):
            kept = {place: v for place, v in now.items() if place >= 0 or abs(place - instruction.off) >= 8}
            whole = kind == STX and instruction.code & 0xE0 != ATOMIC and instruction.size >= INT_BYTES
            stored, place = now.get(instruction.src) if whole else None, instruction.off
        else:
            kept = {other: v for other, v in now.items() if other != dst}
            stored, place = computed(instruction, now), dst
        return kept if stored is None else {**kept, place: stored}

    def _given(self, pc: int, instruction: Instruction) -> Value | None:
        reference = instruction.reference
        if reference is not None and reference.kind == "function":
            return Value("call", pc) if self._fails_or_0(reference.offset) else None
        name = called(instruction)
        return Value("call", pc) if name in OR_FAILED else Value("count", pc) if name in COUNT_OR_FAILED else None

    def _fails_or_0(self, first: int) -> bool:
        if first not in self.known:
            self.known[first] = False  # while it is not known: a function that calls itself
            function = next((f for f in self.program.functions.values() if f.start == first), None)
            if function is not None and returns_number(self.program, function.name):
                graph = {pc: successors(pc, i) for pc in range(first, function.end) if (i := self.program.code[pc])}
                self.known[first] = self._all_fail_or_0(graph, first)
        return self.known[first]

    def _all_fail_or_0(self, graph: Graph, first: int) -> bool:
        ends, may_fail = 0, False
        for pc, (now, has_failed) in self._states(graph, first, {}, nulls(self.program, graph)).items():
            instruction = self.program.code[pc]
            if instruction is not None and instruction.code == JMP | EXIT:
                ends += 1
                value = now.get(RESULT)
                if not is_outcome(value, has_failed):
                    return False
                may_fail |= value != Value("number", 0)
        return ends > 0 and may_fail


def returns_number(program: Program, name: str) -> bool:
    """Whether a function returns something: what one that does not leaves in the register says nothing."""
    prototypes = [
        program.btf.get(type_.value) for type_ in program.btf.types if (type_.kind, type_.name) == (FUNC, name)
    ]
    return any(prototype.kind == FUNC_PROTO and prototype.value for prototype in prototypes)


def _of(pc: int) -> tuple[Value, ...]:
    """What an earlier call at that place gave: in a loop it is not what the next one gives."""
    return Value("call", pc), Value("count", pc)
