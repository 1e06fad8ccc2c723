# SPDX-License-Identifier: Apache-2.0
"""Every number a user gives: just inside its limits it works, just outside it is refused, and the same everywhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter, ValidationError

import flows.numbers
from benchmarks.rounds import Rounds
from benchmarks.scoring import pair_seed
from benchmarks.sequential import look
from control_plane import cli
from policy_lake import limits
from policy_lake.errors import InputError
from policy_lake.lake import Lake
from policy_lake.limits import Limit
from policy_lake.topology import Topology
from tasks.host.settings import Settings, load_settings
from tasks.run.spec import define_run
from tasks.score import ScoreRequest

ALL = [value for value in vars(limits).values() if isinstance(value, Limit)]
# What a command needs besides the option, so that only the option can be what is wrong.
REST = {
    "tune": ["batch"],
    "verify": ["x.bpf.c"],
    "score": ["vtime", "-w", "batch"],
    "bench-suite": [],
    "compare": ["batch"],
    "fidelity": ["x.parquet"],
    "observe": [],
    "search": ["text"],
    "show": ["desktop"],
    "rollout": ["a.token.json", "--object", "a.bpf.o", "--plan", "plan.toml", "--host", "fleet-1"],
    "up": [],
    "report": ["--html", "x"],
}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield from commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]


def options() -> Iterator[Any]:
    """Every option of the command line that takes a number, with its limit; None where it has none."""
    for path, command in commands(typer.main.get_command(cli.app)):
        for option in command.params:
            described = option.type_descriptor
            if described.annotation in (int, float, int | None, float | None):
                limit = getattr(described.parameter_info.parser, "__self__", None)
                yield pytest.param(path, command, option.opts[0], limit, id=" ".join((*path, option.opts[0])))


OPTIONS = list(options())


def test_every_number_of_the_command_line_is_found() -> None:
    found = {param.id for param in OPTIONS}
    shared = {
        f"{command} --{name}" for command in ("tune", "score", "compare") for name in ("cpus", "llcs", "smt", "nodes")
    }
    shared |= {f"tune --max-{name}" for name in ("runs", "guest-seconds", "seconds")}
    shared |= {f"compare --{name}" for name in ("max-runs", "per-iteration", "pairs", "seed")}
    shared |= {"bench-suite --max-runs"}
    own = {"tune --iterations", "tune --per-iteration", "tune --pairs", "tune --seed", "score --pairs", "score --seed"}
    assert found == shared | own | {
        "score --most-pairs", "fidelity --cpus", "lake search --limit", "machines show --cpus",
        "fleet up --hosts", "fleet up --cpus", "fleet up --memory",
        "tune --min-coverage", "verify --min-coverage", "rollout --seed", "report --runs",
        "observe --pid", "observe --duration", "observe --max-cost",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "command", "flag", "limit"), OPTIONS)
def test_just_inside_is_parsed_and_just_outside_is_one_line_and_status_2(
    path: tuple[str, ...], command: Any, flag: str, limit: Limit, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    rest = REST[path[-1]]
    for value in (limit.low, limit.high):
        parsed = command.make_context(path[-1], [*rest, flag, str(value)])
        assert parsed.params[flag.strip("-").replace("-", "_")] == value
    for value in (limit.low - 1, limit.high + 1, "many", "1.5", "", "9" * 5000):
        monkeypatch.setattr(sys, "argv", ["schedcp", *path, *rest, flag, str(value)])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        printed = capsys.readouterr()
        assert (ending.value.code, printed.out, printed.err.count("\n")) == (2, "", 1), printed
        assert printed.err.startswith(f"schedcp: {limit.name}: "), printed.err
    assert f"{limit.low}..{limit.high}" in command.get_help(command.make_context(path[-1], [*rest]))


FLOW_TYPES = {
    "iterations": (flows.numbers.Iterations, limits.ITERATIONS),
    "per_iteration": (flows.numbers.PerIteration, limits.PER_ITERATION),
    "pairs": (flows.numbers.Pairs, limits.PAIRS),
    "seed": (flows.numbers.Seed, limits.SEED),
}


@pytest.mark.parametrize("name", FLOW_TYPES)
def test_command_line_flow_and_library_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.tune import tune

    kind, limit = FLOW_TYPES[name]
    for value in (int(limit.low), int(limit.high)):
        assert TypeAdapter(kind).validate_python(value) == value == limit.parse(str(value))
        assert tune.validate_parameters({"workload": "batch", name: value})[name] == value
        assert getattr(define_run("batch", Settings(), **{name: value}), name) == value  # type: ignore[arg-type]
    for value in (int(limit.low) - 1, int(limit.high) + 1):
        with pytest.raises(InputError) as typed:
            limit.parse(str(value))
        with pytest.raises(InputError) as called:
            define_run("batch", Settings(), **{name: value})  # type: ignore[arg-type]
        assert str(typed.value) == str(called.value)
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(value)
        with pytest.raises(Exception, match=name):
            tune.validate_parameters({"workload": "batch", name: value})
    assert tune.parameters.properties[name]["default"] == limit.preset


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            {"pairs": 3},
            "pairs: 3 is not from 4 to 70: with fewer than 4 pairs the anytime-valid interval is 0 to infinity",
        ),
        ({"pairs": 71}, "pairs: 71 is not from 4 to 70"),
        ({"pairs": 5, "most_pairs": 4}, "most pairs: 4 is less than the 5 pairs to measure at first"),
        ({"pairs": 5, "most_pairs": 101}, "most pairs: 101 is not from 4 to 100"),
        ({"seed": -1}, "seed: -1 is not from 0 to 4294967295"),
        ({"seed": 2**32}, "seed: 4294967296 is not"),
    ],
)
def test_a_score_that_could_not_be_measured_or_could_decide_nothing_is_not_begun(
    numbers: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ScoreRequest("vtime", "batch", **numbers)  # type: ignore[arg-type]
    assert ScoreRequest("vtime", "batch", pairs=4, most_pairs=4, seed=0).pairs == 4
    assert ScoreRequest("vtime", "batch", pairs=70, most_pairs=100, seed=2**32 - 1).most_pairs == 100


def test_the_least_number_of_pairs_is_the_least_that_can_decide() -> None:
    assert math.isinf(look([0.5] * (limits.DECIDES_FROM - 1)).high)
    assert look([0.5] * limits.DECIDES_FROM).low > 1


def test_most_pairs_are_pairs_of_one_seed_and_rounds_of_guests_that_take_them() -> None:
    for pairs in range(int(limits.PAIRS.low), int(limits.PAIRS.high) + 1):
        limits.check_pairs(pairs, limits.most_pairs(pairs))
        Rounds(pairs)
    assert (limits.most_pairs(5), limits.most_pairs(70)) == (15, 100)
    assert pair_seed(1, int(limits.MOST_PAIRS.high) - 1) < pair_seed(2, 0)
    assert pair_seed(int(limits.SEED.high) + 10**6, int(limits.MOST_PAIRS.high)) < 2**53
    for pairs in (0, 71):
        with pytest.raises(InputError, match="pairs in a guest"):
            Rounds(pairs)


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.name)
def test_a_limit_holds_its_own_default_and_nothing_beyond_itself(limit: Limit) -> None:
    for value in (limit.low, limit.high, *([] if limit.default is None else [limit.default])):
        limit.check(value)
    for value in (limit.low - 1, limit.high + 1, math.nan, math.inf, -math.inf, True):
        with pytest.raises(InputError, match=f"^{limit.name}: ") as refusal:
            limit.check(value)
        assert "\n" not in str(refusal.value)
    if limit.integer:
        with pytest.raises(InputError, match="not a whole number"):
            limit.check(limit.low + 0.5)


SETTINGS = [
    ("cpus", limits.CPUS),
    ("llcs", limits.LLCS),
    ("smt", limits.SMT),
    ("nodes", limits.NODES),
    ("memory_mib", limits.MEMORY_MIB),
    ("microvm_slots", limits.SLOTS),
    ("record_buffer_mib", limits.RECORD_BUFFER_MIB),
    ("model_max_tokens", limits.MODEL_TOKENS),
    ("model_max_cost_usd", limits.MODEL_COST_USD),
    ("model_timeout_s", limits.MODEL_TIMEOUT_S),
    ("trial_deadline_s", limits.DEADLINE_S),
]


@pytest.mark.parametrize(("name", "limit"), SETTINGS)
def test_settings_have_the_same_limits(name: str, limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (limit.low, limit.high):
        monkeypatch.setenv(f"SCHEDCP_{name.upper()}", str(value))
        assert getattr(load_settings(), name) == value
    for value in (-1 if name == "cpus" else limit.low - 1, limit.high + 1, "nan"):  # cpus 0: what a workload asks for
        monkeypatch.setenv(f"SCHEDCP_{name.upper()}", str(value))
        with pytest.raises(InputError, match=f"SCHEDCP_{name.upper()}"):
            load_settings()
    monkeypatch.delenv(f"SCHEDCP_{name.upper()}")
    assert limit.default in (None, getattr(Settings(), name))


def test_machine_and_lake_refuse_what_the_command_line_refuses(tmp_path: Any) -> None:
    for name in ("cpus", "llcs", "smt", "nodes"):
        for value in (0, 65):
            with pytest.raises(InputError, match=f"{name}: {value} is not from 1 to 64"):
                Topology(**{name: value})
    for value in (0, 101):
        with pytest.raises(InputError, match=f"limit: {value} is not from 1 to 100"):
            Lake(tmp_path).search_policies("text", value)
