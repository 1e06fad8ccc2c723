# SPDX-License-Identifier: Apache-2.0
"""`make machine-ranking`: EEVDF and every library policy on every machine, into docs/machines-ranking.md.

All that are compared run in one guest after one another, in another order for each seed, by the virtual clock: the
table is a function of the machines' descriptors, the policies and the kernel.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machines import machine
from benchmarks.scaled_machine import at
from benchmarks.sequential import log_ratios, look
from benchmarks.workloads import Workload, arguments, asking, at_size, workload
from bpf.build import compile_policy
from bpf.library import policies
from control_plane.bench.fidelity import KNOBS
from control_plane.bench.timed import DEADLINE_S, STEP_S, check_all
from policy_lake.errors import SchedcpError
from policy_lake.files import atomic_write
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.printed import last_object, number
from policy_lake.scores import Pair
from tasks.host.guest import Guest, Shape, prepare_guest
from tasks.host.settings import load_settings
from verifier_vm.machine.vm import run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "machines-ranking.md"
MACHINES = {"flat": 8, "laptop": 8, "desktop": 8, "server": 16, "sockets": 8, "hybrid": 8}
# What runs in tier smoke, and the numbers that differ: working sets beyond a core's own cache, and two of schbench's
# workers a CPU.
WORKLOADS = {"batch": "footprint_kib=2048", "schbench": "workers={cpus} runtime_ms=300", "wakeup": ""}
BASELINE = "EEVDF"  # the kernel's; the library has a policy `eevdf`
PAIRS = 4


@dataclass(frozen=True, slots=True)
class Rank:
    """One policy's ratio to EEVDF on one machine, above 1 better, and its anytime-valid 95 % interval; or a failure."""

    machine: str
    cpus: int
    workload: str
    policy: str
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    failure: str = ""


def order(names: Sequence[str], seed: int) -> tuple[str, ...]:
    """All names, begun with another for each seed: none is always first in its guest."""
    first = seed % len(names)
    return (*names[first:], *names[:first])


def steps_of(described: Workload, names: Sequence[str], seed: int, user_ps: int = 0) -> Iterator[GuestStep]:
    """Each of `names` once: attach, run, detach; the baseline just runs."""
    args = arguments(described, seed=seed, accel="tcg", user_ps=user_ps)
    for name in order(names, seed):
        if name != BASELINE:
            knobs = KNOBS.get((name, described.id), [])
            yield GuestStep("attach", (f"{name}.bpf.o", *knobs), f"attach-{name}")
        yield GuestStep("run", (described.program, *args), name, timeout_s=STEP_S)
        if name != BASELINE:
            yield GuestStep("detach", (), f"detach-{name}")


def rank(of: str, cpus: int, described: Workload, figures: Mapping[int, Mapping[str, float]]) -> list[Rank]:
    """The ranks, best first, from each seed's figures by policy."""
    ranks = []
    lower = described.direction == "lower"
    for name in sorted({name for of_seed in figures.values() for name in of_seed} - {BASELINE}):
        pairs = [Pair(by[BASELINE], by[name], seed) for seed, by in figures.items()]
        logs = log_ratios(pairs, lower_is_better=lower)
        within = look(logs)
        middle = statistics.median(p.baseline / p.policy if lower else p.policy / p.baseline for p in pairs)
        ranks.append(Rank(of, cpus, described.id, name, middle, within.low, within.high))
    return sorted(ranks, key=lambda one: -one.ratio)


def word(one: Rank) -> str:
    """The cell of the table: surely better or worse is said in bold."""
    if one.failure:
        return one.failure
    text = f"{one.ratio:.3f}x [{one.low:.3f}, {one.high:.3f}]"
    return f"**{text}**" if one.low > 1 or one.high < 1 else text


def changes(ranks: Sequence[Rank]) -> list[str]:
    """Where two policies are surely in one order on one machine and surely in the other on another."""
    found = []
    for load in sorted({one.workload for one in ranks}):
        by = {(one.machine, one.policy): one for one in ranks if one.workload == load and not one.failure}
        names = sorted({name for _, name in by})
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                better = {first: [], second: []}  # type: dict[str, list[str]]
                for of in dict.fromkeys(of for of, _ in by):
                    a, b = by.get((of, first)), by.get((of, second))
                    if a and b and (a.low > b.high or b.low > a.high):
                        better[first if a.low > b.high else second].append(of)
                if better[first] and better[second]:
                    found.append(
                        f"{load}: {first} surely beats {second} on {', '.join(better[first])}; the other way round on "
                        f"{', '.join(better[second])}"
                    )
    return found


def page(ranks: Sequence[Rank], *, where: str) -> str:
    """The whole page."""
    lines = [
        "# The library on every machine", "",
        f"Written by `make machine-ranking` {where}. Ratios are to EEVDF on the same machine (above 1: better), "
        "medians of 4 pairs in tier smoke, with anytime-valid 95 % intervals; bold where they exclude 1. Policies as "
        "they are, but `ljf`, which knows the jobs' lengths on `batch`; `batch` has working sets of 2 MiB a job, "
        "`schbench` two workers a CPU. The last column is the order of the medians: it is sure of two only where their "
        "intervals do not overlap.", "",
    ]  # fmt: skip
    for load in dict.fromkeys(one.workload for one in ranks):
        of_load = [one for one in ranks if one.workload == load]
        machines = list(dict.fromkeys((one.machine, one.cpus) for one in of_load))
        names = sorted({one.policy for one in of_load})
        head = f"| machine | {' | '.join(names)} | by median |"
        lines += [f"## {load}", "", head, f"|---|{'---|' * (len(names) + 1)}"]
        for of, cpus in machines:
            by = {one.policy: one for one in of_load if one.machine == of}
            known = [one for one in by.values() if not one.failure]
            ranked = sorted([*((one.ratio, one.policy) for one in known), (1.0, BASELINE)], reverse=True)
            cells = [word(by[name]) if name in by else "not run" for name in names]
            lines.append(f"| {of}, {cpus} CPUs | {' | '.join(cells)} | {' > '.join(name for _, name in ranked)} |")
        lines.append("")
    lines += ["## Where a machine surely changes the order", ""]
    lines += [f"- {line}" for line in changes(ranks)] or ["Nowhere."]
    return "\n".join(lines) + "\n"


def _guest(of: str, cpus: int) -> tuple[Guest, int]:
    model = at(machine(of), cpus).model
    shape = Shape(model.topology, clock="virtual", costs=model.costs, machine=of)
    return prepare_guest(load_settings(), shape), model.topology.cpus


def _measured(of: str, cpus: int, described: Workload) -> list[Rank]:
    names = (BASELINE, *(one.id for one in policies()))
    guest, cpus = _guest(of, cpus)
    headers = guest.kernel.headers
    files = {f"{one.id}.bpf.o": compile_policy(one.source, name=one.id, vmlinux_dir=headers).data for one in policies()}
    figures: dict[int, dict[str, float]] = {}
    for seed in range(1, PAIRS + 1):
        steps = tuple(steps_of(described, names, seed, guest.machine.user_ps))
        report = run(GuestJob(files, steps, seed), guest.machine, deadline_s=DEADLINE_S)
        check_all(steps, report)
        figures[seed] = {
            name: number(last_object(report.ran(name).out, where=name), described.metric, where=name, zero=False)
            for name in names
        }
    return rank(of, cpus, described, figures)


def measured(of: str, cpus: int, described: Workload) -> list[Rank]:
    """All policies on one machine; one that could not be measured there is told for all of them."""
    try:
        return _measured(of, cpus, described)
    except SchedcpError as error:
        why = f"not measured: {error}"[:120].replace("|", "/")
        return [Rank(of, cpus, described.id, one.id, failure=why) for one in policies()]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure (MACHINE[=WORKLOAD]… only those; others as the file of the last run has them) and write the page."""
    words = sys.argv[1:] if argv is None else argv
    asked = [word.partition("=")[::2] for word in words] or [(name, "") for name in MACHINES]
    kept = load_settings().cache_dir / "machine-ranking.json"
    ranks = [Rank(**one) for one in json.loads(kept.read_text())] if words and kept.is_file() else []
    for of, only in asked:
        cpus = MACHINES[of]
        for load in (only,) if only else WORKLOADS:
            described = asking(at_size(workload(load), "smoke"), WORKLOADS[load].format(cpus=cpus))
            ranks = [one for one in ranks if (one.machine, one.workload) != (of, load)]
            ranks += measured(of, cpus, described)
            atomic_write(kept, json.dumps([asdict(one) for one in ranks]).encode())
            for one in ranks[-len(policies()) :]:
                sys.stderr.write(f"{of} {load} {one.policy}: {word(one)}\n")
    places = [(load, name) for load in WORKLOADS for name in MACHINES]
    known = sorted(ranks, key=lambda one: places.index((one.workload, one.machine)))
    PAGE.write_text(page(known, where=f"on {datetime.now(UTC):%Y-%m-%d}"), encoding="utf-8")


if __name__ == "__main__":
    main()
