# SPDX-License-Identifier: Apache-2.0
"""The lake under writers that are killed, and writers that meet: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from strategies import policy, score

from policy_lake.embed import embedder
from policy_lake.lake import Lake
from policy_lake.model import Lesson

# LanceDB does not survive a fork; what is slow to import round it does.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["lance_namespace", "pyarrow.dataset", "policy_lake.lake", "strategies"])


def open_lake(path: Path) -> Lake:
    return Lake(path, embedder=embedder("hash:8"))


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


def lessons(first: int, count: int = 1) -> list[Lesson]:
    return [Lesson(f"l{n}", "run", "batch", "rr", "word " * 200) for n in range(first, first + count)]


def write_until_killed(path: Path, acknowledged) -> None:
    lake = open_lake(path)
    for n in range(100_000):
        lake.put(*lessons(3 * n, 3), score(f"s{n}"))
        acknowledged.send(n)


def test_a_killed_writer_loses_nothing_that_was_acknowledged(lake):
    receive, send = processes.Pipe(duplex=False)
    writer = processes.Process(target=write_until_killed, args=(lake.path, send))
    writer.start()
    send.close()
    seen = -1
    while seen < 12:
        seen = receive.recv()
    writer.join(0.013)  # somewhere in a write
    os.kill(writer.pid, signal.SIGKILL)
    with suppress(EOFError):
        while True:
            seen = receive.recv()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    stored = {lesson.id for lesson in lake.lessons()}
    assert stored >= {lesson.id for lesson in lessons(0, 3 * seen + 3)} and len(lake.scores()) > seen
    lake.put(*lessons(10**6))
    counts = lake.counts()
    assert lake.rebuild() == {kind: count for kind, count in counts.items() if count}


def put_the_same(path: Path, start, failed) -> None:
    start.wait()
    try:
        for n in range(4):
            open_lake(path).put(policy(f"p{n}"), score(f"s{n}"))
    except BaseException as error:
        failed.put(repr(error))
        raise


def test_four_processes_putting_the_same_ids_make_one_row_each(lake):
    start, failed = processes.Barrier(4), processes.Queue()
    writers = [processes.Process(target=put_the_same, args=(lake.path, start, failed)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4, failed.get(timeout=1)
    assert [p.id for p in lake.policies()] == ["p0", "p1", "p2", "p3"] and lake.counts()["scores"] == 4
    assert (lake.path / "journal.jsonl").read_bytes().count(b"\n") == 8


def test_writers_that_ignore_the_lock_still_make_one_row(lake):
    lake.put(policy("a"))
    tables = lake._opened
    row = tables._table("policies").to_arrow()
    new = row.set_column(0, row.schema.field("id"), [["b"]])
    meet = threading.Barrier(4)
    writers = [threading.Thread(target=lambda: (meet.wait(), tables.merge({"policies": new}))) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert lake.counts()["policies"] == 2
