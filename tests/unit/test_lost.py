# SPDX-License-Identifier: Apache-2.0
"""What a run cannot go on without is gone: the run's own thread is interrupted, and the first reason is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from tasks.fleet.lost import forget, lose, lost


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    forget()
    yield
    forget()
    signal.signal(signal.SIGINT, before)


def losing(*reasons: str) -> None:
    """From another thread, while this one waits."""
    for reason in reasons:
        thread = threading.Thread(target=lose, args=(reason,))
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            threading.Event().wait(5)
            pytest.fail("the main thread was not interrupted")
        thread.join(5)


def test_a_run_whose_server_is_gone_is_interrupted_and_says_why() -> None:
    assert lost() == ""
    losing("the Prefect server ended")
    assert lost() == "the Prefect server ended"
    forget()
    assert lost() == "", "another run begins"


def test_what_was_lost_first_is_the_reason() -> None:
    losing("the Prefect server ended", "Ray's raylet ended")
    assert lost() == "the Prefect server ended"
