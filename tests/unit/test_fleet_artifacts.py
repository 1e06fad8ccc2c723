# SPDX-License-Identifier: Apache-2.0
"""What a run shows in Prefect, and its steps as Prefect's tasks, as far as no server is needed."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from policy_lake.show import for_markdown
from tasks.fleet.artifacts import FillingTable, Progress, artifact_key, publish_table
from tasks.fleet.retry import retryable


def test_a_key_is_lower_case_digits_and_single_dashes() -> None:
    assert artifact_key("Tune", "My_Work--load", "é!") == "tune-my-work-load"


@pytest.mark.parametrize("known", [True, False])
def test_progress_counts_to_its_total(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import artifacts

    told: list[Any] = []
    made = UUID(int=5) if known else None
    monkeypatch.setattr(artifacts, "create_progress_artifact", lambda start, **_: told.append(start) or made)
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda id, share: told.append((id.int, share)))
    progress = Progress("k", 4, "candidates")
    for _ in range(4):
        progress.advance()
    assert told == [0.0, *([(5, 25.0), (5, 50.0), (5, 75.0), (5, 100.0)] if known else [])]


def test_the_texts_of_a_table_are_escaped_and_its_numbers_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import artifacts

    told: list[Any] = []

    async def create(rows: list[dict[str, Any]], **named: str) -> None:
        told.append((rows, named))

    monkeypatch.setattr(artifacts, "acreate_table_artifact", create)
    asyncio.run(publish_table("k", [{"policy": "a|b", "ratio": 1.5, "none": None}], "what it is"))
    assert told == [
        ([{"policy": for_markdown("a|b"), "ratio": 1.5, "none": None}], {"key": "k", "description": "what it is"})
    ]
    assert for_markdown("a|b") != "a|b"


def test_a_task_is_tried_twice_more_on_our_failures_and_keeps_nothing() -> None:
    def measure_it() -> None:
        """A task."""

    plain, named = retryable(measure_it), retryable(measure_it, name="x", retries=5, delay_s=1.0, timeout_s=9.0)
    assert (plain.name, plain.retries, plain.retry_delay_seconds, plain.timeout_seconds) == ("measure-it", 2, 2.0, None)
    assert (named.name, named.retries, named.retry_delay_seconds, named.timeout_seconds) == ("x", 5, 1.0, 9.0)
    assert plain.persist_result is False


def test_a_table_fills_up_under_one_id_and_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made, updated = [], []

    def create(cells, *, key, description):
        made.append((key, len(cells), description))
        return uuid4()

    class Client:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def update_artifact(self, id, update):
            updated.append((json.loads(update.data), update.description))

    monkeypatch.setattr("prefect.artifacts.create_table_artifact", create)
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: Client())
    table = FillingTable("k", "Rows", lambda n: {"n": f"<{n}>"}, most=2, every_s=3600)
    rows = [1]
    table.show(rows)
    rows += [2, 3]
    table.show(rows)
    assert made == [("k", 1, "Rows")] and updated == [], "not again so soon"
    table.close()
    ((cells, said),) = updated
    assert said == "Rows; 1 rows more are in its file" and len(cells) == 2 and cells[0]["n"] == for_markdown("<1>")
