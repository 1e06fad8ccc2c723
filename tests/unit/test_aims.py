# SPDX-License-Identifier: Apache-2.0
"""Which situations an object's tables, arrays and flags ask for; tests/integration reads them from compiled objects."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from object_cases import object_bytes

from policy_lake.knobs import OPS_USE, values_of
from policy_lake.topology import Topology
from verifier_vm.judge import aim
from verifier_vm.judge.aim import Aims, aimed_parts, read_aims
from verifier_vm.judge.suite import FULL, SHORT, SuiteTier, parts

HASHES, ARRAY = (1, 5, 9, 10), 2
Given = Callable[..., None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What the object is said to have: tables by kind and size, numbers held against CPUs, flags by policy."""

    def have(*tables: tuple[int, int], compared: tuple[int, ...] = (), flags: dict[str, int] | None = None) -> None:
        maps = {
            f"m{number}": SimpleNamespace(kind=kind, max_entries=size) for number, (kind, size) in enumerate(tables)
        }
        by_name = flags or {"": 0}

        def read(data: bytes, words: tuple[str, ...]) -> Any:
            bits = by_name[values_of(words).get(OPS_USE, "")]
            return SimpleNamespace(
                program=SimpleNamespace(maps=maps), flag=lambda bit: bool(bits & bit), inserts=(),
                has=lambda *_: False,
                ops=SimpleNamespace(callbacks={"enqueue"}),
                place=lambda entry, line, pc: f"mine.bpf.c:{line}",
                record=SimpleNamespace(cpu_limits=dict.fromkeys(compared, ("dispatch", 7, 0)), cpu_tests={},
                                       conditions={}, names={}, incomplete={}, tests={}, writes={},
                                       by_name=lambda *_: ()),
            )  # fmt: skip

        monkeypatch.setattr(aim, "read_facts", read)

    return have


def exercises(made: Any, name: str) -> list[Any]:
    return [one for part in made for one in part.exercises if one.name == name]


@pytest.mark.parametrize("kind", HASHES)
def test_a_table_by_task_is_to_be_filled_and_sixty_more(given: Given, kind: int) -> None:
    for size, tasks in ((31, 0), (32, 92), (500, 560), (1140, 1200), (1141, 0)):
        given((kind, size))
        assert read_aims(b"", "short").tasks == tasks
    given((kind, 3940))
    assert (read_aims(b"", "full").tasks, read_aims(b"", "short").tasks) == (4000, 0)
    given((kind, 3941))
    assert read_aims(b"", "full").tasks == 0


def test_of_several_tables_the_largest_that_can_be_filled_counts(given: Given) -> None:
    given((1, 40), (9, 100), (1, 100_000), (ARRAY, 1000), (0, 600), (3, 600))
    assert read_aims(b"", "short").tasks == 160


@pytest.mark.parametrize(("sizes", "compared", "cpus"), [
    ((1,), (), 0), ((2,), (), 6), ((4,), (), 6), ((5,), (), 10), ((8,), (), 10), ((9,), (), 18), ((16,), (), 18),
    ((17,), (), 0), ((50, 6, 1), (), 10), ((), (0,), 0), ((), (1,), 6), ((), (3, 512), 6), ((2,), (7,), 10),
    ((3,), ((1 << 64) - 1,), 6),
])  # fmt: skip
def test_of_the_cpus_that_constants_speak_of_there_are_more(
    given: Given, sizes: tuple[int, ...], compared: tuple[int, ...], cpus: int
) -> None:
    given(*((ARRAY, size) for size in sizes), (1, 5), compared=compared)
    assert read_aims(b"", "short").cpus == cpus
    beyond = aimed_parts(b"", "short")[1:]
    assert [part.topology for part in beyond] == ([Topology(cpus)] if cpus else [])
    for part in beyond:
        assert (
            part.name.startswith(f"{cpus} CPUs, for the ") and part.reloads == 0 and not part.counts and part.asked_for
        )
        assert [(one.workloads, one.args) for one in part.exercises] == [("W1", ()), ("W25", ("herd=60",)), ("W5", ())]
        assert part.exercises[-1].seconds > 2.0, "what looks nowhere for so long is a stall"


def test_who_asked_for_a_large_guest_is_named(given: Given) -> None:
    given((ARRAY, 16))
    assert aimed_parts(b"", "short")[1].name == "18 CPUs, for the 16 places of the array 'm0'"
    given((ARRAY, 4), compared=(3, 9))
    said = "18 CPUs, for the 9 that a CPU's number is compared with at mine.bpf.c:7"
    assert aimed_parts(b"", "short")[1].name == said


def test_a_count_that_the_tier_has_a_guest_for_is_not_tried_again(given: Given) -> None:
    given((ARRAY, 8))
    assert aimed_parts(b"", "full") == FULL
    given((ARRAY, 15))
    assert [part.topology for part in aimed_parts(b"", "full")[len(FULL) :]] == [Topology(18)]


@pytest.mark.parametrize(("tier", "seconds"), [("short", 1.0), ("full", 3.0)])
def test_what_is_asked_for_is_done_in_every_guest_of_the_tier_and_longer_in_the_full_one(
    given: Given, tier: SuiteTier, seconds: float
) -> None:
    given((1, 100), flags={"": 16})
    crowds, bound = (exercises(aimed_parts(b"", tier), name) for name in ("W23", "W24"))
    assert len(crowds) == len(bound) == len(parts(tier))
    assert {(one.workloads, one.seconds, one.args) for one in crowds} == {("W23", seconds, ("tasks=160",))}
    assert {(one.workloads, one.seconds, one.args, one.base_s) for one in bound} == {("W24", seconds / 4, (), 0.0)}
    given()
    assert aimed_parts(b"", tier) == parts(tier)


@pytest.mark.parametrize(
    ("flags", "words", "disabled"),
    [
        (16, (), True), (31, (), True), (15, (), False), (32, (), False), (0, (), False),
        (0, ("ops.flag=SCX_OPS_ENQ_LAST,SCX_OPS_ENQ_MIGRATION_DISABLED",), True),
        (0, ("ops.flag=SCX_OPS_ENQ_LAST",), False), (0, ("other=SCX_OPS_ENQ_MIGRATION_DISABLED",), False),
    ],
)  # fmt: skip
def test_who_takes_tasks_that_cannot_migrate_gets_some(
    given: Given, flags: int, words: tuple[str, ...], disabled: bool
) -> None:
    given(flags={"": flags})
    assert read_aims(b"", "short", words).migration_disabled is disabled
    assert bool(exercises(aimed_parts(b"", "short", words), "W24")) is disabled


def test_of_several_policies_the_one_that_is_loaded_is_asked(given: Given) -> None:
    given(flags={"one": 16, "two": 0})
    assert read_aims(b"", "short", ("ops.use=one",)).migration_disabled
    assert not read_aims(b"", "short", ("ops.use=two",)).migration_disabled
    assert read_aims(b"", "short", ("ops.use=three",)) == Aims()


def test_where_a_token_shall_hold_it_is_tried_in_a_guest_of_its_own_once(given: Given) -> None:
    given((ARRAY, 4))
    wide, usual = Topology(32, 4, 2), Topology()
    made = aimed_parts(b"", "short", (), (wide, usual, wide))
    assert [part.topology for part in made] == [None, Topology(6), wide]
    assert made[-1].counts and not made[1].counts
    of_full = next(part.topology for part in FULL if part.topology)
    assert len(aimed_parts(b"", "full", (), (of_full,))) == len(aimed_parts(b"", "full"))


@pytest.mark.parametrize("error", [ValueError, ArithmeticError, LookupError, TypeError])
def test_what_cannot_be_read_asks_for_nothing(error: type[Exception], given: Given, monkeypatch: Any) -> None:
    for data in (b"", b"object", b"\x7fELF" + bytes(60)):
        assert read_aims(data, "short") == Aims() and aimed_parts(data, "short") == (SHORT,)
    assert read_aims(object_bytes("ljf"), "short").cpus == read_aims(object_bytes("ljf"), "full").cpus

    def odd(data: bytes, words: Any) -> Any:
        raise error("odd")

    monkeypatch.setattr(aim, "read_facts", odd)
    assert read_aims(b"", "short") == Aims()
