# SPDX-License-Identifier: Apache-2.0
"""What /proc says of load: PSI, run-queue delay by schedstat's version, context switches, idle CPUs. Times in s."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policy_lake.errors import InfraError, InputError
from policy_lake.files import read_outside

LARGEST = 4 << 20
SCHEDSTAT_VERSIONS = (15, 16, 17)  # in these a CPU's line has nine numbers, of which the last three are meant here
TICK_S = 0.01  # USER_HZ, which is 100 on x86 and arm64


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Of each CPU, by its name, the time that it was idle; tasks that run or are runnable; switches since boot."""

    idle_s: dict[str, float]
    running: int
    switches: int


@dataclass(frozen=True, slots=True)
class RunDelay:
    """Over all CPUs since boot: time waited for one, turns taken; wake-ups, and those on the CPU of the waker."""

    waited_s: float
    turns: int
    wakes: int = 0
    local_wakes: int = 0


def read_text(path: Path) -> str:
    """A file of the kernel's; InfraError where it is not there."""
    try:
        return read_outside(path, LARGEST).decode(errors="replace")
    except InputError as error:
        raise InfraError(str(error)) from None


def pressure(proc: Path, what: str) -> dict[str, float]:
    """PSI of cpu, memory or io: `some_avg10`, `full_avg10` in percent and `some_total_s`, as far as it is told."""
    found: dict[str, float] = {}
    for line in read_text(proc / "pressure" / what).splitlines():
        kind, *pairs = line.split()
        values = dict(pair.partition("=")[::2] for pair in pairs)
        if kind in ("some", "full") and {"avg10", "total"} <= values.keys():
            found[f"{kind}_avg10"] = _number(values["avg10"])
            found[f"{kind}_total_s"] = _number(values["total"]) / 1e6
    if "some_avg10" not in found:
        raise InfraError(f"{proc}/pressure/{what}: has no line 'some'")
    return found


def run_delay(proc: Path) -> RunDelay:
    """From /proc/schedstat; InfraError for a version whose columns nobody here knows."""
    lines = read_text(proc / "schedstat").splitlines()
    version = lines[0].partition(" ")[2] if lines and lines[0].startswith("version ") else ""
    if version not in map(str, SCHEDSTAT_VERSIONS):
        known = ", ".join(map(str, SCHEDSTAT_VERSIONS))
        raise InfraError(f"{proc}/schedstat: version {version[:20] or '?'} is none of those known ({known})")
    waited_ns = turns = wakes = local = 0
    for line in lines:
        name, *numbers = line.split()
        if name.startswith("cpu"):
            if len(numbers) != 9:
                raise InfraError(f"{proc}/schedstat: {name} has {len(numbers)} numbers, not 9")
            waited_ns, turns = waited_ns + int(numbers[7]), turns + int(numbers[8])
            wakes, local = wakes + int(numbers[4]), local + int(numbers[5])
    return RunDelay(waited_ns / 1e9, turns, wakes, local)


def cpu_times(proc: Path) -> CpuTimes:
    """From /proc/stat; InfraError where it does not say."""
    idle: dict[str, float] = {}
    counts: dict[str, int] = {}
    for line in read_text(proc / "stat").splitlines():
        name, *numbers = line.split(None, 6)
        if name.startswith("cpu") and name != "cpu" and len(numbers) >= 5:
            idle[name] = (int(numbers[3]) + int(numbers[4])) * TICK_S
        elif name in ("ctxt", "procs_running") and numbers:
            counts[name] = int(numbers[0])
    if not idle or len(counts) != 2:
        raise InfraError(f"{proc}/stat: does not tell of CPUs, ctxt and procs_running")
    return CpuTimes(idle, counts["procs_running"], counts["ctxt"])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InfraError(f"PSI: {text[:20]!r} is no number") from None
