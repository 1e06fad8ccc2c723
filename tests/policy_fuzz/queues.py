# SPDX-License-Identifier: Apache-2.0
"""Where tasks wait and who takes them: one shared queue in some order, or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policy_fuzz.designs import Design
from policy_fuzz.program import Line, Lines, line
from policy_fuzz.records import lag, lead

CREATE = "return $create;"
# Which band a turn begins with: heavy ones more often, since most tasks of a machine, kernel threads among them, are at
# nice 0, and share its band's turns with who is measured there.
BANDS_TURNS = {"2": "0, 1", "4": "0, 1, 0, 1, 2, 1, 0, 3", "8": "0, 4, 1, 5, 2, 4, 3, 6, 0, 4, 2, 5, 3, 4, 1, 7"}
BAND_IN_ORDER = "i ? i - (i <= first) : first"  # that one, then the others from the heaviest on
TASK_PIDS = """\
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
} waiting SEC(".maps");"""
PID_FUNCTIONS = """\
struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
u32 scx_bpf_dispatch_nr_slots(void) __ksym;"""


@dataclass(frozen=True, slots=True)
class Queues:
    """`queued` is how many wait where the task at hand would, `waits` whether any does anywhere."""

    ids: Mapping[str, str]
    insert: Lines
    dispatch: Lines
    create: Lines
    queued: str
    waits: str
    helpers: Mapping[str, Lines] = field(default_factory=dict)
    declarations: tuple[str, ...] = ()


def queues_of(design: Design) -> Queues:
    """What the kind of queue comes to."""
    made = {"percpu": _percpu, "group": _group, "hash": _several, "bands": _several, "pids": _pids}
    return made.get(design.queues, _one)(design)


def _slice(design: Design, task: str) -> str:
    from policy_fuzz.compose import slice_of

    return slice_of(design, task)


def insert_line(design: Design, queue: str) -> Line:
    """The insert by which a task waits."""
    return line("insert", "sx_insert($task, $queue, $slice, $flags);", task="p", queue=queue,
                slice=_slice(design, "p"), flags="enq_flags")  # fmt: skip


def move_line(queue: str) -> Line:
    """The look into one queue, and an end of the callback where it gave a task."""
    return line("move", "if (sx_move_to_local($queue))", line("moved", "return;"), queue=queue)


def keep_lines(design: Design) -> Lines:
    """With nobody else to run, the one who ran goes on for a slice."""
    if design.dispatch != "keep":
        return ()
    again = line("again", "sx_set_slice(prev, $slice);", slice=_slice(design, "prev"))
    return (line("keep", "if ($wants)", again, wants="sx_wants_cpu(prev)"),)


def _one(design: Design) -> Queues:
    queued = "sx_dsq_nr_queued(QUEUE)"
    dispatch = (move_line("QUEUE"), *keep_lines(design))
    if design.dispatch == "batch":
        # While many wait, one after the other: nobody idles beside the second.
        more = line("more", "bpf_for(i, $from, $to)", line(
            "enough", "if (sx_dsq_nr_queued(QUEUE) <= 4 * (s32)cpus || !sx_move_to_local(QUEUE))",
            line("stop", "break;")), **{"from": "1", "to": "2"})  # fmt: skip
        dispatch = (line("i", "s32 i;"), line("move", "if (!sx_move_to_local($queue))", line("moved", "return;"),
                    queue="QUEUE"), more)  # fmt: skip
    insert: Lines = (insert_line(design, "QUEUE"),)
    if design.queues == "vtime":
        insert = (
            line("clamp", "u64 vtime = sx_clamp_vtime(p->scx.dsq_vtime, clock, $lag, $lead);",
                 lag=lag(design), lead=lead(design)),
            line("insert", "sx_insert_vtime($task, $queue, $slice, $vtime, $flags);", task="p", queue="QUEUE",
                 slice=_slice(design, "p"), vtime="vtime", flags="enq_flags"),
        )  # fmt: skip
    if design.queues == "due":
        by_wake = f"(enq_flags & SX_ENQ_WAKEUP) ? 0 : {5 * int(design.number)} * SX_MS"
        by_weight = "(s64)(20 * SX_MS * SX_WEIGHT_NICE_0 / (p->scx.weight + 10))"
        insert = (
            line("put_off", "s64 put_off = $ns;", ns=by_weight if design.number == "8" else by_wake),
            line("insert", "sx_insert_due($task, $queue, $slice, $put_off, $flags);", task="p", queue="QUEUE",
                 slice=_slice(design, "p"), put_off="put_off", flags="enq_flags"),
        )  # fmt: skip
    return Queues({"QUEUE": "0"}, insert, dispatch, (line("create", CREATE, create="sx_create_dsq(QUEUE)"),),
                  queued, f"{queued} > 0")  # fmt: skip


def _percpu(design: Design) -> Queues:
    # Every eighth turn another's queue goes first: its CPU may never look, for it has tasks of its own or is off line.
    turn = line("turn", "u64 turn = __sync_fetch_and_add(&turns, 1);")
    other = line("other", "if (turn % 8 == 0 && $steal)", line("moved", "return;"), steal="sx_steal_any(cpu, queues)")
    steal = line("steal", "if ($steal)", line("moved", "return;"), steal="sx_steal_any(cpu, queues)")
    queue = "(u64)sx_task_cpu(p)"
    return Queues(
        {"QUEUE": "0"},
        (insert_line(design, queue),),
        (turn, other, move_line("(u64)cpu"), steal, *keep_lines(design)),
        (line("count", "queues = $count;", count="sx_nr_cpu_ids()"), *_create_all("queues")),
        f"sx_dsq_nr_queued({queue})",
        "idle && sx_any_queued(queues)",
        declarations=("static u32 queues;\nstatic u64 turns;",),
    )


def _create_all(count: str) -> Lines:
    return (
        line("i", "s32 i, err;"),
        line("create", "bpf_for(i, $from, $to)",
             line("make", "err = $create;", create="sx_create_dsq(i)"),
             line("fails", "if (err)", line("pass_on", "return err;")), **{"from": "0", "to": f"(s32){count}"}),
        line("made", "return 0;"),
    )  # fmt: skip


def _group(design: Design) -> Queues:
    queue = "queue_of(sx_task_cpu(p))"
    other = line("other", "if (turn % 4 == 0)", line("swap", "first = first == NEAR ? FAR : NEAR;"))
    second = line("second", "if (sx_move_to_local($queue))", line("moved", "return;"),
                  queue="first == NEAR ? FAR : NEAR")  # fmt: skip
    return Queues(
        {"NEAR": "10", "FAR": "11"},
        (insert_line(design, queue),),
        (
            line("first", "u64 first = queue_of(cpu);"),
            line("turn", "u64 turn = __sync_fetch_and_add(&turns, 1);"),
            other, move_line("first"), second, *keep_lines(design),
        ),
        (line("create", CREATE, create="sx_create_dsq(NEAR) ?: sx_create_dsq(FAR)"),),
        f"sx_dsq_nr_queued({queue})",
        "sx_dsq_nr_queued(NEAR) > 0 || sx_dsq_nr_queued(FAR) > 0",
        {"static __always_inline u64 queue_of(s32 cpu)": (
            line("group", "return $which ? FAR : NEAR;", which=f"(u32)cpu / {int(design.number) // 2} % 2"),
        )},
        ("static u64 turns;",),
    )  # fmt: skip


def _several(design: Design) -> Queues:
    number = design.number
    queue, order = f"(u32)p->pid % {number}", f"(turn + i) % {number}"
    helpers: dict[str, Lines] = {}
    first: Lines = ()
    tables: tuple[str, ...] = ()
    turn = line("turn", "u64 turn = __sync_fetch_and_add(&turns, 1);")
    if design.queues == "bands":
        # The heaviest first, but every fourth turn by a list, so that none is left out; an empty one's turn is the
        # heaviest's, or by it the next lighter one would get twice what a heavier one gets.
        queue, order = "band_of(p->scx.weight)", BAND_IN_ORDER
        of_turns = BANDS_TURNS[number].split(",")
        helpers["static __always_inline u32 band_of(u32 weight)"] = _band(int(number))
        first = (line("first", f"s32 first = turn % 4 ? 0 : order[turn / 4 % {len(of_turns)}];"),)
        tables = (f"static const u8 order[{len(of_turns)}] = {{ {BANDS_TURNS[number]} }};",)
    found: Lines = (line("moved", "return;"),)
    if (design.queues, number) == ("hash", "8"):
        # By turns the first of eight queues after many that are empty would get eight times what the next one gets. A
        # CPU's own place in the round, for by a common one others' steps can leave out the same queue each time.
        turn = line("turn", "u64 turn = place[cpu & 1023];")
        found = (line("last", f"place[cpu & 1023] = (turn + i) % {number} + 1;"), *found)
    look = line("move", "if (sx_move_to_local($queue))", *found, queue=order)
    return Queues(
        {"QUEUES": number},
        (insert_line(design, queue),),
        (
            turn,
            *first,
            line("i", "s32 i;"),
            line("all", "bpf_for(i, $from, $to)", look, **{"from": "0", "to": "QUEUES"}),
            *keep_lines(design),
        ),
        _create_all("QUEUES"),
        f"sx_dsq_nr_queued({queue})",
        "idle && any_queued()",
        {**helpers, "static __always_inline bool any_queued(void)": (
            line("i", "s32 i;"),
            line("all", "bpf_for(i, $from, $to)", line("any", "if (sx_dsq_nr_queued(i) > 0)",
                 line("yes", "return true;")), **{"from": "0", "to": "QUEUES"}),
            line("no", "return false;"),
        )} if design.recheck == "yes" else helpers,
        ("static u64 place[1024];" if found[1:] else "static u64 turns;", *tables),
    )  # fmt: skip


def _band(number: int) -> Lines:
    steps = (2000, 500, 200, 150, 100, 50, 20)
    kept = {2: (100,), 4: (200, 100, 50), 8: steps}[number]
    tests = [line("bound", "if (weight >= $bound)", line("band", "return $band;", band=str(at)), bound=str(bound))
             for at, bound in enumerate(kept)]  # fmt: skip
    return (*tests, line("lightest", "return $band;", band=str(number - 1)))


def _pids(design: Design) -> Queues:
    insert = insert_line(design, "QUEUE")
    take = line(
        "take", "bpf_for(i, 0, $most)",
        line("slots", "if (!scx_bpf_dispatch_nr_slots())", line("full", "break;")),
        line("pop", "if (bpf_map_pop_elem(&waiting, &pid))", line("empty", "break;")),
        line("find", "p = bpf_task_from_pid(pid);"),
        line("gone", "if (!p)", line("next", "continue;")),
        line("insert", "sx_insert($task, $queue, $slice, $flags);", task="p", queue="QUEUE",
             slice=_slice(design, "p"), flags="0"),
        line("elsewhere", "if (!bpf_cpumask_test_cpu___sx(cpu, p->cpus_ptr))",
             line("tell", "sx_kick_cpu(sx_task_cpu(p), SX_KICK_IDLE);")),
        line("release", "bpf_task_release(p);"), most="16",
    )  # fmt: skip
    return Queues(
        {"QUEUE": "0"},
        (line("pid", "s32 pid = p->pid;"), line("push", "if (bpf_map_push_elem(&waiting, &pid, 0))", insert)),
        (line("p", "struct task_struct *p;"), line("i", "s32 pid, i;"), take, move_line("QUEUE"), *keep_lines(design)),
        (line("create", CREATE, create="sx_create_dsq(QUEUE)"),),
        "sx_dsq_nr_queued(QUEUE)",
        "sx_dsq_nr_queued(QUEUE) > 0",
        declarations=(TASK_PIDS, PID_FUNCTIONS),
    )
