# SPDX-License-Identifier: Apache-2.0
"""`schedcp machines` and `machines show`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine_odd import oddities
from benchmarks.machine_text import given_costs, priced_of
from benchmarks.machines import HOST, machine, machine_files
from benchmarks.scaled_machine import at
from control_plane.machine_outputs import MachineOutput, MachinesOutput
from control_plane.output import escape, out, print_json
from policy_lake.errors import InfraError, InputError
from policy_lake.machine_model import MachineModel
from tasks.host.machine import find_machine, host_machine
from tasks.host.settings import load_settings

UNITS = {
    "user_ps": "ps an instruction of a program",
    "kernel_ps": "ps an instruction of the kernel",
    "switch_ns": "ns a context switch",
    "l2_kib": "KiB of private cache a core",
    "llc_kib": "KiB of each last-level cache",
    "llc_gbps": "GB/s from the LLC to a core",
    "memory_gbps": "GB/s from the node's memory to a core",
    "remote_gbps": "GB/s from another node's memory to a core",
    "node_gbps": "GB/s from a node's memory to all its cores",
    "beyond_llc": "of full speed for a task that finds no room in the LLC",
    "smt": "of full speed for each thread of a core while another is busy",
    "turbo": "of full speed with 1, 2, … busy cores in the node",
    "idle_exit": "(us idle, ns until it executes)",
    "capacity": "of full speed for each CPU",
    "user_kib": "KiB that a process works on that says nothing of it",
    "kernel_kib": "KiB that a kernel thread works on",
}


def list_command(*, as_json: bool) -> int:
    """The project's machines, and this host; where its file cannot be read, its row says why and the status is 2."""
    listed = [machine_output(machine(name), str(path)) for name, path in machine_files().items()]
    wrong = ""
    try:
        host = host_machine(load_settings())
        listed.append(machine_output(host.model, None, host.said))
    except (InputError, InfraError) as error:
        wrong = str(error)
    if as_json:
        print_json("machines", MachinesOutput(tuple(listed), wrong))
    else:
        for one in listed:
            out().print(f"[bold]{escape(one.name)}[/]: {escape(one.title)}; {escape(one.topology)}", soft_wrap=True)
            for odd in one.odd:
                out().print(f"  odd: {escape(odd)}", soft_wrap=True)
        if wrong:
            out().print(f"[bold]{HOST}[/]: [red]cannot be told[/]: {escape(wrong)}", soft_wrap=True)
    return InputError.exit_status if wrong else 0


def show_command(name: str, cpus: int | None, *, as_json: bool) -> None:
    """One machine, by name or path, whole or as a guest with that many CPUs has it."""
    settings = load_settings()
    said = host_machine(settings).said if name == HOST else ""
    model = find_machine(name, settings)
    if cpus is not None:
        scaled = at(model, cpus)
        model, said = scaled.model, "; ".join(filter(None, (scaled.words, said)))
    file = None if name == HOST else str(machine_files().get(name) or Path(name).absolute())
    if as_json:
        print_json("machines show", machine_output(model, file, said))
        return
    out().print(f"[bold]{escape(model.name)}[/]: {escape(model.title)}", soft_wrap=True)
    for line in _lines(model, said, file):
        out().print(f"  {escape(line)}", soft_wrap=True)


def _lines(model: MachineModel, said: str, file: str | None) -> Iterator[str]:
    if said:
        yield said
    yield f"{model.topology}"
    yield f"    {model.sources['topology']}"
    for name, value in given_costs(model.costs, model.sources).items():
        yield f"{name}: {_shown(value)} {UNITS[name]}"
        yield f"    {model.sources[name]}"
    yield from (f"odd: {line}" for line in odd_lines(model))
    if file:
        yield f"file: {file}"


def odd_lines(model: MachineModel) -> tuple[str, ...]:
    """What of a machine can be and hardly is, a line each."""
    return tuple(f"{field}: {what}" for field, what in oddities(model))


def _shown(value: Any) -> str:
    if not isinstance(value, list):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return ", ".join(f"({', '.join(map(str, one))})" if isinstance(one, list) else f"{one:g}" for one in value)


def machine_output(model: MachineModel, file: str | None, said: str = "") -> MachineOutput:
    """The machine as the commands print it."""
    lie = model.topology
    return MachineOutput(
        name=model.name, title=model.title, topology=str(lie), cpus=lie.cpus, llcs=lie.llcs, smt=lie.smt,
        nodes=lie.nodes, costs=priced_of(model.costs, model.sources), sources=model.sources, file=file, said=said,
        odd=odd_lines(model),
    )  # fmt: skip
