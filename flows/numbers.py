# SPDX-License-Identifier: Apache-2.0
"""The numbers that flows take, with the limits of policy_lake/limits.py, in the terms that Prefect checks them by."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from policy_lake.limits import ITERATIONS, PAIRS, PER_ITERATION, SEED, Limit


def within(limit: Limit) -> Any:
    """The limit as a pydantic field."""
    return Field(ge=limit.low, le=limit.high)


Iterations = Annotated[int, within(ITERATIONS)]
PerIteration = Annotated[int, within(PER_ITERATION)]
Pairs = Annotated[int, within(PAIRS)]
Seed = Annotated[int, within(SEED)]
