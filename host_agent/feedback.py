# SPDX-License-Identifier: Apache-2.0
"""All that a policy is judged by on this host, gathered into one sample; the same with and without a policy."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from host_agent.config import Config
from host_agent.kernel import Kernel
from host_agent.probe import Probe
from host_agent.sample import Sample
from host_agent.sources import read_source
from policy_lake.errors import SchedcpError
from policy_lake.proc import cpu_times, pressure, run_delay


class Feedback:
    """Gathers for one host."""

    def __init__(self, config: Config, kernel: Kernel | None = None) -> None:
        self._config, self._kernel = config, kernel or Kernel(config.sys, config.proc)
        self._probe = Probe(config.proc)

    async def sample(self) -> Sample:
        """One sample. What is silent is named in `data["silent"]`, and the sample is not complete."""
        own = asyncio.get_running_loop().run_in_executor(None, self._own)
        asked = await asyncio.gather(*map(read_source, self._config.sources), return_exceptions=True)
        data, waits, silent = await own
        metrics: dict[str, float] = {}
        for source, found in zip(self._config.sources, asked, strict=True):
            if isinstance(found, float):
                metrics[source.name] = found
            elif isinstance(found, SchedcpError):
                silent.append(str(found)[:200])
            elif isinstance(found, BaseException):
                raise found
        memory = data.get("memory", {}).get("full_avg10", 0.0)
        return Sample(
            {**data, "metrics": metrics, "silent": silent, "task_wait_s": waits[0], "idle_beside_s": waits[1]},
            memory, *waits, metrics, self._config.sources, not silent,
        )  # fmt: skip

    def _own(self) -> tuple[dict[str, Any], tuple[float, float], list[str]]:
        """The kernel's part. A host without PSI or schedstat has less to be judged by, which is no silence."""
        proc, data, silent = self._config.proc, dict[str, Any](), list[str]()
        data["at"] = time.time()
        for what in ("cpu", "memory", "io"):
            try:
                data[what] = pressure(proc, what)
            except SchedcpError as error:
                data[what] = {"unknown": str(error)[:120]}
        try:
            delay = run_delay(proc)
            data["run_delay_s"], data["turns"] = delay.waited_s, delay.turns
        except (SchedcpError, ValueError) as error:
            data["run_delay_unknown"] = str(error)[:120]
        waits = (0.0, 0.0)
        try:
            times = cpu_times(proc)
            data["switches"], data["running"] = times.switches, times.running
            waits = self._probe.look(times, time.monotonic())
        except (SchedcpError, ValueError, OSError) as error:
            silent.append(str(error)[:200])
        data["events"] = self._kernel.events()
        return data, waits, silent
