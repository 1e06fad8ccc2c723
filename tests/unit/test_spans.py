# SPDX-License-Identifier: Apache-2.0
"""Where a run's wall time goes: the phases sum to the total, from the start of the process."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tasks.host.spans import Phases, process_began


def test_the_phases_sum_to_the_total() -> None:
    began = time.time() - 2
    phases = Phases(began)
    for name in ("observe", "execute", "execute"):
        with phases.phase(name):
            time.sleep(0.05)
    time.sleep(0.05)
    seconds = phases.seconds([(began, began + 1)])
    total, guests, overhead = (seconds.pop(name) for name in ("total", "vm", "overhead"))
    assert list(seconds) == ["start", "observe", "execute", "other"]
    assert sum(seconds.values()) == pytest.approx(total, abs=0.001) == pytest.approx(guests + overhead, abs=0.001)
    assert total == pytest.approx(2.2, abs=0.15) and guests == 1
    assert seconds["start"] == pytest.approx(2, abs=0.05)
    assert seconds["execute"] > 1.5 * seconds["observe"] and seconds["other"] > 0.04


def test_a_phase_that_fails_is_counted() -> None:
    phases = Phases(time.time())
    with pytest.raises(KeyError), phases.phase("plan"):
        time.sleep(0.02)
        raise KeyError
    assert phases.seconds([])["plan"] > 0.01


def test_a_process_began_when_it_was_started() -> None:
    before = time.time()
    program = "import time; time.sleep(0.3)\nfrom tasks.host.spans import process_began; print(process_began())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert before - 0.05 <= float(done.stdout) <= before + 0.25
    assert process_began() < before
