# SPDX-License-Identifier: Apache-2.0
"""What the command line calls, up to the point where something is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from policy_lake.errors import InputError
from tasks.host.interrupts import interruptible
from tasks.host.settings import Settings
from tasks.run.spec import define_run


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workload": "nothing"}, "no workload 'nothing': known are batch"),
        ({"workload": "batch", "pairs": 3}, "pairs: 3 is not from 4 to 70: with fewer than 4 pairs"),
        ({"workload": "batch", "iterations": 51}, "iterations: 51 is not from 1 to 50"),
        ({"workload": "batch", "per_iteration": 65}, "per iteration: 65 is not from 1 to 64 candidates"),
    ],
)
def test_bad_input_is_told_before_anything_starts(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        define_run(settings=Settings(), **given)  # type: ignore[arg-type]


def test_bad_input_costs_no_import_of_prefect_ray_or_lancedb() -> None:
    program = (
        "import sys\nimport flows.local\nfrom control_plane.tune import tune_command\n"
        "from tasks.host.settings import Settings\n"
        "try: tune_command('nothing', Settings(), iterations=1, per_iteration=1, pairs=2, seed=1, as_json=False)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print([name for name in ('prefect', 'ray', 'lancedb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["InputError", "[]"]


def test_the_first_signal_interrupts_at_once_and_the_second_does_not_disturb() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    with interruptible(), pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_interrupt_that_comes_out_as_another_error_is_still_one() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise SystemError("returned a result with an exception set") from interrupt
    with pytest.raises(SystemError), interruptible():
        raise SystemError("of its own")
