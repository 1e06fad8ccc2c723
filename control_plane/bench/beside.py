# SPDX-License-Identifier: Apache-2.0
"""What was measured natively beside what the guest of this host's machine took: ratios, verdicts, the page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LIMIT = 0.25  # of the native time


@dataclass(frozen=True, slots=True)
class Beside:
    """Native samples and the guest's one figure, in ns."""

    native: Sequence[float]
    guest: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: the native median in ns with its range, the guest's ns, and whether it had to be near."""

    name: str
    native: float
    low: float
    high: float
    guest: float
    required: bool = True

    @property
    def ratio(self) -> float:
        """The guest's time over the native one; nan where there is nothing natively to compare with."""
        return self.guest / self.native if self.native > 0 else float("nan")

    @property
    def within(self) -> bool:
        """Within LIMIT of the native median."""
        return abs(self.ratio - 1) <= LIMIT

    @property
    def missed(self) -> bool:
        """Whether a target was missed."""
        return self.required and not self.within

    @property
    def verdict(self) -> str:
        """In words."""
        return f"within {LIMIT:.0%}" if self.within else f"not within {LIMIT:.0%}"

    @property
    def line(self) -> str:
        """As the bench prints it."""
        mark = "MISS " if self.missed else "met  " if self.required else "     "
        native = f"natively {shown(self.native)} [{shown(self.low)}, {shown(self.high)}]"
        return f"{mark} {self.name:<38} {self.ratio:.2f}x  {native}, guest {shown(self.guest)}"


def shown(ns: float) -> str:
    """A time in the unit that reads best."""
    if abs(ns) >= 1e6:
        return f"{ns / 1e6:.2f} ms"
    return f"{ns / 1e3:.2f} us"


def undisturbed(samples: Sequence[float]) -> float:
    """The lower quartile (nearest rank) of wall-clock times: what others do on the host only ever makes one longer."""
    return sorted(samples)[(len(samples) - 1) // 4]


def cost(name: str, of: Beside) -> Row:
    """A cost by the wall clock: its lower quartile, with the least and the median, beside the guest's."""
    return Row(name, undisturbed(of.native), min(of.native), statistics.median(of.native), of.guest, required=False)


def program_rows(programs: Mapping[str, Beside]) -> list[Row]:
    """The median of CPU times with their range for each; each had to be within LIMIT."""
    return [
        Row(name, statistics.median(of.native), min(of.native), max(of.native), of.guest)
        for name, of in programs.items()
    ]


def cost_rows(costs: Mapping[str, Beside]) -> list[Row]:
    """Calls, switches, evictions beyond the switch that both have, and wake-ups; told, with no limit of their own."""
    nothing = costs["evict 0"]
    base = undisturbed(nothing.native)
    rows = [
        cost("a round of system calls", costs["calls"]),
        cost("a switch between two processes", costs["switch"]),
        cost("a process that comes back, nothing lost", nothing),
    ]
    for other in (64, 4096):
        of = costs[f"evict {other}"]
        more = Beside([one - base for one in of.native], of.guest - nothing.guest)
        rows.append(cost(f"more with 512 KiB, beside {other} KiB", more))
    return [*rows, *(cost(f"a wake-up, {us} us after the last", costs[f"wake {us}"]) for us in (120, 1200, 6000))]


def program_table(rows: Sequence[Row], user_ps: int) -> list[str]:
    """As Markdown, with the picoseconds that an instruction of each took natively, if the guest counts them right."""
    lines = [
        "| what | natively, median | range | guest | guest / native | | ps an instruction natively |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        within = f"{shown(one.low)} to {shown(one.high)}"
        ps = f"{user_ps / one.ratio:.0f}"
        cells = (one.name, shown(one.native), within, shown(one.guest), f"{one.ratio:.2f}", one.verdict, ps)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def cost_table(rows: Sequence[Row]) -> list[str]:
    """As Markdown."""
    lines = [
        "| what | natively, lower quartile | least | median | guest | guest / native |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        times = (shown(time) for time in (one.native, one.low, one.high, one.guest))
        lines.append(f"| {one.name} | {' | '.join(times)} | {one.ratio:.2f} |")
    return lines


def page(programs: Sequence[Row], costs: Sequence[Row], *, where: str, machine: str, user_ps: int) -> str:
    """The whole page; `machine` tells the costs that were measured in the same run, and what speaks against them."""
    near = sum(one.within for one in programs)
    lines = [
        "# This host and a guest that is taken for it", "",
        f"Written by `make bench-real` on {where}. The guest has this host's costs as they were measured in the same "
        f"run: {machine}. Nothing was set for one program.", "",
        "## Programs, by CPU time", "",
        "Natively seven times on one CPU; in the guest once, for it repeats itself. The last column is the guest's "
        "rate over the ratio: the rate with which this program alone would be right, kernel code included.", "",
        *program_table(programs, user_ps), "",
        f"{near} of {len(programs)} are within {LIMIT:.0%}.", "",
        "## What scheduling costs, by the clock on the wall", "",
        "Natively the lower quartile counts: what others do on the host only makes a time longer.", "",
        *cost_table(costs), "",
        "The experiments are words of benchmarks/machines/measure.c. The guest's numbers for switches and idle CPUs "
        "were found by two of them, less what its kernel executes: these rows say whether that sum comes out again. "
        "Eviction has no number of its own: it follows from the working sets that the processes tell, `l2_kib` and "
        "`llc_gbps`. In the guest the other CPU seldom idles for all of 6 ms: something runs there meanwhile, and then "
        "it pays for the shorter rest. On a host where others work, that CPU natively does not idle at all.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
