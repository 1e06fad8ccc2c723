# SPDX-License-Identifier: Apache-2.0
"""Guests that run while Prefect and Ray start: the observation, then EEVDF's runs, which every candidate needs.

What they come to lies in the lake under its inputs, where the run's stages find it: nothing else is handed on. If one
fails, the stage meets the same failure and says so.
"""

from __future__ import annotations

import threading
import time

from policy_lake.doing import doing
from policy_lake.errors import SchedcpError
from policy_lake.limits import most_pairs
from policy_lake.model import Candidate
from policy_lake.scores import MeasurementPlan
from policy_lake.show import logger
from tasks.host.guest import prepare_guest
from tasks.host.lake import open_lake
from tasks.host.spans import Span, spanned
from tasks.observe import observe
from tasks.run.spec import RunSpec
from tasks.trial.run import measure_run, run_inputs
from tasks.trial.spec import TrialSpec
from tasks.trial.trial import baseline_runs, floor_runs
from verifier_vm.machine.process import end_guests

ABANDON_S = 0.5
log = logger(__name__)


class Ahead:
    """A thread that goes ahead of a run in virtual time; by the wall clock it would spoil figures, and does nothing.

    `stop` waits for the guest under way, `abandon` ends it; `spans` are when guests ran.
    """

    def __init__(self, run: RunSpec) -> None:
        self.spans: list[Span] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(run,), name="ahead", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take on no more."""
        self._over.set()
        self._thread.join()

    def abandon(self) -> None:
        """The same, without waiting for what is under way."""
        self._over.set()
        ends = time.monotonic() + ABANDON_S  # it may be at something else than a guest, and nobody needs that
        while self._thread.is_alive() and time.monotonic() < ends:
            end_guests()
            self._thread.join(0.1)

    def _work(self, run: RunSpec) -> None:
        try:
            self._go(run)
        except (SchedcpError, OSError) as error:
            log.debug("ahead of the run: %s", error)

    def _go(self, run: RunSpec) -> None:
        guest = prepare_guest(run.settings, run.shape)
        if guest.machine.clock is None:
            return
        lake = open_lake(run.settings)
        _, observed = observe(run.workload, run.settings, run.shape, lake, seed=run.seed, say=False)
        self.spans += observed
        plan = MeasurementPlan(run.pairs, most_pairs(run.pairs), run.seed)
        spec = TrialSpec(Candidate("", "", 0, "", "", {}, "", ""), run.workload, run.shape, run.settings, plan)
        works = [*baseline_runs(spec, 0, run.pairs), *floor_runs(spec)]
        keys = [run_inputs(work, guest).key for work in works]
        known = lake.measurements(keys)
        for number, (work, key) in enumerate(zip(works, keys, strict=True), 1):
            if self._over.is_set():
                return
            if key not in known:
                doing("starting Prefect's server and Ray; beside that EEVDF's run %d of %d", number, len(works))
                measurement, span = spanned(lambda work=work: measure_run(work))  # type: ignore[misc]
                lake.put(measurement)
                self.spans.append(span)
