# SPDX-License-Identifier: Apache-2.0
"""What the virtual clock costs, and how soon a candidate has its answer: half of `python -m control_plane.bench.clock`.

A step's wall time is that between the arrivals of two events, so the guest's own idea of time has no part in it.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.attachment import bad_detach, lost_attachment
from benchmarks.workloads import arguments
from bpf.build import compile_policy
from bpf.library import policies, policy
from control_plane.bench.figures import Figure
from control_plane.bench.loop import SCHEDCP, timed
from control_plane.bench.timed import DEADLINE_S, Timed, check_all, guest_of, step, timed_run
from policy_lake.errors import InfraError
from policy_lake.events import Attached, Detached, Ran
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.model import Clock
from policy_lake.printed import number
from tasks.host.settings import load_settings
from tasks.host.workloads import find_workload
from verifier_vm.judge.gate import OBJECT, verify_object
from verifier_vm.machine.vm import run

CLOCKS: tuple[Clock, ...] = ("virtual", "wall")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often and how much: rounds are crunch's, of all threads together; `blocks` are those of batch's short job."""

    scores: int = 10
    identical: int = 3
    pairs: int = 10
    repeats: int = 3
    compression: int = 3000
    checksum: int = 1500
    blocks: int = 220_000
    idle_wakeups: int = 100
    answers: int = 7
    verifications: int = 5
    candidates: int = 20


QUICK = Sizes(2, 1, 2, 1, 80, 80, 10_000, 20, 1, 1, 2)


def crunch(sizes: Sizes, cpus: int) -> tuple[GuestStep, ...]:
    """Both kinds of real program, as much work in all on any number of CPUs."""
    kinds = {"compression": ("0", sizes.compression), "checksum": ("1", sizes.checksum)}
    return tuple(
        step(name, "crunch", "--kind", kind, "--threads", str(cpus), "--work", str(max(1, rounds // cpus)))
        for name, (kind, rounds) in kinds.items()
    )


def cost_figures(sizes: Sizes) -> list[Figure]:
    """The same work by both clocks at 2 vCPUs, guests in turn, medians."""
    workload = find_workload("batch", load_settings())
    batch = (workload.program, *arguments(workload, seed=1, accel="tcg"), "--short-work", str(sizes.blocks))
    warm = step("warm-up", "crunch", "--work", "5"), step("warm-up-2", "batch", "--short-work", "1000", "--real", "1")
    steps = (*warm, *crunch(sizes, 2), step("real", *batch, "--real", "1"), step("bursts", *batch))
    taken: dict[str, list[Timed]] = {clock: [] for clock in CLOCKS}
    for _ in range(sizes.repeats):
        for clock in CLOCKS:
            taken[clock].append(timed_run(GuestJob({}, steps, seed=1), guest_of(clock).machine))
    named = {
        "compression": ("cost of compression", 2.5), "checksum": ("cost of checksums", 2.5),
        "real": ("cost of batch, all executed", 1.3), "bursts": ("cost of batch, bursts charged", 1.3),
    }  # fmt: skip
    return [
        cost_figure(
            name,
            limit,
            wall_s=_medians([[timed.wall_s[label] for timed in taken[clock]] for clock in CLOCKS]),
            cpu_s=_medians([[timed.cpu_s[label] for timed in taken[clock]] for clock in CLOCKS]),
        )
        for label, (name, limit) in named.items()
    ]


def _medians(values: list[list[float]]) -> tuple[float, float]:
    first, second = (statistics.median(samples) for samples in values)
    return first, second


def cost_figure(name: str, limit: float, *, wall_s: tuple[float, float], cpu_s: tuple[float, float]) -> Figure:
    """The ratio virtual to plain TCG; only that of wall time has a target."""
    wall, cpu = wall_s[0] / wall_s[1], cpu_s[0] / cpu_s[1]
    measured = (
        f"{wall:.2f}x wall ({wall_s[0]:.2f} s, plain TCG {wall_s[1]:.2f} s), "
        f"{cpu:.2f}x CPU ({cpu_s[0]:.2f} s, {cpu_s[1]:.2f} s)"
    )
    return Figure(name, measured, f"<= {limit}x wall", wall <= limit)


def scale_figures(sizes: Sizes) -> list[Figure]:
    """As much work on 8 vCPUs as on 2, in virtual time."""
    taken: dict[int, list[Timed]] = {2: [], 8: []}
    for _ in range(sizes.repeats):
        for cpus, done in taken.items():
            steps = (step("warm-up", "crunch", "--work", "5"), *crunch(sizes, cpus))
            done.append(timed_run(GuestJob({}, steps, seed=1), guest_of(cpus=cpus).machine))
    figures = []
    for label in ("compression", "checksum"):
        two, eight = _medians([[timed.wall_s[label] for timed in done] for done in taken.values()])
        measured = f"{eight / two:.2f}x wall per unit of work ({eight:.2f} s, on 2 {two:.2f} s)"
        figures.append(Figure(f"8 vCPUs against 2, {label}", measured, "<= 1.5x", eight / two <= 1.5))
    return figures


def idle_figures(sizes: Sizes) -> list[Figure]:
    """Two sleepers and nothing else: what a virtual second of idling takes."""
    args = ("--sleepers", "2", "--hogs-per-cpu", "0", "--think-us", "1000000", "--wakeups", str(sizes.idle_wakeups))
    job = GuestJob({}, (step("warm-up", "crunch", "--work", "1"), step("idle", "wakeup", *args)), seed=1)
    done = [timed_run(job, guest_of().machine) for _ in range(sizes.repeats)]
    virtual_s = number(done[0].out("idle"), "wall_ms", where="step 'idle'", zero=False) / 1e3
    wall_s = statistics.median(timed.wall_s["idle"] for timed in done)
    measured = f"{wall_s / virtual_s:.4f} s of wall per virtual second ({wall_s:.2f} s for {virtual_s:.1f} s)"
    return [Figure("idle guest", measured, "<= 0.05 s", wall_s / virtual_s <= 0.05)]


def answer_figures(sizes: Sizes) -> list[Figure]:
    """From an object's bytes to attached, ran, clean, in a guest from a snapshot that is there."""
    guest, vtime = guest_of(), policy("vtime")
    data = compile_policy(vtime.source, name=vtime.id, vmlinux_dir=guest.kernel.headers).data
    short = step("run", "batch", "--jobs", "8", "--short-work", "5000")
    job = GuestJob({OBJECT: data}, (GuestStep("attach", (OBJECT,), "attach"), short, GuestStep("detach", (), "detach")))
    seconds = []
    for _ in range(1 + sizes.answers):  # the first takes the snapshot if there is none
        start = time.monotonic()
        report = run(job, guest.machine, deadline_s=DEADLINE_S)
        seconds.append(time.monotonic() - start)
        check_all(job.steps, report)
        attach, ran, detach = report.events
        assert isinstance(attach, Attached) and isinstance(ran, Ran) and isinstance(detach, Detached)
        if wrong := lost_attachment(attach, ran, where="step 'run'") or bad_detach(detach):
            raise InfraError(wrong)
    middle = statistics.median(seconds[1:])
    measured = f"{middle:.2f} s, from {min(seconds[1:]):.2f} to {max(seconds[1:]):.2f} s"
    return [Figure(f"object to first answer, p50 of {sizes.answers}", measured, "<= 1.5 s", middle <= 1.5)]


def verify_figures(sizes: Sizes) -> list[Figure]:
    """`schedcp verify` of a good policy, its start and its token included."""
    command = [SCHEDCP, "verify", "bpf/library/vtime.bpf.c", "--json"]
    seconds = [timed(command)[0] for _ in range(sizes.verifications)]
    middle, name = statistics.median(seconds), f"schedcp verify vtime, p50 of {sizes.verifications}"
    return [Figure(name, f"{middle:.2f} s, at most {max(seconds):.2f} s", "<= 5 s", middle <= 5)]


def throughput_figures(sizes: Sizes) -> list[Figure]:
    """Candidates built, loaded and stressed, two at a time; no two have the same source."""
    guest, known = guest_of(), policies()

    def accepted(index: int) -> bool:
        candidate = known[index % len(known)]
        source = f"{candidate.source}\n// candidate {index}\n"
        made = compile_policy(source, name=candidate.id, vmlinux_dir=guest.kernel.headers)
        return verify_object(made.data, (), guest.machine, seed=index, deadline_s=DEADLINE_S).verdict.accepted

    start = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        good = sum(pool.map(accepted, range(sizes.candidates)))
    seconds = time.monotonic() - start
    a_minute = sizes.candidates / seconds * 60
    measured = f"{a_minute:.0f} a minute ({sizes.candidates} in {seconds:.1f} s, {good} accepted)"
    met = a_minute >= 20 and good == sizes.candidates
    return [Figure("build, load, survive, two at a time", measured, ">= 20 a minute", met)]
