# SPDX-License-Identifier: Apache-2.0
"""The corpus: policies with one planted bug each, policies that are right, and the list of bugs that both are about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from policy_lake.model import Rejection

POLICIES = Path(__file__).parent / "policies"
HEADER = re.compile(
    r"\A// (?P<how>fails|suspected|noted): (?P<stage>[a-z]+): (?P<reason>.+)\n"
    r"(?:// bug: (?P<bug>F\d\d)(?:, seen as (?P<seen>F\d\d(?: or F\d\d)*))?(?:, with --require (?P<need>[a-z-]+))?\n)?"
    r"(?:// ends: (?P<ends>witnessed|not seen|partly tried|not tried|note): (?P<why>.+)\n)?"
    r"(?:// or: (?P<or_stage>[a-z]+): (?P<or_reason>.+)\n)?"
    r"(?:// either: (?P<either>.+)\n)?"
    # REUSE-IgnoreStart
    r"// SPDX-License-Identifier: GPL-2\.0-only\n"
    # REUSE-IgnoreEnd
)
BEFORE_A_GUEST = ("source", "build", "object")
STAGES = (*BEFORE_A_GUEST, "kernel", "survive", "fair")

BUGS = {
    "F01": "enqueue neither inserts a task nor keeps it",
    "F02": "a task is inserted into a queue that was never made",
    "F03": "a queue is filled and never emptied",
    "F04": "a built-in queue is made, or moved from, as if it were one's own",
    "F05": "a built-in queue is ordered by vtime",
    "F06": "one queue holds ordered and appended tasks",
    "F07": "a task is inserted twice",
    "F08": "another task than the one at hand is inserted",
    "F09": "a dispatch inserts more than its buffer holds",
    "F10": "a task is sent to a CPU where it may not run",
    "F11": "a negative number is used as a CPU",
    "F12": "select_cpu proposes a CPU where the task may not run",
    "F13": "a task bound to a CPU waits where that CPU never looks",
    "F14": "vtime: credit saved up by sleeping has no limit",
    "F15": "vtime: a new task starts with none of its own",
    "F16": "weights are ignored or work the wrong way round",
    "F17": "CPU time is charged from what is left of a slice",
    "F18": "who comes last goes first: the queue's clock goes back, or all go to its head",
    "F19": "slices do not end, and nothing ends them",
    "F20": "slices of 0",
    "F21": "CPUs idle beside a task that waits",
    "F22": "the kernel's idle tracking is turned off, and used",
    "F23": "an idle CPU is claimed, not used, and not given back",
    "F24": "SCX_OPS_ENQ_LAST is asked for, and not handled",
    "F25": "exiting tasks are kept by pid, and can no longer be found",
    "F26": "a queue of one's own overflows",
    "F27": "a task for which there is no room: fork fails",
    "F28": "a cgroup for which there is no room: mkdir fails",
    "F29": "a harmless race is taken for a failure",
    "F30": "CPUs that come and go end the policy",
    "F31": "tasks stand in a CPU's own queue behind a real-time hog",
    "F32": "SCX_ENQ_IMMED where it cannot be honoured",
    "F33": "SCX_KICK_IDLE together with PREEMPT or WAIT",
    "F34": "a queue is destroyed and still used",
    "F35": "how the policy ended is not recorded",
    "F36": "long loops with the run queue locked",
    "F37": "a part in user space is held up by its own policy",
    "F38": "what an insert was given is read back from the task",
    "F39": "data of the executing CPU is taken for that of the task's CPU",
    "F40": "sched_yield is ignored",
    "F41": "weights and quotas of cgroups are void",
    "F42": "idle CPUs by node and of the whole machine are mixed up",
    "F43": "tasks bound to a CPU go first there, and starve all others",
}
# What no planted policy can show, and why.
IMPOSSIBLE = {
    "F31": (
        "It is a state of the machine, no property of a policy: any policy's tasks wait while a real-time task holds "
        "the CPU whose own queue they stand in. The kernel's ext_server gives them a few percent even then, and the "
        "callback that could hand them back, cpu_release, is deprecated."
    ),
    "F37": (
        "A policy here is a BPF object and nothing else: there is no part in user space that it could hold up. The "
        "loader only waits for the end."
    ),
}


@dataclass(frozen=True, slots=True)
class Planted:
    """A policy that must be rejected first at `stage`, for a reason that holds `reason`; `bug` may be empty.

    `reason` may be several, with ` | ` between: then the kernel has two ways to notice, and either may be first.
    `seen` is the bug that the stage must name (or one of two): another than was planted where a guest shows the same of
    both. With `need` only hosts that need it reject; where `ends` is not empty nobody does: `stage` suspects or notes
    it, and `why` says why no guest of the short tier shows it. Where digits of the guest decide which of two true
    things is seen, `or_stage` and `or_reason` are the other one, or `seen` names several bugs: `either` says why both
    are true.
    """

    path: Path
    stage: str
    reason: str
    bug: str
    seen: str
    need: str = ""
    ends: str = ""
    why: str = ""
    or_stage: str = ""
    or_reason: str = ""
    either: str = ""

    @property
    def name(self) -> str:
        """Its file's name without the endings that all have."""
        return self.path.name.removesuffix(".bpf.c")

    def fails_for(self, reason: str) -> bool:
        """Whether this is the reason that it says."""
        return _holds(self.reason, reason)

    def is_rejected_by(self, rejection: Rejection | None) -> bool:
        """Whether it is rejected at one of the stages that it says, for its reason there and as one of its bugs."""
        if rejection is None or (self.bug and rejection.bug not in self.seen.split(" or ")):
            return False
        ways = [] if self.ends else [(self.stage, self.reason)]
        ways += [(self.or_stage, self.or_reason)] if self.or_stage else []
        return any(stage == rejection.stage and _holds(reason, rejection.reason) for stage, reason in ways)


def _holds(reasons: str, said: str) -> bool:
    return any(part in said for part in reasons.split(" | "))


def planted() -> tuple[Planted, ...]:
    """Every planted policy, in order of name; ValueError for one that does not open as it should."""
    return tuple(read(path) for path in sorted(POLICIES.glob("*_fails.bpf.c")))


def read(path: Path) -> Planted:
    """What a planted policy's first lines say of it."""
    found = HEADER.match(path.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{path.name} does not open with '// fails: STAGE: REASON', '// bug: FNN' and its licence")
    if (found["how"] == "fails") == bool(found["ends"]):
        raise ValueError(f"{path.name}: what nobody rejects says with '// ends: …: WHY' how it ends, and only that")
    if bool(found["either"]) != bool(found["or_stage"] or " or " in (found["seen"] or "")):
        raise ValueError(f"{path.name}: what may be seen in two ways says with '// either: WHY' why both are true")
    of = {name: found[name] or "" for name in ("bug", "need", "ends", "why", "or_stage", "or_reason", "either")}
    return Planted(path, found["stage"], found["reason"], seen=found["seen"] or of["bug"], **of)


def sets_of(path: Path) -> dict[str, str]:
    """What a good policy's loader fills before it loads it: the words of its line `// load:`, as `--set` takes them."""
    found = re.search(r"^// load: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(word.split("=", 1) for word in found[1].split()) if found else {}


def good() -> tuple[Path, ...]:
    """Policies without a bug, in order of name."""
    return tuple(sorted((*(POLICIES / "good").glob("*.bpf.c"), POLICIES / "plain_fifo.bpf.c")))
