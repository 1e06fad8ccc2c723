# SPDX-License-Identifier: Apache-2.0
"""Figures of a bench: what was measured beside what it was to reach, printed as they come."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from policy_lake.errors import SchedcpError


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value and what it was to reach; one that is not `required` is only told, met or not."""

    name: str
    measured: str
    target: str
    met: bool
    required: bool = True

    @property
    def missed(self) -> bool:
        """Whether the bench fails for it."""
        return self.required and not self.met


def line(figure: Figure) -> str:
    """As `make bench` prints it."""
    verdict = "MISS " if figure.missed else "met  " if figure.required else "     "
    return f"{verdict} {figure.name:<38} {figure.measured}  (target {figure.target})"


def main(prog: str, known: Mapping[str, Callable[[], Iterable[Figure]]], argv: Sequence[str] | None = None) -> int:
    """Print the figures asked for (all, if none is named) as they come; 1 if a target was missed.

    One that cannot be had is a missed one that says why, and the others go on.
    """
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(known)}; all if none is named")
    asked = parser.parse_args(argv).figures or list(known)
    if unknown := [name for name in asked if name not in known]:
        parser.error(f"unknown figure '{unknown[0]}'; known: {', '.join(known)}")
    print(f"measured on: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before, {os.uname().release}", flush=True)
    met = True
    for name in asked:
        try:
            for figure in known[name]():
                print(line(figure), flush=True)
                met = met and not figure.missed
        except (SchedcpError, OSError, subprocess.SubprocessError) as error:
            print(line(Figure(name, f"failed: {error}", "a figure", False)), flush=True)
            met = False
    return 0 if met else 1


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
