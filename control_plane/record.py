# SPDX-License-Identifier: Apache-2.0
"""`schedcp record`: a command run on this host, and what its tasks did to the scheduler written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.replay_fidelity import others_share
from benchmarks.trace.file import hash_names
from benchmarks.trace.tasks import Trace, cpu_by_name
from control_plane.output import column, err, escape, out, print_json, working
from control_plane.outputs import RecordOutput
from control_plane.progress import shown
from policy_lake.errors import InputError
from policy_lake.files import check_writable
from policy_lake.show import name_shown
from tasks.host.settings import load_settings
from tasks.host.workloads import check_trace_name
from tasks.traces.keep import write_or_keep
from tasks.traces.record import record


def record_command(
    command: Sequence[str], output: Path, *, hashed: bool, allow_failure: bool, check: bool, as_json: bool
) -> int:
    """Record, write, print; the command's own output goes through before. Nothing is written if anything fails.

    InputError, before the command runs, for an `output` that could not be written, or not be added as a workload; a
    recording for which there is no room there by then is kept elsewhere (InfraError says where).
    """
    if not output.parent.is_dir():
        raise InputError(f"{output}: no folder {output.parent}")
    check_writable(output)
    check_trace_name(output)
    with ExitStack() as going_on:

        def tell(runs: bool) -> None:
            going_on.close()
            if not runs:
                going_on.enter_context(working("ending the recording"))
                return
            until = f"recording {command[0]} until it ends"
            if err().is_terminal:
                err().print(escape(until), soft_wrap=True)
            going_on.enter_context(shown(err(), until, alone=False))  # the terminal is the command's

        recording = record(
            command, allow_failure=allow_failure, buffer_mib=load_settings().record_buffer_mib, on_phase=tell
        )
        trace = hash_names(recording.trace) if hashed else recording.trace
        write_or_keep(trace, output)
    if as_json and not check:
        print_json("record", written(trace, output, status=recording.status))
    elif not as_json:
        show(trace, output)
    if check:
        from control_plane.fidelity import fidelity_command

        return fidelity_command(output, load_settings(), as_json=as_json)
    return 0


def written(trace: Trace, path: Path, *, status: int) -> RecordOutput:
    """What a written trace holds; `status` is that of the command."""
    info, cpu_ms = trace.info, cpu_by_name(trace)
    return RecordOutput(
        file=str(path), bytes=path.stat().st_size, status=status, command=info.command, tasks=trace.tasks,
        operations=len(trace), cpus=info.cpus, makespan_ms=info.wall_us / 1e3, cpu_ms=sum(cpu_ms.values()),
        wakeups=info.wakeups, others_share=others_share(trace), stolen_share=info.stolen_share, kernel=info.kernel,
        commands=dict(sorted(cpu_ms.items(), key=lambda item: -item[1])), footprints_kib=info.footprints_kib,
    )  # fmt: skip


def show(trace: Trace, path: Path) -> None:
    """A trace in a few lines."""
    info, cpu_ms = trace.info, cpu_by_name(trace)
    console = out()
    console.print(f"[bold]{escape(str(path))}[/]: {path.stat().st_size / 1e3:.0f} kB, {trace.tasks} tasks, "
                  f"{len(trace)} operations", soft_wrap=True)  # fmt: skip
    console.print(f"{escape(name_shown(info.command))}: {info.wall_us / 1e3:.0f} ms on {info.cpus} CPUs, "
                  f"{sum(cpu_ms.values()):.0f} ms of CPU time, {info.wakeups} wake-ups", soft_wrap=True)  # fmt: skip
    for name, ms in sorted(cpu_ms.items(), key=lambda item: -item[1])[:8]:
        kib = info.footprints_kib.get(name)
        peak = f"  {kib / 1024:8.1f} MiB a process at most" if kib else ""
        console.print(f"  {column(name, 16)} {ms:10.1f} ms{peak}", soft_wrap=True)
    if (lost := others_share(trace) + info.stolen_share) > 0.05:
        console.print(
            f"[yellow]warning[/]: others had {lost:.0%} of its CPUs meanwhile, so the original's makespan is "
            "longer than its own work makes it", soft_wrap=True,
        )  # fmt: skip
