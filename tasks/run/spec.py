# SPDX-License-Identifier: Apache-2.0
"""A run's definition as a value: made once, at the entry, kept in the run's directory, read there by each stage."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.workloads import Workload
from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write
from policy_lake.limits import ITERATIONS, MAX_GUEST_S, MAX_RUNS, MAX_SECONDS, PAIRS, PER_ITERATION, SEED
from policy_lake.model import to_json
from policy_lake.show import is_utf8
from tasks.host.guest import Shape, shape_for
from tasks.host.in_use import claim, require_usable
from tasks.host.settings import Settings, load_settings
from tasks.host.workloads import find_workload
from tasks.tokens.issue import check_key_store

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it names a directory
OTHER_LAKE = "name another place for the lake in SCHEDCP_LAKE"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may cost, 0 for no limit: runs of its candidates, seconds in guests, seconds by the wall.

    It is looked at after each round, which is ended.
    """

    runs: int = MAX_RUNS.preset
    guest_s: int = MAX_GUEST_S.preset
    wall_s: int = MAX_SECONDS.preset


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a run is: its id, the workload as its descriptor read, the guest's shape, the settings, and its sizes.

    A stage that gets it needs no environment. Neither pickle nor JSON carries the model's key. Without `token` the
    winner is neither confirmed nor signed.
    """

    run_id: str
    workload: Workload
    shape: Shape
    settings: Settings
    iterations: int = ITERATIONS.preset
    per_iteration: int = PER_ITERATION.preset
    pairs: int = PAIRS.preset
    seed: int = SEED.preset
    budget: Budget = Budget()
    token: bool = True

    def __str__(self) -> str:
        return self.run_id

    @property
    def directory(self) -> Path:
        """Where the run keeps its definition, what its planner has spent, evidence and report."""
        return self.settings.run_dir / self.run_id


def define_run(
    workload: str,
    settings: Settings,
    *,
    iterations: int = ITERATIONS.preset,
    per_iteration: int = PER_ITERATION.preset,
    pairs: int = PAIRS.preset,
    seed: int = SEED.preset,
    run_id: str | None = None,
    budget: Budget = Budget(),
    token: bool = True,
) -> RunSpec:
    """A new run's definition; the workload's descriptor is read here and nowhere later.

    InputError on bad input, InfraError when nothing can be kept in the data directory or the lake, KeyFileError when
    no key can in the key store, unless there is to be no `token`.
    """
    given = [(ITERATIONS, iterations), (PER_ITERATION, per_iteration), (PAIRS, pairs), (SEED, seed)]
    given += [(MAX_RUNS, budget.runs), (MAX_GUEST_S, budget.guest_s), (MAX_SECONDS, budget.wall_s)]
    for limit, number in given:
        limit.check(number)
    described = find_workload(workload, settings)
    if not is_utf8(f"{described.file}{described.trace}"):  # nor would Ray start, which is told the command line
        raise InputError(f"{workload}: its path is not UTF-8, and a run is kept with the paths of its workload")
    if not is_utf8(str(place := Path.cwd())):
        raise InputError(f"{place}: the current directory's path is not UTF-8, and Ray does not start in such a one")
    claim(settings.data_dir)
    require_usable(settings.lake_dir, OTHER_LAKE)
    if token:
        check_key_store(settings)
    return RunSpec(
        _checked_id(run_id or new_run_id(described.id)), described, shape_for(settings, described), settings,
        iterations, per_iteration, pairs, seed, budget, token,
    )  # fmt: skip


def new_run_id(workload: str) -> str:
    """The workload's id, the time in UTC, and four random digits."""
    return f"{workload}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def store_run(run: RunSpec) -> None:
    """Keep the definition in the run's directory; InputError if a run of that id has another one."""
    path = _path(run.run_id, run.settings)
    if path.exists():
        if to_json(load_run(run.run_id, run.settings)) != to_json(run):
            raise InputError(f"run '{run.run_id}' was begun with another definition, see {path}: choose another id")
        return
    atomic_write(path, json.dumps(to_json(run), indent=1).encode())


def load_run(run_id: str, settings: Settings) -> RunSpec:
    """The definition that was stored, with the model's key of `settings`; InputError if there is no such run."""
    path = _path(_checked_id(run_id), settings)
    try:
        run = run_in(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"no run '{run_id}' was begun here: there is no {path}") from None
    except (OSError, ValueError) as error:
        raise InfraError(f"{path}: the run's definition cannot be read: {error}") from error
    return replace(run, settings=run.settings.model_copy(update={"model_api_key": settings.model_api_key}))


def run_in(data: bytes) -> RunSpec:
    """The definition that `json.dumps(to_json(run))` made; ValueError when it is none, or another version's."""
    from pydantic import TypeAdapter

    # As JSON, in which a descriptor's strict fields may be lists where the record has tuples.
    return TypeAdapter(RunSpec).validate_json(data)


def run_of(run: RunSpec | str) -> RunSpec:
    """The run that a stage flow was given: by value, or by its id when a deployment starts the stage by itself."""
    return run if isinstance(run, RunSpec) else load_run(run, load_settings())


def _checked_id(run_id: str) -> str:
    if not RUN_ID.fullmatch(run_id):
        raise InputError(f"run id {run_id[:80]!r}: letters, digits, '.', '_' and '-', at most 100")
    return run_id


def _path(run_id: str, settings: Settings) -> Path:
    return settings.run_dir / run_id / "run.json"
