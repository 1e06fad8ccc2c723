# SPDX-License-Identifier: Apache-2.0
"""What a campaign's file says: workloads x policies or planners x machines and CPU counts x seeds, and a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal

from benchmarks.machines import FLAT
from benchmarks.toml_file import read_toml, validated
from policy_lake.campaign import Place
from policy_lake.errors import InputError
from policy_lake.limits import (
    CAMPAIGN_BUDGET_RUNS,
    CAMPAIGN_BUDGET_S,
    CAMPAIGN_RUNS,
    CAMPAIGN_SEEDS,
    CPUS,
    LONGEST_NAME,
    MAX_RUNS,
    PAIRS,
    SEED,
    WORDS,
)
from tasks.host.machine import find_machine
from tasks.host.settings import Settings, load_settings
from tasks.host.workloads import find_workload
from tasks.planners.makers import MAKERS
from tasks.score import find_policy

SIDES = 2  # a place's runs of EEVDF for each pair: the baseline's, and equal runs beside them
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}")
_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, slots=True)
class CampaignBudget:
    """What one start of a campaign may compute, 0 for no limit: runs, and seconds by the wall. What is out ends."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    runs: int = CAMPAIGN_BUDGET_RUNS.preset
    seconds: int = CAMPAIGN_BUDGET_S.preset


@dataclass(frozen=True, slots=True)
class Matrix:
    """The file's fields. `size` is the workloads', `pairs` are runs a policy, `max_runs` those that a planner has."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    workloads: tuple[str, ...]
    policies: tuple[str, ...] = ()
    planners: tuple[str, ...] = ()
    machines: tuple[str, ...] = (FLAT,)
    cpus: tuple[int, ...] = (2,)
    seeds: tuple[int, ...] = (SEED.preset,)
    pairs: int = PAIRS.preset
    max_runs: int = 60
    size: Literal["smoke", "standard", "full"] = "standard"
    budget: CampaignBudget = CampaignBudget()
    name: str = ""

    @property
    def places(self) -> int:
        """How many places there are."""
        return len(self.workloads) * len(self.machines) * len(self.cpus) * len(self.seeds)

    @property
    def most_runs(self) -> int:
        """How many runs it may come to."""
        candidates = len(self.policies) * self.pairs + len(self.planners) * self.max_runs
        return self.places * (SIDES * self.pairs + candidates)

    def in_order(self) -> Iterator[Place]:
        """All places, those of one workload and guest behind each other, since they share snapshots."""
        for workload, machine, cpus, seed in product(self.workloads, self.machines, self.cpus, self.seeds):
            yield Place(workload, machine, cpus, seed)


def read_matrix(path: Path) -> Matrix:
    """The matrix in the file; InputError in one line that names the file and what is wrong, before anything is made."""
    made = validated(path, read_toml(path), Matrix)
    made = replace(made, name=made.name or path.name.removesuffix(".toml"))
    if not NAME.fullmatch(made.name):  # it names a directory, and an artifact
        raise InputError(f"{path}: field 'name': letters, digits, '.', '_' and '-', at most {LONGEST_NAME}")
    for field_name, most in (("workloads", WORDS), ("policies", WORDS), ("planners", WORDS), ("machines", WORDS),
                             ("cpus", WORDS), ("seeds", CAMPAIGN_SEEDS)):  # fmt: skip
        _check_list(path, field_name, getattr(made, field_name), most)
    if not made.policies and not made.planners:
        raise InputError(f"{path}: an empty matrix: name policies or planners")
    numbers = [*((CPUS, cpus) for cpus in made.cpus), *((SEED, seed) for seed in made.seeds), (PAIRS, made.pairs)]
    numbers += [(MAX_RUNS, made.max_runs), (CAMPAIGN_BUDGET_RUNS, made.budget.runs)]
    for limit, number in (*numbers, (CAMPAIGN_BUDGET_S, made.budget.seconds)):
        _named(path, partial(limit.check, number))
    if made.planners and not made.max_runs:
        raise InputError(f"{path}: field 'max_runs': 0 is no budget for a planner")
    if made.most_runs > CAMPAIGN_RUNS.high:
        raise InputError(
            f"{path}: the matrix has {made.most_runs:,} runs; a campaign has at most {CAMPAIGN_RUNS.high:,}"
        )
    return made


def _check_list(path: Path, name: str, given: Sequence[object], most: int) -> None:
    if not given and name not in ("policies", "planners"):
        raise InputError(f"{path}: an empty matrix: field '{name}' has no entry")
    if len(given) > most:
        raise InputError(f"{path}: field '{name}' has {len(given)} entries, more than {most}")
    if len(set(given)) < len(given):
        raise InputError(f"{path}: field '{name}' names one twice")


def check_names(path: Path, made: Matrix, settings: Settings) -> None:
    """InputError that names the file and the first name in it that nobody knows here."""
    for name in made.workloads:
        _named(path, partial(find_workload, name, settings))
    for name in made.policies:
        _named(path, partial(find_policy, name))
    for name in made.planners:
        if name not in MAKERS:
            raise InputError(f"{path}: no planner '{name[:40]}'; there are {', '.join(MAKERS)}")
    for name in made.machines:
        if name != FLAT:
            _named(path, partial(find_machine, name, settings))


def _named(path: Path, check: Callable[[], object]) -> None:
    try:
        check()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class CampaignSpec:
    """A campaign as a flow is given it: the matrix, and the settings of whoever asked; its id is the name of both."""

    matrix: Matrix
    settings: Settings

    def __str__(self) -> str:
        return self.matrix.name

    def settings_of(self, place: Place) -> Settings:
        """The settings of a place's guests: virtual time alone, which a host with KVM computes without it.

        So what is compared was measured by one clock, on whatever host, and no other number of the user's changes it.
        """
        plain = {"llcs": 1, "smt": 1, "nodes": 1, "work": "", "schbench": None, "cold": False}
        return self.settings.model_copy(update={**plain, "cpus": place.cpus, "machine": place.machine})


def define_campaign(path: Path) -> CampaignSpec:
    """The campaign in the file, by this process's environment; InputError for what is wrong with it or unknown here."""
    made = read_matrix(path)
    settings = load_settings(tier=made.size, clock="virtual")
    check_names(path, made, settings)
    return CampaignSpec(made, settings)
