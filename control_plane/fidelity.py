# SPDX-License-Identifier: Apache-2.0
"""`schedcp fidelity`: a trace replayed under EEVDF in a guest, beside the run that was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.replay_fidelity import MAKESPAN_LIMIT, SHARE_LIMIT, Fidelity, Nearness
from benchmarks.trace.file import read_trace
from control_plane.output import column, escape, out, print_json, working
from control_plane.outputs import FidelityOutput, ReplayedCommand
from policy_lake.show import for_terminal, name_shown
from tasks.host.settings import Settings
from tasks.traces.replay import replay

# Shares below this in both runs say nothing in a table.
_SHOWN = 0.5
STATUS: Mapping[Nearness, int] = {"close": 0, "apart": 1, "unknown": 4}


def verdict_text(fidelity: Fidelity) -> str:
    """The verdict in one sentence."""
    lost = f"others had {fidelity.lost_share:.0%} of its CPUs while it was recorded"
    busy = fidelity.lost_share > MAKESPAN_LIMIT
    if fidelity.verdict == "close":
        return f"close: what it does under a policy may be read from its replay{f'; {lost}' if busy else ''}"
    if fidelity.verdict == "unknown":
        return f"unknown: {lost}, so the recording does not tell how long it takes: record it on a quieter host"
    if fidelity.share_error > SHARE_LIMIT:
        return (
            f"apart: the CPU time of {name_shown(fidelity.worst_share.name)} is another: trust no score of this trace"
        )
    off = fidelity.quiet_error if busy and fidelity.quiet_ms else fidelity.makespan_error
    return f"apart: the replay's makespan is {off:+.0%} off: trust no score of this trace"


def fidelity_command(file: Path, settings: Settings, *, as_json: bool) -> int:
    """Replay, compare, print; 1 where they differ, 4 where others had too much of the CPUs to tell."""
    trace = read_trace(file)
    with working(f"replaying {for_terminal(name_shown(trace.info.command))}: {trace.tasks} tasks"):
        fidelity = replay(trace, settings)
    if as_json:
        print_json("fidelity", compared(fidelity, str(file)))
    else:
        _show(fidelity)
    return STATUS[fidelity.verdict]


def compared(fidelity: Fidelity, file: str) -> FidelityOutput:
    """The comparison as the command prints it."""
    return FidelityOutput(
        file=file, command=fidelity.command, cpus=fidelity.cpus, close=fidelity.close,
        original_ms=fidelity.original_ms, replay_ms=fidelity.replay_ms, bound_ms=fidelity.bound_ms,
        makespan_error=fidelity.makespan_error, quiet_ms=fidelity.quiet_ms or None, quiet_error=fidelity.quiet_error,
        share_error_points=fidelity.share_error, worst_share=fidelity.worst_share.name,
        lost_share=fidelity.lost_share, wakeups=fidelity.wakeups,
        commands=tuple(
            ReplayedCommand(s.name, s.original_ms, s.replay_ms, s.original_share, s.replay_share)
            for s in fidelity.shares
        ),
        delays_us=fidelity.delays_us, verdict=fidelity.verdict, looks=fidelity.looks,
    )  # fmt: skip


def _show(fidelity: Fidelity) -> None:
    console = out()
    console.print(
        f"[bold]{escape(name_shown(fidelity.command))}[/] on {fidelity.cpus} CPUs, under EEVDF", soft_wrap=True
    )
    console.print(
        f"makespan: original {fidelity.original_ms:.1f} ms, replay {fidelity.replay_ms:.1f} ms, "
        f"{fidelity.makespan_error:+.1%} (wanted within {MAKESPAN_LIMIT:.0%}); bound {fidelity.bound_ms:.1f} ms",
        soft_wrap=True,
    )
    if fidelity.quiet_ms:
        console.print(
            f"less what others took of its CPUs: original {fidelity.quiet_ms:.1f} ms, {fidelity.quiet_error:+.1%}",
            soft_wrap=True,
        )
    worst = fidelity.worst_share
    console.print(
        f"CPU shares: at most {fidelity.share_error:.2f} points apart, of {escape(name_shown(worst.name))} "
        f"(wanted within {SHARE_LIMIT:g})", soft_wrap=True,
    )  # fmt: skip
    for share in fidelity.shares:
        if max(share.original_share, share.replay_share) >= _SHOWN:
            console.print(f"  {column(share.name, 16)} {share.original_ms:10.1f} ms {share.original_share:5.1f} %"
                          f"   replay {share.replay_ms:10.1f} ms {share.replay_share:5.1f} %",
                          soft_wrap=True)  # fmt: skip
    console.print(
        f"run-queue delay after {fidelity.wakeups[0]} wake-ups, in the replay {fidelity.wakeups[1]}:", soft_wrap=True
    )
    for name, (original, replayed) in fidelity.delays_us.items():
        console.print(f"  {escape(name):<4} {original:12.1f} us   replay {replayed:12.1f} us", soft_wrap=True)
    if fidelity.looks:
        console.print(f"{fidelity.looks} of the recorded sleeps were looks of a wait with a time limit, and no sleeps",
                      soft_wrap=True)  # fmt: skip
    colour = {"close": "green", "apart": "red", "unknown": "yellow"}[fidelity.verdict]
    console.print(f"[{colour}]{escape(verdict_text(fidelity))}[/]", soft_wrap=True)
