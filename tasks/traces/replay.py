# SPDX-License-Identifier: Apache-2.0
"""Replay: a recorded trace run once in a guest under the kernel's own scheduler, and compared with the original."""

from __future__ import annotations

from benchmarks.attachment import check_nothing_attached
from benchmarks.output import failure_of, last_line
from benchmarks.replay_fidelity import Fidelity, compare
from benchmarks.trace.polls import without_looks
from benchmarks.trace.program import program
from benchmarks.trace.tasks import Trace
from policy_lake.errors import InfraError
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.printed import last_object
from policy_lake.show import name_shown
from tasks.host.guest import prepare_guest, shape_of
from tasks.host.settings import Settings
from verifier_vm.machine import vm

REPLAY, _FILE, _LABEL = "replay", "trace", "replay"
# Ten times what a replay takes is not enough where the original slept and the replay waits for a busy host.
_TIMES, _LEAST_S = 10.0, 60.0


def replay(trace: Trace, settings: Settings) -> Fidelity:
    """Replay on as many CPUs as the original had, unless the settings say how many, and compare.

    InfraError if the guest or the replayer fails.
    """
    guest = prepare_guest(settings, shape_of(settings, trace.info.cpus))
    guest.announce()
    timeout_s = max(_LEAST_S, _TIMES * trace.info.wall_us / 1e6)
    step = GuestStep("run", (REPLAY, _FILE), label=_LABEL, timeout_s=timeout_s)
    replayed, looks = without_looks(trace)
    job = GuestJob({_FILE: program(replayed)}, (step,))
    report = vm.run(job, guest.machine, deadline_s=max(settings.guest_deadline_s, 2 * timeout_s))
    where, event = f"replay of {name_shown(trace.info.command)}", report.ran(_LABEL)
    check_nothing_attached(event, where=where)
    if failure := failure_of(event):
        raise InfraError(f"{where}: {failure}" + (f": {last_line(event.err)}" if event.err.strip() else ""))
    return compare(trace, last_object(event.out, where=where), looks=looks)
