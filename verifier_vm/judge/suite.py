# SPDX-License-Identifier: Apache-2.0
"""The adversarial suite: which workloads a policy meets in which guest, and which of them EEVDF repeats.

`guest/README.md` says what W1 to W38 bring out. W14 (a user-space part that is frozen) does not apply: a policy is an
object alone here, and one that needs a program beside it stalls in W1. W16 (reload) and W17 (load and unload under
load) are steps, not programs; W18 and W19 are topologies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from policy_lake.topology import Topology
from verifier_vm.judge.part import FULL_UPTIME_S, UPTIME_S, Exercise, Part

SuiteTier = Literal["short", "full"]

# Everything at once, for longer than the kernel takes to find a stall (between one and one and a half times the limit).
# The wake-ups are far apart: a context switch costs the host 100 us, a burst of CPU time nothing.
_RARE = (
    "floating=0", "ping_us=2000", "probe_ms=20", "narrow_ms=40", "wander_us=8000", "child_us=20000", "forkers=2",
    "convoy_us=1000",
)  # fmt: skip
_ALL = "W1+W2+W5+W6+W8+W20"
MIX = Exercise("mix", _ALL, 3.6, _RARE)
TWO = 2  # CPUs: with more, work can stand on one side, and wait beside several that idle
_IN_STEP = Exercise("W34", "W34", 0.5, base_s=0.3)
_ONE_SIDE = Exercise("W35", "W35", 0.8, base_s=0.8)
_BRIEF = Exercise("W37", "W37", 0.8, base_s=0.3)
SHORT = Part(
    "short",
    (
        Exercise("W28", "W28", 0.9),
        MIX,
        Exercise("W3", "W3", 1.0, ("crowd_hogs=40", "crowd=50")),
        Exercise("W26", "W26", 0.5),
        Exercise("W7", "W7", 5.7, ("nap_ms=2800",)),
        Exercise("W9", "W9", 0.5),
        Exercise("W12", "W12", 0.25),
        Exercise("W13", "W13", 1.3),
        Exercise("W1", "W1", 2.0, base_s=0.5),
        Exercise("W2", "W2", 0.6, ("ping_us=1000",), base_s=0.4),
        Exercise("W4", "W4", 2.4, base_s=1.2),
        Exercise("W4-same", "W4", 2.4, ("at=0",), base_s=0.6),
        Exercise("W10", "W10", 0.8, base_s=0.4),
        Exercise("W11", "W11", 0.6, base_s=0.4),
        Exercise("W15", "W15", 0.03, base_s=0.03),
        Exercise("W12-shares", "W12-shares", 1.2),
        Exercise("W21", "W21", 2.3, base_s=0.4),
        Exercise("W22", "W22", 0.5),
        Exercise("W25", "W25", 0.6, ("herd=80",)),
        Exercise("W27", "W27", 0.8),
        Exercise("W30", "W30", 0.8, base_s=0.3),
        _BRIEF,
    ),
    offline=True,
    uptime_s=UPTIME_S,
)


def _full(name: str, topology: Topology, *, reloads: int = 2, crowd: int = 150, uptime_s: int = 0) -> Part:
    """Every workload by itself and all at once, each long enough for a stall to be found in it."""
    exercises = (
        *((Exercise("W28", "W28", 3.0),) if topology.cpus > 1 else ()),
        Exercise("mix", _ALL, 8.0, _RARE),
        Exercise("W3", "W3", 6.0, ("crowd_hogs=40", f"crowd={crowd}", "crowd_ms=1000")),
        Exercise("W5", "W5", 3.6, ("narrow_ms=10",)),
        Exercise("W6", "W6", 3.6),
        Exercise("W7", "W7", 12.0, ("nap_ms=5500",)),
        Exercise("W8", "W8", 3.6, ("child_us=20000",), base_s=1.5),
        Exercise("W9", "W9+W5", 3.0, ("narrow_ms=20",)),
        Exercise("W12", "W12", 2.0),
        Exercise("W13", "W13", 4.0),
        Exercise("W20", "W20", 3.0),
        Exercise("W1", "W1", 6.0, base_s=3.0),
        Exercise("W2", "W2", 3.0, base_s=2.0),
        Exercise("W4", "W4", 8.0, base_s=2.4),
        Exercise("W4-same", "W4", 8.0, ("at=0",), base_s=1.2),
        Exercise("W10", "W10", 3.0, base_s=1.0),
        Exercise("W11", "W11", 4.0, base_s=1.0),
        Exercise("W15", "W15", 0.3, base_s=0.2),
        Exercise("W12-shares", "W12-shares", 5.0),
        Exercise("W21", "W21", 5.0, base_s=1.0),
        Exercise("W22", "W22", 3.0),
        Exercise("W25", "W25", 3.0, (f"herd={10 * crowd}",)),
        Exercise("W26", "W26", 3.0),
        Exercise("W27", "W27", 4.0),
        Exercise("W30", "W30", 2.0, base_s=0.5),
        replace(_BRIEF, seconds=2.0, base_s=0.5),
        *((_IN_STEP, _ONE_SIDE) if topology.cpus > TWO else ()),
    )
    return Part(
        name, exercises, topology, reloads=reloads, offline=topology.cpus > 1, uptime_s=uptime_s, deadline_s=900.0
    )


# W18 and W19: no other CPU to move to; cores and caches that share; memory nodes, with thousands of threads.
FULL = (
    _full("1 CPU", Topology(1)),
    _full("2 CPUs", Topology(2), reloads=4, uptime_s=FULL_UPTIME_S),
    _full("4 CPUs, SMT", Topology(4, llcs=2, smt=2)),
    _full("8 CPUs, 2 nodes", Topology(8, llcs=2, nodes=2), crowd=300),
    _full("16 CPUs, SMT, 2 nodes", Topology(16, llcs=4, smt=2, nodes=2), crowd=300),
)


def elsewhere(topology: Topology) -> Part:
    """What a topology that the short tier has not is tried with: everything at once, a crowd, a CPU that comes late."""
    exercises = (
        *((Exercise("W28", "W28", 0.9),) if topology.cpus > 1 else ()),
        MIX,
        Exercise("W3", "W3", 1.0, ("crowd_hogs=40", "crowd=50")),
        Exercise("W1", "W1", 2.0, base_s=0.5),
        Exercise("W10", "W10", 0.8, base_s=0.4),
        *((_IN_STEP, _ONE_SIDE) if topology.cpus > TWO else ()),
    )
    return Part(f"short, {topology}", exercises, topology, offline=topology.cpus > 1)


def parts(tier: SuiteTier) -> tuple[Part, ...]:
    """The guests of a tier, independent of one another: they may run at once, anywhere."""
    return (SHORT,) if tier == "short" else FULL
