# SPDX-License-Identifier: Apache-2.0
"""The public benchmark: a frozen, versioned set of cases, with the digits that EEVDF has in each.

In virtual time a run is a function of its inputs, so whoever has the same kernel, image, QEMU and clock gets the same
digits, on any hardware. benchmarks/suites/vN.toml has the cases, vN.json the digits and what they were measured with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.toml_file import read_toml, validated
from policy_lake.errors import InfraError, InputError
from policy_lake.limits import CPUS, PAIRS, SEED

SUITES = Path(__file__).parent / "suites"
MOST_CASES = 100
_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, slots=True)
class Case:
    """One workload in one guest. `work` replaces numbers of the workload; `held` cases are opened once per release."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    id: str
    workload: str
    cpus: int
    machine: str = "flat"
    tier: str = "standard"
    work: dict[str, int] = field(default_factory=dict)
    held: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """A version's cases, each measured on `pairs` seeds from `seed` on."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    version: int
    pairs: int
    seed: int
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Digits:
    """EEVDF's metric and the bound in each run of a case, and what they are a function of beside the case."""

    eevdf: tuple[float, ...]
    bound: tuple[float, ...]
    of: dict[str, str]


def suite(version: int = 1, directory: Path = SUITES) -> Suite:
    """The suite of that version; InputError if there is none, or naming what is wrong with it."""
    path = directory / f"v{version}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in directory.glob("v*.toml")))
        raise InputError(f"there is no suite v{version}; there are {known or 'none'}")
    made = validated(path, read_toml(path), Suite)
    for limit, number in ((PAIRS, made.pairs), (SEED, made.seed), *((CPUS, case.cpus) for case in made.cases)):
        limit.check(number)
    ids = [case.id for case in made.cases]
    if len(set(ids)) < len(ids) or not 0 < len(ids) <= MOST_CASES:
        raise InputError(f"{path}: 1 to {MOST_CASES} cases, each with an id of its own")
    return made


def digits_of(version: int = 1, directory: Path = SUITES) -> dict[str, Digits]:
    """The frozen digits by case; none for a case that nobody has frozen yet. InfraError for a damaged file."""
    from pydantic import TypeAdapter

    path = directory / f"v{version}.json"
    try:
        return TypeAdapter(dict[str, Digits]).validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InfraError(f"{path}: the frozen digits cannot be read: {str(error)[:200]}") from error


def written(digits: dict[str, Digits]) -> bytes:
    """The digits as they are kept."""
    plain: dict[str, Any] = {
        name: {"eevdf": list(one.eevdf), "bound": list(one.bound), "of": one.of} for name, one in digits.items()
    }
    return (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode()
