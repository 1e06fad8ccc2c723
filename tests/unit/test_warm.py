# SPDX-License-Identifier: Apache-2.0
"""What is done ahead of its use holds up neither who asked for it nor the end of the process."""

from __future__ import annotations

import threading

from tasks.run.warm import beside


def test_work_beside_runs_on_a_thread_of_its_own_that_no_exit_waits_for() -> None:
    done, threads = threading.Event(), []

    def work() -> None:
        threads.append(threading.current_thread())
        done.set()

    beside(work)
    assert done.wait(5) and threads[0] is not threading.current_thread() and threads[0].daemon
