# SPDX-License-Identifier: Apache-2.0
"""How near a replay comes to the run that was recorded: makespan, CPU time by command, run-queue delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.comm import comm_printed
from benchmarks.trace.program import total_us
from benchmarks.trace.tasks import SHARES, Trace, cpu_by_name
from policy_lake.errors import InfraError
from policy_lake.printed import number, take

Nearness = Literal["close", "apart", "unknown"]
MAKESPAN_LIMIT, SHARE_LIMIT = 0.05, 3.0
_QUANTILES = ("p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max")
assert len(_QUANTILES) == len(SHARES)


@dataclass(frozen=True, slots=True)
class CommandShare:
    """One command's CPU time in ms and its share of all in per cent, in the original and in the replay."""

    name: str
    original_ms: float
    replay_ms: float
    original_share: float
    replay_share: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Original against replay. `delays_us` has pairs (original, replay) by quantile.

    `lost_share` is what others and the hypervisor had of its CPUs while it was recorded: so much longer the
    original's makespan may be. `quiet_ms` is that makespan less what others took of its CPUs, 0 where that is unknown.
    `looks` is how many of the recorded sleeps were looks of a wait with a time limit, and are not replayed.
    """

    command: str
    cpus: int
    original_ms: float
    quiet_ms: float
    replay_ms: float
    bound_ms: float
    shares: tuple[CommandShare, ...]
    delays_us: dict[str, tuple[float, float]]
    wakeups: tuple[int, int]
    lost_share: float
    looks: int = 0

    @property
    def verdict(self) -> Nearness:
        """Whether the replay does what the original did, as far as the recording can tell.

        Where others had the CPUs, the original by itself took something between its makespan less what they took and
        its makespan: a replay within that range but not near its lower end may be close, or not.
        """
        if self.share_error > SHARE_LIMIT:
            return "apart"
        busy = self.lost_share > MAKESPAN_LIMIT
        low_ms = self.quiet_ms if busy else self.original_ms
        if low_ms and abs(self.replay_ms / low_ms - 1) <= MAKESPAN_LIMIT:
            return "close"
        within = low_ms * (1 - MAKESPAN_LIMIT) <= self.replay_ms <= self.original_ms * (1 + MAKESPAN_LIMIT)
        return "unknown" if busy and within else "apart"

    @property
    def makespan_error(self) -> float:
        """Signed: above 0 the replay takes longer."""
        return self.replay_ms / self.original_ms - 1

    @property
    def quiet_error(self) -> float:
        """The same against the original without others, or 0 where that is unknown."""
        return self.replay_ms / self.quiet_ms - 1 if self.quiet_ms else 0.0

    @property
    def worst_share(self) -> CommandShare:
        """The command whose share is furthest off."""
        return max(self.shares, key=lambda share: abs(share.replay_share - share.original_share))

    @property
    def share_error(self) -> float:
        """In percentage points."""
        return abs(self.worst_share.replay_share - self.worst_share.original_share)

    @property
    def close(self) -> bool:
        return self.verdict == "close"


def others_share(trace: Trace) -> float:
    """What share of the command's CPUs others used while it was recorded; at least 0."""
    own = total_us(trace) / trace.info.wall_us / trace.info.cpus
    return max(0.0, round(trace.info.busy_share - own, 4))


def compare(trace: Trace, replayed: Mapping[str, Any], *, looks: int = 0) -> Fidelity:
    """The trace against what the replayer printed; InfraError naming the field that it lacks."""
    where = "the replayer's output"
    commands = take(replayed, "commands", list[Any], where=where)
    named = ((comm_printed(take(row, "comm", str, where=where)), row) for row in commands)
    replay_ms = {name: number(row, "cpu_ms", where=where) for name, row in named}
    original_ms = cpu_by_name(trace)
    totals = sum(original_ms.values()), sum(replay_ms.values())
    if min(totals) <= 0:
        raise InfraError(f"{where}: field 'commands' shows no CPU time at all")
    shares = [
        CommandShare(
            name, original_ms.get(name, 0.0), replay_ms.get(name, 0.0),
            100 * original_ms.get(name, 0.0) / totals[0], 100 * replay_ms.get(name, 0.0) / totals[1],
        )
        for name in original_ms | replay_ms
    ]  # fmt: skip
    delays = trace.info.delays_us
    return Fidelity(
        command=trace.info.command,
        cpus=int(number(replayed, "cpus", where=where)),
        original_ms=trace.info.wall_us / 1e3,
        quiet_ms=trace.info.quiet_us / 1e3,
        replay_ms=number(replayed, "makespan_ms", where=where, zero=False),
        bound_ms=number(replayed, "bound_ms", where=where),
        shares=tuple(sorted(shares, key=lambda share: -share.original_ms)),
        delays_us={
            name: (original, number(replayed, f"delay_{name}_us", where=where))
            for name, original in zip(_QUANTILES, delays, strict=False)
        },
        wakeups=(trace.info.wakeups, int(number(replayed, "wakeups", where=where))),
        lost_share=round(others_share(trace) + trace.info.stolen_share, 4),
        looks=looks,
    )
