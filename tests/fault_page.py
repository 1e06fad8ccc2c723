# SPDX-License-Identifier: Apache-2.0
"""What injected faults came to, as a page of the documents."""

from __future__ import annotations

import math
import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIMIT_S = 1.0


def quantile(values: Sequence[float], of: float) -> float:
    """The smallest of them that so large a share is not above; nothing is interpolated."""
    return sorted(values)[max(0, math.ceil(of * len(values)) - 1)]


def row(name: str, values: Sequence[float], last: str = "") -> str:
    """n, p50, p99 and the largest, in ms."""
    if not values:
        return f"| {name} | 0 | | | | {last} |"
    shown = " | ".join(f"{value * 1000:.1f}" for value in (quantile(values, 0.5), quantile(values, 0.99), max(values)))
    return f"| {name} | {len(values)} | {shown} | {last} |"


def write_page(path: Path, result: Mapping[str, Any], conditions: Mapping[str, str]) -> int:
    """Writes it; 0 if every fault was taken back, the p99 of all is within its limit and no more requests were lost."""
    faults = result["faults"]
    seen = [one for one in faults if one["expected"] and one["off_s"] is not None]
    times = {kind: [one["off_s"] for one in seen if one["kind"] == kind] for kind in conditions}
    words = {kind: Counter(one["word"] or "(it was killed)" for one in faults if one["kind"] == kind)
             for kind in conditions}  # fmt: skip
    every = [value for values in times.values() for value in values]
    stayed = sum(one["off_s"] is None for one in faults)
    other = sum(not one["expected"] for one in faults)
    gaps = {what: [seconds for of, seconds in result["gaps"] if (of == "attached") == (what == "attach")]
            for what in ("attach", "detach")}  # fmt: skip
    under, alone = result["requests"]["under faults"], result["requests"]["EEVDF alone"]
    good = (
        bool(every)
        and not stayed
        and quantile(every, 0.99) < LIMIT_S
        and under["lost"] * alone["sent"] <= alone["lost"] * under["sent"]
    )
    longest_ms = max((one["longest_step_s"] for one in faults), default=0.0) * 1000
    figures = result["figures"]
    of_agent = [figures.get(f"schedcp_attach_gap_seconds_{end}", 0.0) for end in ("count", "sum")]
    lines = [
        "# Faults injected into a host", "",
        "Written by `make fleet-faults` (`tests/inject_faults.py`), with each fault in",
        f"`docs/rollout-faults.json`. Of {datetime.now(UTC):%d %B %Y}, at `{_commit()}`: {_machine()};",
        f"one micro-VM of one CPU under emulation with the workload `{result['workload']}`, the agent as installed,",
        f"faults in the order of seed {result['seed']}; {len(faults)} in {result['seconds'] / 60:.0f} minutes.", "",
        "From the trip condition to `/sys/kernel/sched_ext/state` being `disabled` with no policy, by the clock of",
        "the guest and a real-time process there that looked every 2 ms (the longest time between two looks was",
        f"{longest_ms:.0f} ms). In ms:", "",
        "| fault | n | p50 | p99 | largest | what the agent called it |", "|---|---|---|---|---|---|",
        *(row(kind, times[kind], ", ".join(f"{word} {n}" for word, n in sorted(words[kind].items())))
          for kind in conditions if words[kind]),
        row("**all**", every), "",
        f"The policy stayed after {stayed} of them; {other} were taken back for another reason,",
        "as the last column says, before what was injected could be seen: those are not among the times.",
        f"Faults that were not injected, since host or attachment failed before: {sum(result['wrong'].values())}.",
        "A time below 0 is a trip before its condition.", "",
        "| fault | trip condition |", "|---|---|",
        *(f"| {kind} | {when} |" for kind, when in conditions.items()), "",
        "## Between two schedulers", "How long the kernel was between EEVDF and the policy, by the audit log",
        "(`schedcp_attach_gap_seconds` has the sum and the count, of the agent that was started last "
        f"{of_agent[1]:.3f} s in {of_agent[0]:.0f}). In ms:", "",
        "| | n | p50 | p99 | largest | |", "|---|---|---|---|---|---|",
        row("attach", gaps["attach"]), row("detach", gaps["detach"]), "",
        "## Requests", "A server in the guest, of the class that policies schedule, is asked four times a second by a",
        "real-time task. Lost: no answer 5 s after it was due, refused or reset; late: after more than 1 s.", "",
        "| | s | sent | answered | lost | late |", "|---|---|---|---|---|---|",
        *(f"| {name} | {of['seconds']:.0f} | {of['sent']} | {of['answered']} | {of['lost']} | {of['late']} |"
          for name, of in result["requests"].items()),
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return 0 if good else 1


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]  # fmt: skip
    return f"{len(os.sched_getaffinity(0))} CPUs ({names[0] if names else 'unknown'})"
