# SPDX-License-Identifier: Apache-2.0
"""What long work is at just now. It goes by the log, so that whoever listens may show it, and nobody has to."""

from __future__ import annotations

import logging

from policy_lake.show import logger

MARK = "doing"
log = logger(__name__)


def doing(text: str, *parts: object) -> None:
    """Say what goes on from now until the next call, and what is left of it; `parts` as for the log."""
    log.info(text, *parts, extra={MARK: True})


def is_doing(record: logging.LogRecord) -> bool:
    """Whether a record of the log says what goes on, and not what has come of it."""
    return bool(getattr(record, MARK, False))
