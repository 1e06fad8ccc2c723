# SPDX-License-Identifier: Apache-2.0
"""Work through slots a few pieces ahead, records written several at a time, and times by kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from test_drive import INPUTS

from policy_lake.errors import InfraError
from tasks.campaign.compute import AHEAD, Stream
from tasks.campaign.keep import MOST, Keeper
from tasks.campaign.times import MOST_COUNT, kind_of, read_times
from tasks.fleet.fan_out import ItemOutcome
from tasks.host.settings import Settings


class Queue:
    """Slots that do a piece when they are asked for an outcome, and know how many were out at most."""

    def __init__(self) -> None:
        self.out: list[tuple[int, Any, Any]] = []
        self.most = self.count = 0

    def submit(self, function: Any, item: Any) -> int:
        self.count += 1
        self.out.append((self.count, function, item))
        self.most = max(self.most, len(self.out))
        return self.count

    def __iter__(self) -> Iterator[ItemOutcome[int]]:
        while self.out:
            index, function, item = self.out.pop(0)
            yield ItemOutcome(index, value=function(item))


def doubled(number: int) -> int:
    return 2 * number


def test_all_pieces_go_through_and_no_more_are_out_than_slots_need() -> None:
    slots, drawn = Queue(), list[int]()

    def pieces() -> Iterator[tuple[str, int]]:
        for number in range(100):
            drawn.append(number)
            yield str(number), number

    stream = Stream(slots, doubled, slots_now=lambda: 2)
    made = {}
    for name, outcome in stream.through(pieces()):
        made[name] = outcome.value
        assert len(drawn) <= len(made) + 2 * AHEAD, "drawn only as there is room"
    assert made == {str(number): 2 * number for number in range(100)}
    assert slots.most == 2 * AHEAD and stream.submitted == 100 and not stream.left


def test_slots_that_come_are_used_and_no_slot_at_all_is_waited_for() -> None:
    slots, now = Queue(), [0]
    stream = Stream(slots, doubled, slots_now=lambda: now[0])
    for name, _ in stream.through((number, number) for number in range(60)):
        if name == 20:
            assert slots.most == AHEAD
            now[0] = 4
    assert slots.most == 4 * AHEAD


def test_a_budget_that_is_used_up_lets_what_is_out_end() -> None:
    slots = Queue()
    ended = list[int]()
    stream = Stream(slots, doubled, slots_now=lambda: 1, enough=lambda: len(ended) >= 5)
    for name, _ in stream.through((number, number) for number in range(50)):
        ended.append(name)
    assert stream.left and len(ended) == stream.submitted == 5 + AHEAD - 1


def test_what_takes_long_is_written_at_once_and_what_is_short_together() -> None:
    now, written = [0.0], list[tuple[int, ...]]()

    def put(*records: int) -> None:
        written.append(records)
        now[0] += 0.1  # so that 1.9 s must pass

    with Keeper(put, clock=lambda: now[0]) as keeper:
        keeper.add(1)
        keeper.add(2)
        now[0] += 1.8
        keeper.add(3)
        now[0] += 0.11
        keeper.add(4)
        now[0] += 5.0
        keeper.add(5)
        keeper.add(6)
    assert written == [(1,), (2, 3, 4), (5,), (6,)]


def test_many_are_written_whatever_the_time_and_the_rest_when_it_ends_badly() -> None:
    written = list[int]()
    with pytest.raises(KeyboardInterrupt), Keeper(lambda *some: written.append(len(some)), clock=lambda: 0.0) as keeper:
        keeper._next = 1.0
        for number in range(MOST + 2):
            keeper.add(number)
            keeper._next = 1.0
        raise KeyboardInterrupt
    assert written == [MOST, 2]


def test_what_could_not_be_written_is_not_forgotten() -> None:
    written = list[int]()
    fails = [True]

    def put(*records: int) -> None:
        if fails.pop() if fails else False:
            raise InfraError("the disk is full")
        written.extend(records)

    with Keeper(put) as keeper:
        with pytest.raises(InfraError):
            keeper.add(1)
        keeper.add(2)
    assert written == [1, 2]


def test_times_are_means_by_kind_that_are_kept_and_a_damaged_file_is_none(tmp_path: Any) -> None:
    settings = Settings(data_dir=tmp_path)
    one, other = kind_of(INPUTS), kind_of(replace(INPUTS, cpus=64))
    assert one != other and one == kind_of(replace(INPUTS, guest_seed=9, object_sha256="x"))
    times = read_times(settings)
    assert times.mean_s(one) is None
    for seconds in (1.0, 3.0):
        times.note(one, seconds)
    times.keep()
    assert read_times(settings).mean_s(one) == 2.0 and read_times(settings).mean_s(other) is None
    times.by_kind[one] = (MOST_COUNT, 2.0)
    times.note(one, 2.0 + MOST_COUNT)
    assert times.by_kind[one] == (MOST_COUNT, 3.0), "a new time always counts for something"
    for text in ("{", "[]", '{"a": 1}', '{"a": [0, 1]}', '{"a": [1, -1]}', '{"a": [Infinity, 1]}'):
        times.path.write_text(text)
        assert read_times(settings).by_kind == {}, text
