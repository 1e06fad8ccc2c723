# SPDX-License-Identifier: Apache-2.0
"""Which experiments measure a host, and how one is run: each is a word of benchmarks/machines/measure.c."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import benchmarks
from policy_lake.secrets import child_environment
from tasks.host.topology import HostTopology
from verifier_vm.machine.image import Program, host_program

FOLDER = Path(benchmarks.__file__).parent / "machines"
PARTS = ("deflate", "crc", "sort", "matrix")
IDLE_US = (10, 100, 1000, 5000, 20000)
LIMIT_S = 30.0
_MOST_OUTPUT = 1 << 16
STREAM_KIB = 32 << 10


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run of the program: `name` says what it shows, `words` are its arguments; `once`: in the first round only."""

    name: str
    words: tuple[str, ...]
    once: bool = False


@dataclass(frozen=True, slots=True)
class Effort:
    """How often all of it is done, one experiment after the other, and how many samples each gives each time."""

    rounds: int = 3
    samples: int = 11


SHORT = Effort(1, 7)


PROGRAM = Program(
    tuple(sorted(FOLDER.glob("measure*.c"))), libraries=("pthread", "z"),
    headers=(FOLDER / "measure.h", FOLDER.parent / "guest" / "work.h"),
)  # fmt: skip


def measuring_program(cache_dir: Path) -> Path:
    """The program, compiled for this host; InfraError as from `host_program`."""
    return host_program("measure", PROGRAM, cache_dir)


def samples(binary: Path, experiment: Experiment, *, limit_s: float = LIMIT_S) -> tuple[list[float], str]:
    """What the experiment printed, and why it did not come to its end (empty: it did). It is ended with us."""
    with subprocess.Popen(
        [binary, *experiment.words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=child_environment(),
    ) as process:  # fmt: skip
        try:
            out, complaint = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, complaint = process.communicate()[0], f"took more than {limit_s:.0f} s".encode()
        except BaseException:
            process.kill()
            raise
    numbers = [float(line) for line in out[:_MOST_OUTPUT].split()]
    last = complaint.decode(errors="replace").strip().splitlines()[-1:]
    return numbers, "" if process.returncode == 0 else (last or [f"ended with {process.returncode}"])[0][:200]


def plan(lie: HostTopology, effort: Effort) -> Iterator[Experiment]:
    """What this host can show, in an order that puts those side by side that are compared."""
    first, reps = str(lie.cpus[0]), str(effort.samples)
    for part in PARTS:
        yield Experiment(f"work.{part}", ("work", part, first, reps))
    yield Experiment("alone", ("work", "deflate", first, reps))
    if lie.topology.smt > 1:
        yield Experiment("smt", ("work", "deflate", first, reps, str(lie.cpus[1])))
    for count, others in busy_cores(lie):
        yield Experiment(f"turbo.{count}", ("work", "deflate", first, reps, ",".join(map(str, others))))
    yield Experiment("syscalls", ("syscalls", first, reps))
    yield Experiment("switch", ("switch", first, reps))
    other = other_core(lie)
    if other is not None:
        yield from (Experiment(f"wake.{us}", ("wake", first, str(other), str(us), reps)) for us in IDLE_US)
    yield from _memory(lie, first, reps)
    yield from (Experiment(f"count.{part}", ("count", part), once=True) for part in PARTS)  # the longest, some 10 s


def busy_cores(lie: HostTopology) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(busy cores, CPUs that are busy beside the first) for 2, 4, 8, … and all cores of the first node."""
    topology = lie.topology
    cores = lie.cpus[: topology.cpus // topology.nodes : topology.smt]
    counts = {len(cores), *(1 << power for power in range(1, 7))}
    for count in sorted(count for count in counts if 1 < count <= len(cores)):
        yield count, tuple(cores[1:count])


def other_core(lie: HostTopology) -> int | None:
    """The CPU of the first LLC's second core, or of another LLC; None where there is one core."""
    cores = lie.cpus[:: lie.topology.smt]
    return cores[1] if len(cores) > 1 else None


def _memory(lie: HostTopology, first: str, reps: str) -> Iterator[Experiment]:
    topology = lie.topology
    an_llc, a_node = topology.cpus // topology.llcs, topology.cpus // topology.nodes
    l2, llc = lie.l2_kib, lie.llc_kib
    if l2:
        yield Experiment("llc", ("refill", first, first, str(l2 // 2), str(4 * l2), reps))
        yield Experiment("chase.l2", ("chase", first, str(l2 // 2), reps))
        yield Experiment("chase.beyond l2", ("chase", first, str(2 * l2), reps))
        if an_llc > topology.smt:
            yield Experiment("moved", ("refill", first, str(lie.cpus[topology.smt]), str(l2 // 2), "0", reps))
    if llc:
        size = str(min(2048, llc // 4))
        yield Experiment("memory", ("refill", first, first, size, "flush", reps))
        if an_llc < a_node:
            yield Experiment("other llc", ("refill", first, str(lie.cpus[an_llc]), size, "0", reps))
        if topology.nodes > 1:
            yield Experiment("remote", ("refill", first, str(lie.cpus[a_node]), size, "flush", reps))
        yield Experiment("chase.llc", ("chase", first, str(llc // 2), reps))
        yield Experiment("chase.beyond llc", ("chase", first, str(4 * llc), reps))
        yield Experiment("beyond", ("beyond", first, str(llc // 8), str(4 * llc), reps))
    each = str(max(STREAM_KIB, 2 * llc // max(1, an_llc // topology.smt)))
    cores: Sequence[int] = lie.cpus[: a_node : topology.smt]
    yield Experiment("node", ("stream", ",".join(map(str, cores)), each, reps))
