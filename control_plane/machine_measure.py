# SPDX-License-Identifier: Apache-2.0
"""`schedcp machine measure`: this host measured, and written as a machine if that is to be trusted."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.machine_file import ID
from benchmarks.machine_text import descriptor_text
from benchmarks.machines import HOST, machine_files
from control_plane.machine_outputs import MachineMeasureOutput, MeasuredNumber
from control_plane.machines import machine_output, odd_lines
from control_plane.output import escape, out, print_json, working
from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write, check_writable
from policy_lake.show import for_terminal
from tasks.host.settings import load_settings
from tasks.machine.experiments import SHORT, Effort
from tasks.machine.measure import Measured, measure_host


def measure_command(output: Path, *, force: bool, replace: bool = False, short: bool, as_json: bool) -> int:
    """Measure, print, write; exit status 4, and nothing written, where it is not to be trusted, unless `force`.

    InputError, before anything is measured, for an `output` that could not be written, that is there already unless
    it is to be replaced, or whose name no machine can have, or another has.
    """
    if output.suffix != ".toml":
        raise InputError(f"{output}: a machine's descriptor is called *.toml")
    if not ID.fullmatch(output.stem) or output.stem in (*machine_files(), HOST):
        raise InputError(
            f"{output}: its name becomes the machine's: lowercase letters, digits, dashes, and no known one"
        )
    if (output.exists() or output.is_symlink()) and not replace:
        raise InputError(f"{output}: is there already: choose another file, or --replace it")
    if not output.parent.is_dir():
        raise InputError(f"{output}: no folder {output.parent}")
    check_writable(output)
    with working("measuring this host") as say:
        measured = measure_host(load_settings(), SHORT if short else Effort(), say, name=output.stem)
    written = force or not measured.why
    if written:
        atomic_write(output, descriptor_text(measured.machine, comment=_comment(measured)).encode())
    if as_json:
        print_json("machine measure", _output(measured, output if written else None))
    else:
        _show(measured)
    if not measured.why:
        return 0
    done = f"{output} is written all the same" if written else "nothing is written"
    sys.stderr.write(f"schedcp: not to be trusted, and {for_terminal(done)}: {for_terminal('; '.join(measured.why))}\n")
    return 0 if written else InfraError.exit_status


def _comment(measured: Measured) -> str:
    lines = ["SPDX-License-Identifier: Apache-2.0", "Written by `schedcp machine measure`."]
    return "\n".join([*lines, *(f"NOT TO BE TRUSTED: {why}." for why in measured.why)])


def _output(measured: Measured, file: Path | None) -> MachineMeasureOutput:
    found = tuple(
        MeasuredNumber(one.name, one.value, one.low, one.high, one.samples, one.unit, one.why)
        for one in measured.numbers
    )
    path = str(file.absolute()) if file else None
    return MachineMeasureOutput(
        trusted=not measured.why, why=measured.why, file=path, seconds=measured.seconds,
        stolen_share=measured.stolen_share, others_share=measured.others_share, numbers=found,
        left_out=measured.left_out, machine=machine_output(measured.machine, path),
    )  # fmt: skip


def _show(measured: Measured) -> None:
    out().print(f"[bold]{escape(measured.machine.title)}[/], {escape(measured.machine.topology)}", soft_wrap=True)
    for one in measured.numbers:
        trust = f"  NOT KNOWN: {one.why}" if one.why else ""
        line = f"{one.name}: {one.value:.4g} {one.unit} [{one.low:.4g}, {one.high:.4g}], {one.samples} samples{trust}"
        out().print(f"  {escape(' '.join(line.split()))}", soft_wrap=True)
    for name, why in measured.left_out.items():
        out().print(f"  {escape(name)}: left out: {escape(why)}", soft_wrap=True)
    for odd in odd_lines(measured.machine):
        out().print(f"  odd: {escape(odd)}", soft_wrap=True)
    shares = f"others took {measured.others_share:.1%} of the CPUs' time, a hypervisor {measured.stolen_share:.1%}"
    out().print(f"in {measured.seconds:.0f} s; {shares}", soft_wrap=True)
