# SPDX-License-Identifier: Apache-2.0
"""`make bench-real`: real programs, and what scheduling costs, on this host and in a guest that is taken for this host.

Both in one run: the host is measured (tasks/machine), the programs run natively, pinned to one CPU, and then in a guest
with the costs that were found. A program's figure is its CPU time as the kernel counts it, which a busy host changes
little.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.scaled_machine import at
from control_plane.bench.beside import Beside, Row, cost_rows, program_rows
from control_plane.bench.beside import page as tables
from control_plane.bench.real_files import image_with, python_with_test, tool, with_libraries
from control_plane.bench.timed import DEADLINE_S, STEP_S, check_all
from policy_lake.errors import InfraError
from policy_lake.guest import GuestJob, GuestReport, GuestStep
from policy_lake.printed import last_object, number
from policy_lake.secrets import child_environment
from tasks.host.guest import Shape, prepare_guest
from tasks.host.programs import workload_programs
from tasks.host.settings import Settings, load_settings
from tasks.machine.experiments import FOLDER, PROGRAM, Effort, measuring_program
from tasks.machine.measure import Measured, measure_host
from verifier_vm.machine.image import Program, build_image, host_program
from verifier_vm.machine.vm import run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fidelity-machine.md"
CPUTIME = Program((FOLDER / "cputime.c",))
REPEATS = 7
CPU = "0"
NATIVE_SAMPLES, GUEST_SAMPLES = "41", "7"
# The same experiment on both sides, but for the count of samples. CPUs idle a little longer than `machine measure` lets
# them, so that the guest's steps of idle_exit are reached.
COSTS = {
    "calls": ("syscalls", CPU), "switch": ("switch", CPU),
    "evict 0": ("evict", CPU, "512", "0"), "evict 64": ("evict", CPU, "512", "64"),
    "evict 4096": ("evict", CPU, "512", "4096"), "wake 120": ("wake", CPU, "1", "120"),
    "wake 1200": ("wake", CPU, "1", "1200"), "wake 6000": ("wake", CPU, "1", "6000"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Real:
    """A program by its path with its words; `per`: what its CPU time is divided by, of the object that it prints."""

    name: str
    words: tuple[str, ...]
    files: tuple[Path, ...] = ()
    per: str = ""

    def cputime(self, repeats: int) -> tuple[str, ...]:
        """The words of cputime that run it."""
        return (str(repeats), CPU, "show" if self.per else "drop", *self.words)


def real_programs(settings: Settings) -> list[Real]:
    """What runs: the project's own programs as the guest has them, and the compiler, gzip and Python of this host."""
    cache = settings.cache_dir
    own = {name: str(host_program(name, workload_programs()[name], cache)) for name in ("crunch", "schbench")}
    folder = cache / "real"
    python = python_with_test(folder / "python")
    source, text = folder / "source.i", folder / "text"
    sources = sorted((ROOT / "benchmarks" / "guest").glob("*.c"))
    cc1, assembler, gzip = tool("cc1"), tool("as"), tool("gzip")
    _made(["gcc", "-E", "-O2", "-D_GNU_SOURCE", str(ROOT / "benchmarks/guest/crunch.c"), "-o", str(source)])
    assembly = folder / "source.s"
    compile_words = (str(cc1), "-quiet", "-O2", "-fpreprocessed", str(source), "-o")
    _made([*compile_words, str(assembly)])
    text.write_bytes(b"".join(path.read_bytes() for path in sources) * 12)

    def of_host(name: str, words: Sequence[str], *files: Path) -> Real:
        return Real(name, tuple(words), (*files, *with_libraries([Path(words[0])])))

    def of_ours(name: str, words: str, per: str = "") -> Real:
        program, *rest = words.split()
        return Real(name, (own[program], *rest), (Path(own[program]),), per)

    return [
        of_ours("compression (crunch)", "crunch --kind 0 --threads 1 --work 200"),
        of_ours("checksums (crunch)", "crunch --kind 1 --threads 1 --work 40"),
        of_host("gzip", [str(gzip), "-c", "-n", str(text)], text),
        of_host("C compiler (cc1 -O2)", [*compile_words, "/dev/null"], source),
        of_host("assembler (as)", [str(assembler), "--64", str(assembly), "-o", "/dev/null"], assembly),
        of_ours(
            "schbench's matrix work, a request",
            "schbench -m 1 -t 1 -n 1 -F 256 -s 100 --real 1 -w 0 --runtime-ms 100", "requests",
        ),
        Real("Python test", python.words, python.files),
    ]  # fmt: skip


def _made(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        raise InfraError(f"{command[0]}: {getattr(error, 'stderr', '') or error}") from error


def times_ns(out: str, per: str) -> list[float]:
    """The CPU times that cputime printed, divided by what the program printed before each, where it is asked for."""
    times: list[float] = []
    before: list[str] = []
    for line in out.splitlines():
        if not line.startswith("cpu_ns "):
            before.append(line)
            continue
        by = number(last_object("\n".join(before), where="a program"), per, where="a program", zero=False) if per else 1
        times.append(float(line.split()[1]) / by)
        before.clear()
    if not times:
        raise InfraError("cputime printed no time")
    return times


def natively(words: Sequence[str]) -> str:
    """What the command prints; InfraError where it fails."""
    try:
        done = subprocess.run(
            words, capture_output=True, check=True, timeout=300, env=child_environment(), stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InfraError(f"{words[0]}: {error}") from error
    return done.stdout.decode(errors="replace")


def _samples(out: str) -> list[float]:
    return [float(line) for line in out.split()]


def in_guest(settings: Settings, measured: Measured, programs: Sequence[Real]) -> GuestReport:
    """Every program once and every experiment, in a guest whose CPUs are this host's."""
    model = at(measured.machine, 2).model
    guest = prepare_guest(settings, Shape(model.topology, clock="virtual", costs=model.costs, machine="host"))
    image = build_image({"measure": PROGRAM, "cputime": CPUTIME}, {}, settings.cache_dir)
    image = image_with(image, [file for one in programs for file in one.files], settings.cache_dir)
    steps = [GuestStep("run", ("cputime", *one.cputime(1)), label=one.name, timeout_s=STEP_S) for one in programs] + [
        GuestStep("run", ("measure", *words, GUEST_SAMPLES), label=name, timeout_s=STEP_S)
        for name, words in COSTS.items()
    ]
    report = run(GuestJob({}, tuple(steps), 1), replace(guest.machine, initrd=image), deadline_s=2 * DEADLINE_S)
    check_all(steps, report)
    return report


def measured_rows(settings: Settings) -> tuple[Measured, list[Row], list[Row]]:
    """Programs and costs beside each other, and the host that was measured in the same run."""
    measured = measure_host(settings, Effort(), lambda words: sys.stderr.write(f"{words}\n"))
    programs = real_programs(settings)
    cputime, experiments = host_program("cputime", CPUTIME, settings.cache_dir), measuring_program(settings.cache_dir)
    native = {one.name: times_ns(natively([str(cputime), *one.cputime(REPEATS)]), one.per) for one in programs} | {
        name: _samples(natively([str(experiments), *words, NATIVE_SAMPLES])) for name, words in COSTS.items()
    }
    report = in_guest(settings, measured, programs)
    beside = {
        one.name: Beside(native[one.name], times_ns(report.ran(one.name).out, one.per)[0]) for one in programs
    } | {name: Beside(native[name], statistics.median(_samples(report.ran(name).out))) for name in COSTS}
    return measured, program_rows({one.name: beside[one.name] for one in programs}), cost_rows(beside)


def told(measured: Measured) -> str:
    """The costs in words, and what speaks against them."""
    costs = measured.machine.costs
    exits = ", ".join(f"{ns} ns after {us} us" for us, ns in costs.idle_exit) or "none"
    against = "; ".join(measured.why)
    return (
        f"{costs.user_ps} ps an instruction of a program, {costs.kernel_ps} ps one of the kernel, {costs.switch_ns} ns "
        f"more for a switch, L2 of {costs.l2_kib} KiB filled at {costs.llc_mbps / 1000:.1f} GB/s, idle exits {exits}"
        f"{f' (measured on a host that is not to be trusted: {against})' if against else ''}"
    )


def main() -> int:
    """Measure, print, write the page; 1 where a program is beyond its limit."""
    load = os.getloadavg()[0]
    measured, programs, costs = measured_rows(load_settings())
    for row in (*programs, *costs):
        print(row.line, flush=True)
    where = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs, load {load:.1f} before, {measured.machine.title}"
    rates = measured.machine.costs
    PAGE.write_text(tables(programs, costs, where=where, machine=told(measured), user_ps=rates.user_ps), "utf-8")
    return int(any(row.missed for row in programs))


if __name__ == "__main__":
    sys.exit(main())
