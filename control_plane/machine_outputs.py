# SPDX-License-Identifier: Apache-2.0
"""What `machines` and `machine measure` print with `--json`, as records."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.machine_fields import Priced


@dataclass(frozen=True, slots=True)
class MachineOutput:
    """A machine; `costs` in the units of its file, null where it does not say; `sources` by the costs' names.

    `said`: of a scaled one what was done, of this host where its costs come from. `file`: none for this host.
    `odd`: what can be and hardly is, each with its field.
    """

    name: str
    title: str
    topology: str
    cpus: int
    llcs: int
    smt: int
    nodes: int
    costs: Priced
    sources: dict[str, str]
    file: str | None
    said: str
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MachinesOutput:
    """The project's machines by name, this host last; where that cannot be told, `host_wrong` says why."""

    machines: tuple[MachineOutput, ...]
    host_wrong: str = ""


@dataclass(frozen=True, slots=True)
class MeasuredNumber:
    """A number of the descriptor, or of a list in it (`idle_exit.800`, `turbo.2`), with its 95 % interval.

    `why`: why it is not to be trusted; empty where it is.
    """

    name: str
    value: float
    low: float
    high: float
    samples: int
    unit: str
    why: str


@dataclass(frozen=True, slots=True)
class MachineMeasureOutput:
    """This host measured; `file` is null where nothing was written, and `why` says why it is not `trusted`.

    `left_out`: by name, why this host cannot show a number. Shares of the CPUs' time, from 0 to 1: `stolen_share` of a
    hypervisor's other guests, `others_share` of other processes.
    """

    trusted: bool
    why: tuple[str, ...]
    file: str | None
    seconds: float
    stolen_share: float
    others_share: float
    numbers: tuple[MeasuredNumber, ...]
    left_out: dict[str, str]
    machine: MachineOutput
