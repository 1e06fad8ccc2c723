# SPDX-License-Identifier: Apache-2.0
"""What all runs together have spent on models today, in a file of that day (UTC): what a day's cap is held against."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from policy_lake.errors import InfraError
from policy_lake.files import atomic_write, locked
from policy_lake.model import from_json, to_json
from tasks.planners.endpoint import Usage


def _now() -> datetime:
    return datetime.now(UTC)


class Day:
    """Today's sum, shared by all processes. `last` is what this run's planner had used when it was last told."""

    def __init__(self, directory: Path, last: Usage, *, now: Callable[[], datetime] = _now) -> None:
        self._directory, self._last, self._now = directory, last, now

    def spent(self) -> Usage:
        """What was spent today; InfraError when that cannot be read: then nothing more is."""
        path = self._path()
        try:
            return from_json(Usage, json.loads(path.read_bytes()))
        except FileNotFoundError:
            return Usage()
        except (OSError, ValueError) as error:
            raise InfraError(f"{path}: what models were paid today cannot be read: {error}") from error

    def add(self, usage: Usage) -> None:
        """The run's planner has used so much by now: what is new of it is today's."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with locked(self._directory / "lock"):
            so_far, last = self.spent(), self._last
            today = Usage(
                so_far.calls + usage.calls - last.calls,
                so_far.tokens_in + usage.tokens_in - last.tokens_in,
                so_far.tokens_out + usage.tokens_out - last.tokens_out,
                so_far.usd + usage.usd - last.usd,
            )
            atomic_write(self._path(), json.dumps(to_json(today)).encode())
        self._last = usage

    def _path(self) -> Path:
        return self._directory / f"{self._now():%Y-%m-%d}.json"
