# SPDX-License-Identifier: Apache-2.0
"""What the guest's programs are held against: the bound that they print, computed another time."""

from __future__ import annotations

from collections.abc import Sequence


def makespan_bound(job_times: Sequence[float], cpus: int) -> float:
    """The shortest makespan that `cpus` equal CPUs allow for jobs of these CPU times, in their unit.

    max(longest job, sum / cpus), which preemptive scheduling reaches (McNaughton, "Scheduling with deadlines and loss
    functions", Management Science 6, 1959).
    """
    return max(*job_times, sum(job_times) / cpus)
