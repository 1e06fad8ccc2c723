# SPDX-License-Identifier: Apache-2.0
"""How long runs took on this installation, by kind: what a forecast is made from. Host's seconds, and no result."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from policy_lake.errors import SchedcpError
from policy_lake.files import atomic_write, read_outside
from policy_lake.measurement import RunInputs
from tasks.host.settings import Settings

FILE = "campaign-times.json"
MOST_BYTES = 4 << 20
MOST_COUNT = 1000  # so that a host that became faster is seen


def kind_of(inputs: RunInputs) -> str:
    """What a run's time mostly hangs on: the workload with its program's words but the seed, CPUs, what they cost."""
    program = [word for word in inputs.program if word != str(inputs.work_seed)]
    parts = [inputs.workload_sha256, *program, inputs.cpus, inputs.clock, repr(inputs.costs)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Times:
    """Recorded seconds by kind; `note` adds one, `keep` writes them down."""

    path: Path
    by_kind: dict[str, tuple[int, float]] = field(default_factory=dict)

    def note(self, kind: str, seconds: float) -> None:
        """A run of that kind took so long."""
        count, mean = self.by_kind.get(kind, (0, 0.0))
        count = min(count + 1, MOST_COUNT)
        self.by_kind[kind] = (count, mean + (seconds - mean) / count)

    def mean_s(self, kind: str) -> float | None:
        """What runs of that kind took on average; None where none was recorded."""
        return self.by_kind[kind][1] if kind in self.by_kind else None

    def keep(self) -> None:
        """Write them down; InfraError where that cannot be."""
        atomic_write(self.path, json.dumps(self.by_kind).encode())


def read_times(settings: Settings) -> Times:
    """The times that were kept; none where there are none, or the file is damaged: nothing hangs on them."""
    path = settings.data_dir / FILE
    if not path.exists():
        return Times(path)
    try:
        kept = json.loads(read_outside(path, MOST_BYTES))
        known = {str(kind): (int(count), float(mean)) for kind, (count, mean) in kept.items()}
    except (SchedcpError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return Times(path)
    sound = {kind: (count, mean) for kind, (count, mean) in known.items() if count > 0 and 0 <= mean < math.inf}
    return Times(path, sound)
