# SPDX-License-Identifier: Apache-2.0
"""An observation in plain words: what it is, and what is to be won, as targets with figures."""

from __future__ import annotations

from policy_lake.observed import Counters, Histogram, Histograms, HostLoad, Observed, Reason

LONG_US = 1024  # the bucket's edge nearest to 1 ms
SHORT_US = 128
REASONS: dict[Reason, str] = {
    "first": "costs nothing",
    "chosen": "asked for",
    "delay-unsplit": "tasks wait for a CPU, and only a probe tells whether another one was idle",
    "tasks-unseen": "tasks came and went too quickly for counters to be read",
    "no-schedstat": "this kernel does not say how long tasks wait",
    "idle": "these tasks took less than 1 % of a CPU: there is nothing to schedule",
    "no-delay": "tasks wait for a CPU in less than 1 % of their time: no scheduler wins more than that",
    "answered": "the histograms answer it",
    "few-events": "fewer than 100 waits were seen: observe for longer",
    "events-lost": "more than 1 % of events were lost, so only a full trace would tell",
    "probe-cost": "the probe cost too much and took itself off, so only a full trace of a short time would tell",
    "no-probe": "there was no probe, so only a full trace would tell",
    "too-short": "it was over before",
}


def lines(seen: Observed) -> list[str]:
    """What was seen, a line a feature; the targets are in `targets`."""
    found = _counter_lines(seen.counters)
    if seen.histograms is not None:
        found += _histogram_lines(seen.histograms)
    return found


def targets(seen: Observed) -> list[str]:
    """What another scheduler could win, each with its figure; empty where nothing was seen to be won."""
    found = []
    load, more = seen.counters.tasks, seen.histograms
    wait_s, run_s = (
        (more.delay_s, more.run_s) if more is not None else (load.wait_s, load.run_s) if load else (0.0, 0.0)
    )
    if wait_s:
        found.append(
            f"tasks waited {wait_s:.2f} s for a CPU in {run_s:.2f} s of work: no scheduler can save more than "
            f"{wait_s / (wait_s + run_s):.0%} of the time in which they wanted to run"
        )
    for group in seen.counters.cgroups:
        if group.throttled:
            found.append(
                f"its quota held it back {group.throttled_s:.2f} s, in {group.throttled} of {group.periods} periods: "
                "that is the quota's to give, not a scheduler's"
            )
    return found + (_delay_targets(more) + _shape_targets(more) if more is not None else [])


def _delay_targets(seen: Histograms) -> list[str]:
    found = []
    count, long_ms = seen.delays.above(LONG_US)
    if count and long_ms:
        share = sum(seen.idle_ms[LONG_US.bit_length() - 1 :]) / long_ms
        found.append(
            f"{share:.0%} of run delay above 1 ms ({long_ms:.0f} ms in {count} waits) happens while another CPU idles"
            + (": placement could win that" if share >= 0.1 else ": the CPUs are full, so only order and slices matter")
        )
    saturated = _share_above(seen.runnable, seen.cpus)
    if saturated is not None:
        found.append(f"in {saturated:.0%} of the ms more tasks wanted a CPU than there are")
    return found


def _shape_targets(seen: Histograms) -> list[str]:
    found = []
    total_ms = sum(seen.bursts.sums_ms)
    short = sum(seen.bursts.counts[: SHORT_US.bit_length() - 1])
    if total_ms and seen.bursts.total:
        _, long_ms = seen.bursts.above(8 * LONG_US)
        found.append(
            f"{short / seen.bursts.total:.0%} of bursts are below {SHORT_US} us, and bursts above 8 ms take "
            f"{long_ms / total_ms:.0%} of the CPU time: "
            + ("short before long would pay" if long_ms / total_ms > 0.3 and short / seen.bursts.total > 0.3 else
               "their order matters little")
        )  # fmt: skip
    pongs, wakes = sum(pair.pongs for pair in seen.pairs), sum(pair.wakes for pair in seen.pairs)
    if wakes and seen.wakes.total:
        far = 1 - (seen.wakes.same_cpu + seen.wakes.same_core + seen.wakes.same_llc) / seen.wakes.total
        found.append(
            f"{pongs / wakes:.0%} of wake-ups answer the task that woke the waker, and {far:.0%} cross a last-level "
            "cache" + (": keep such pairs together" if pongs / wakes > 0.3 and far > 0.1 else "")
        )
    return found


def _counter_lines(seen: Counters) -> list[str]:
    host, load = seen.host, seen.tasks
    found = [_host_line(host)]
    if load is not None:
        turn_us = load.wait_s * 1e6 / load.turns if load.turns else 0.0
        found.append(
            f"tasks: {load.tasks} ({load.unread} more were not read), {load.run_s:.3f} s of CPU time, "
            f"{load.wait_s:.3f} s of waiting for a CPU ({load.wait_share:.1%}), {load.turns} turns, "
            f"a wait of {turn_us:.0f} us each"
            + f"; tasks that came and went took {seen.unseen_s:.3f} s more" * bool(seen.unseen_s)
        )  # fmt: skip
    for group in seen.cgroups:
        used = "not available" if group.usage_s is None else f"{group.usage_s:.3f} s of CPU time"
        found.append(f"control group {group.path} ({group.version}): {used}, throttled in {group.throttled} of "
                     f"{group.periods} periods")  # fmt: skip
    return found


def _host_line(host: HostLoad) -> str:
    psi = "PSI not available" if host.psi_cpu_some is None else f"PSI cpu some {host.psi_cpu_some:.1%}"
    turn = "" if host.turn_delay_us is None else f", a turn waits {host.turn_delay_us:.0f} us"
    return (
        f"host: {host.cpus} CPUs, {host.busy_share:.0%} busy, {host.stolen_share:.0%} stolen, "
        f"{host.switches_per_s:.0f} switches a s, {psi}{turn}"
    )


def _histogram_lines(seen: Histograms) -> list[str]:
    cost = seen.cost
    off = "; it cost too much and took itself off" if cost.taken_off else ""
    return [
        f"probe ({cost.backend}): {seen.seconds:.1f} s, {cost.ns_per_event:.0f} ns an event, "
        f"{cost.cpu_share:.2%} of the CPUs{off}; lost: {seen.lost_events} events, {seen.lost_tasks} turns, "
        f"{seen.missed} wake-ups, "
        f"{seen.lost_pairs} edges",
        f"bursts: {_quantiles(seen.bursts)}",
        f"run delay: {_quantiles(seen.delays)}; {_percent(seen.idle_share)} of it while a CPU was idle",
        f"sleep: {_percent(seen.sleep_share)} of the time slept or run; {_percent(seen.voluntary_share)} of "
        f"{seen.switches} switches voluntary",
        f"migrations: {seen.migrations.total} (same core {seen.migrations.same_core}, same LLC "
        f"{seen.migrations.same_llc}, same node {seen.migrations.same_node}, other node {seen.migrations.other_node})",
        f"task lives: {seen.born} began, {seen.ended} ended; CPU time of those seen whole {_quantiles(seen.lives)}",
        f"runnable: {_mean(seen.runnable)} on average, p95 {_quantile_of(seen.runnable, 0.95)}",
        *(f"wakes: {pair.waker or '(idle or interrupt)'} -> {pair.wakee}: {pair.wakes}, {pair.pongs} in answer"
          for pair in seen.pairs[:8]),
    ]  # fmt: skip


def _quantiles(seen: Histogram) -> str:
    if not seen.total:
        return "none"
    return f"{seen.total}, p50 up to {seen.upper_us(0.5)} us, p99 up to {seen.upper_us(0.99)} us"


def _percent(share: float | None) -> str:
    return "not available" if share is None else f"{share:.1%}"


def _mean(counts: tuple[int, ...]) -> str:
    total = sum(counts)
    return f"{sum(n * count for n, count in enumerate(counts)) / total:.1f}" if total else "not available"


def _quantile_of(counts: tuple[int, ...], share: float) -> str:
    total, seen = sum(counts), 0
    for n, count in enumerate(counts):
        seen += count
        if total and seen >= share * total:
            return str(n)
    return "not available"


def _share_above(counts: tuple[int, ...], n: int) -> float | None:
    return sum(counts[n + 1 :]) / sum(counts) if sum(counts) else None
