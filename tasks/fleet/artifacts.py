# SPDX-License-Identifier: Apache-2.0
"""A run's artifacts in the Prefect UI. Keys are stable per workload, so that the UI shows each one's history."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from policy_lake.show import for_markdown


def artifact_key(*parts: str) -> str:
    """A key as Prefect takes it: lower case, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


async def publish_markdown(key: str, markdown: str, description: str) -> None:
    """A page of text under `key`, from within an async flow."""
    from prefect.artifacts import acreate_markdown_artifact

    await acreate_markdown_artifact(markdown, key=key, description=description)


async def publish_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """A table under `key`, from within an async flow; its texts are escaped here: Prefect takes cells for Markdown."""
    from prefect.artifacts import acreate_table_artifact

    await acreate_table_artifact([_cells(row) for row in rows], key=key, description=description)


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: for_markdown(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


class FillingTable:
    """One table in the UI that fills up, from within a task that is not async: made with the first rows.

    It is sent at most every `every_s` seconds, and `close` sends what it has at last: `cells_of` makes a record into a
    row. Beyond `most` rows the rest is counted in the description.
    """

    def __init__(
        self, key: str, description: str, cells_of: Callable[[Any], dict[str, Any]], *, most: int, every_s: float = 2.0
    ) -> None:
        self._cells_of = cells_of
        self._key, self._description, self._most, self._every_s = key, description, most, every_s
        self._id: UUID | None = None
        self._records: Sequence[Any] = ()
        self._next = 0.0

    def show(self, records: Sequence[Any]) -> None:
        """Show these in the place of those before."""
        self._records = records
        if time.monotonic() >= self._next:
            self._send()

    def close(self) -> None:
        """Send what is not shown yet."""
        if self._records:
            self._send()

    def _send(self) -> None:
        from prefect.artifacts import create_table_artifact
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import ArtifactUpdate

        cells = [_cells(self._cells_of(record)) for record in self._records[: self._most]]
        beyond = len(self._records) - len(cells)
        said = self._description + (f"; {beyond} rows more are in its file" if beyond else "")
        if self._id is None:
            made = create_table_artifact(cells, key=self._key, description=said)
            self._id = made if isinstance(made, UUID) else None
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._id, ArtifactUpdate(data=json.dumps(cells), description=said))
        self._next = time.monotonic() + self._every_s


class Progress:
    """A progress bar in the UI that counts to `total`, from within a task that is not async."""

    def __init__(self, key: str, total: int, description: str) -> None:
        from prefect.artifacts import create_progress_artifact

        self._total, self._done = total, 0
        made = create_progress_artifact(0.0, key=key, description=description)
        self._id = made if isinstance(made, UUID) else None

    def advance(self) -> None:
        from prefect.artifacts import update_progress_artifact

        self._done += 1
        if self._id is not None:
            update_progress_artifact(self._id, 100.0 * self._done / self._total)
