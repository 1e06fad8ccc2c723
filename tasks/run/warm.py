# SPDX-License-Identifier: Apache-2.0
"""What is slow to import, imported ahead of its use beside something that waits."""

from __future__ import annotations

import threading
from collections.abc import Callable


def import_trial() -> None:
    """In a worker: what a candidate's trial needs."""
    from tasks.trial import work  # noqa: F401


def import_plots() -> None:
    """What draws a run's pictures: matplotlib."""
    from benchmarks import plots  # noqa: F401


def beside(work: Callable[[], None]) -> None:
    """Do it on a thread that no exit waits for."""
    threading.Thread(target=work, daemon=True).start()
