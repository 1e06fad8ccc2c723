# SPDX-License-Identifier: Apache-2.0
"""Loads and stores of the walk: the callback's arguments, the stack, .rodata, a task's fields, maps and globals."""

from __future__ import annotations

from verifier_vm.object.btf import DATASEC, STRUCT
from verifier_vm.object.decode import ATOMIC, LDX, SIGNED, Instruction
from verifier_vm.object.flow import Flow
from verifier_vm.object.kernel import ARGUMENTS
from verifier_vm.object.names import COMM, OTHER_TASKS, in_name, may_be_a_task, part_of_slot
from verifier_vm.object.program import Program
from verifier_vm.object.record import Record, Write
from verifier_vm.object.refills import note_slice
from verifier_vm.object.state import State
from verifier_vm.object.values import IDENTITY, MASK, SLICE, Expr, Value, Values, is_field, root, signed

# Fields of task_struct that checks ask about, found by their offset where CO-RE does not say.
TASK_FIELDS = ("pid", "tgid", "flags", "cpus_ptr", "cpus_mask", "nr_cpus_allowed", "migration_disabled", COMM,
               "static_prio", "prio", "normal_prio", "start_time", "start_boottime", *OTHER_TASKS,
               "scx.slice", "scx.dsq_vtime", "scx.weight", "scx.flags", "scx.tid", "se.sum_exec_runtime")  # fmt: skip
TASK = "task_struct."
FETCH_ADD = 0x01  # an atomic addition that gives what was there
WRITE_BACK = 0xF1  # cmpxchg: its result is in r0


class Memory:
    """What loads give and stores do; the task's fields are known by name, all else by offset."""

    def __init__(self, program: Program, values: Values, record: Record, flow: Flow) -> None:
        self._values, self._record, self._program, self._flow = values, record, program, flow
        self._fields = _task_fields(program)
        self.comm = next((offset for offset, name in self._fields.items() if name == COMM), -1)
        self._bools: set[tuple[object, int]] = {
            (place.name, offset) for place in program.maps.values() for offset in place.bools
        }
        self._bools |= _global_bools(program)

    def load(self, state: State, instruction: Instruction, entry: str) -> Value:
        """The value that a load gives."""
        pointer = state.registers[instruction.src]
        size = instruction.size
        value = self.read(state, pointer, instruction.off, size, entry, instruction.field)
        if instruction.kind == LDX and instruction.code & 0xE0 == SIGNED and isinstance(value, int):
            return signed(value, 8 * size) & MASK
        return value

    def read(self, state: State, pointer: Value | None, off: int, size: int, entry: str, field: str = "") -> Value:
        """The `size` bytes at `pointer` + `off`."""
        if not isinstance(pointer, Expr):
            return self._new(state, pointer, ("wild", state.pc), size)
        base, offset = root(self._values.add(pointer, off))
        if not isinstance(base, Expr):
            return self._new(state, base, ("wild", state.pc), size)
        if base.op == "ctx":
            return self._argument(entry, offset)
        if base.op == "frame" and isinstance(base.key, int):
            held = state.read_stack(base.key, offset, size)
            return held if held is not None else self._part(state, base, offset, size, ("stack", offset, state.pc))
        constant = self._constant(base, offset, size)
        if constant is not None:
            return constant
        return self._load_kept(state, base, offset, size, entry, field)

    def _constant(self, base: Expr, offset: int, size: int) -> int | None:
        """What a loader has filled, or the compiler; None for what is no constant, or hangs on the machine."""
        name, program = str(base.key), self._program
        if base.op == "data" and name.startswith(".rodata"):
            data = program.data.get(name, b"")
            self._record.constants.update((name, at) for at in range(offset, offset + size))
            if program.open and any((name, at) in program.open for at in range(offset, offset + size)):
                return None
        elif base.op == "extern":
            data = program.externs.get(name, b"")
        else:
            return None
        return int.from_bytes(data[offset : offset + size], "little") if 0 <= offset <= len(data) - size else None

    def _load_kept(self, state: State, base: Expr, offset: int, size: int, entry: str, field: str) -> Value:
        self.note_index(state, base, entry)
        name = self.field_of(base, offset, field)
        if name and base.op == "arg" and base.key == "p":
            self._note_read(state, entry, name)
        held = state.memory.get((base, offset))
        if held is not None and held[0] == size:
            return held[1]
        value = self._part(state, base, offset, size, (name or offset, state.pc, len(state.frames)))
        state.memory[base, offset] = (size, value)
        return value

    def _part(self, state: State, base: Expr, offset: int, size: int, key: tuple[object, ...]) -> Value:
        """Something not known, called after the place in a name that it is where it is a part of one."""
        if base.op == "frame" and (made := part_of_slot(state, self._values, base, offset, size)) is not None:
            return made
        if key[0] == COMM and not may_be_a_task(base):  # CO-RE says so
            named = (base, offset - self.comm)
        elif (found := in_name(state, base, offset, self.comm)) is None:
            return self._new(state, base, key, size)
        else:
            named = found
        return self.name_part(state, *named, size)

    def name_part(self, state: State, task: Expr, place: int, size: int) -> Expr:
        """`size` bytes of a task's name, from `place` on."""
        return self._new(state, task, (COMM, state.pc, len(state.frames), place), size)

    def _note_read(self, state: State, entry: str, name: str) -> None:
        if name in ("cpus_ptr", "cpus_mask", "nr_cpus_allowed", "migration_disabled"):
            self._record.asked.add(entry)
        self._record.reads.setdefault((entry, name, bool(state.path.inserted), state.pc), state.line)

    def note_index(self, state: State, value: Value, entry: str) -> None:
        """Note it if a place in memory hangs on the id of the CPU that executes."""
        if isinstance(value, Expr) and any(leaf.key == ("get_smp_processor_id",) for leaf in value.leaves):
            self._record.indexed.setdefault((entry, state.pc), state.line)

    def field_of(self, base: Value, offset: int, field: str = "") -> str:
        """The task's field at a place, "" when it is none that matters or `base` is no task."""
        if field.startswith(TASK):
            return field.removeprefix(TASK)
        if isinstance(base, Expr) and base.op == "extern" and offset == 0:
            return str(base.key)  # a variable of the kernel's, such as jiffies
        return self._fields.get(offset, "") if may_be_a_task(base) else ""

    def _argument(self, entry: str, offset: int) -> Value:
        names = ARGUMENTS.get(entry, ())
        index = offset // 8
        name = names[index] if 0 <= index < len(names) and offset % 8 == 0 else f"argument {offset}"
        return self._values.make("arg", name)

    def _new(self, state: State, base: Value | None, key: tuple[object, ...], size: int) -> Expr:
        index = ("load", (*key, state.chain), base)
        bits = 8 * size
        if size == 1 and isinstance(base, Expr) and (base.key, key[0]) in self._bools:
            bits = 1
        leaf = self._values.make(*index, bits=bits)
        if state.looping or state.pc in self._flow.looping:
            state.make_new(leaf, self._values)
        return leaf

    def store(self, state: State, instruction: Instruction, value: Value, entry: str) -> None:
        """A store of `value`, its lower bytes."""
        pointer = state.registers[instruction.dst]
        self.write(state, pointer, instruction.off, instruction.size, value, entry, instruction.field)

    def write(
        self, state: State, pointer: Value | None, off: int, size: int, value: Value, entry: str, field: str = ""
    ) -> None:
        """`size` bytes of `value` to `pointer` + `off`."""
        if isinstance(value, int):
            value &= (1 << 8 * size) - 1
        base, offset = root(self._values.add(pointer, off)) if pointer is not None else (0, 0)
        if isinstance(base, Expr) and base.op == "frame" and isinstance(base.key, int):
            if isinstance(value, Expr) and value.bits > 8 * size:
                value = (
                    self._values.low(value)
                    if size == 4
                    else self._values.make("and", None, value, (1 << 8 * size) - 1, bits=8 * size)
                )
            state.write_stack(base.key, offset, size, value)
            return
        self.note_index(state, base, entry)
        member = self.field_of(base, offset, field)
        if member == SLICE:
            note_slice(state, self._record, entry, value)
        self._record.add_write(Write(entry, base, offset, member, value, state.pc, state.line))
        for other_base, other in list(state.memory):
            if other - size < offset < other + 8 and not self._apart(base, other_base):
                del state.memory[other_base, other]
        if isinstance(base, Expr):
            state.memory[base, offset] = (size, value)
        if self.identifies(value) and not (isinstance(base, Expr) and base.op == "storage"):
            state.path = state.path._replace(kept=max(state.path.kept, 1))

    def identifies(self, value: Value) -> bool:
        """Can the callback's task be found again by that value: is it the task, its id, or its own record?"""
        base, _ = root(value)
        if not isinstance(base, Expr):
            return False
        if base.op == "storage":
            return True
        if base.op == "arg":
            return base.key == "p"
        return any(is_field(leaf, name) for leaf in base.leaves for name in IDENTITY)

    @staticmethod
    def _apart(this: Value, other: Value) -> bool:
        """Can two pointers not point to the same memory? A task's fields and a policy's own memory never do."""
        if not isinstance(this, Expr) or not isinstance(other, Expr):
            return False
        if this is other:
            return False
        return this.op != other.op and ("arg" in (this.op, other.op) or "data" in (this.op, other.op))

    def atomic(self, state: State, instruction: Instruction, entry: str) -> None:
        """An atomic read-modify-write: what is there afterwards is not known, nor is what it fetches."""
        if instruction.imm == 0x100:  # a load that acquires
            state.registers[instruction.dst] = self.load(state, instruction, entry)
            return
        value = state.registers[instruction.src]
        stored = value if value is not None else 0
        if instruction.imm == 0x110:
            self.store(state, instruction, stored, entry)
            return
        pointer = state.registers[instruction.dst]
        base, offset = root(self._values.add(pointer, instruction.off)) if pointer is not None else (0, 0)
        fetched = self._new(state, base, (offset, state.pc, len(state.frames), "fetched"), instruction.size)
        if instruction.imm | 1 == FETCH_ADD:
            stored = self._values.compute("add", fetched, stored, wide=True)
        self.store(state, instruction, stored, entry)
        state.memory.pop((base, offset), None)
        if isinstance(base, Expr) and base.op == "frame" and isinstance(base.key, int):
            state.clobber_stack(base.key, offset, instruction.size)
        if instruction.imm & 1:
            state.registers[0 if instruction.imm == WRITE_BACK else instruction.src] = fetched


def is_atomic(instruction: Instruction) -> bool:
    """Is this store an atomic operation?"""
    return instruction.code & 0xE0 == ATOMIC


def _task_fields(program: Program) -> dict[int, str]:
    """The offsets of TASK_FIELDS in the object's own idea of a task."""
    btf = program.btf
    fields: dict[int, str] = {}
    task = btf.find("task_struct", STRUCT)
    for member in btf.members(task) if task else ():
        if member.name in TASK_FIELDS:
            fields[member.bits // 8] = member.name
        if member.name in ("scx", "se"):
            for inner in btf.members(member.type_id):
                name = f"{member.name}.{inner.name}"
                if name in TASK_FIELDS:
                    fields[(member.bits + inner.bits) // 8] = name
    return fields


def _global_bools(program: Program) -> set[tuple[object, int]]:
    """Global variables that are bools, as (section, offset)."""
    btf, places = program.btf, set[tuple[object, int]]()
    for name in (".bss", ".data"):
        section = program.elf.named(name)
        bools = {v.name for v in btf.members(btf.find(name, DATASEC)) if btf.is_bool(btf.get(v.type_id).value)}
        if section and bools:
            at = section.index
            places.update((name, s.value) for s in program.elf.symbols if s.section == at and s.name in bools)
    return places
