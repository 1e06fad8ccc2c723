# SPDX-License-Identifier: Apache-2.0
"""Score: one policy on one workload, outside any run; the way to repeat a figure or to try one's own policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.workloads import Workload
from bpf.library import policy, read_policy
from policy_lake.model import Candidate, InputError, KnobValue, Policy
from tasks.execute import Order, Trial, try_candidate
from tasks.guest import shape_of
from tasks.plan import candidate_id
from tasks.settings import Settings
from tasks.verify import read_source
from tasks.workloads import find_workload


def find_policy(name: str) -> Policy:
    """The library's policy of that id, or the one in the file `name` if that is a .bpf.c."""
    if name.endswith(".bpf.c"):
        path = Path(name)
        return read_policy(read_source(path), path.name.removesuffix(".bpf.c"), "user")
    return policy(name)


def parse_knobs(texts: Sequence[str]) -> dict[str, KnobValue]:
    """`NAME=VALUE` texts as settings; what the values may be is checked against the policy's knobs later."""
    settings: dict[str, KnobValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--knob {text}: not NAME=VALUE")
        settings[name] = int(value) if value.lstrip("-").isdigit() else value
    return settings


def score(
    policy_name: str, workload: str, settings: Settings, *, pairs: int, seed: int, knobs: Sequence[str] = ()
) -> tuple[Workload, Trial]:
    """Build, judge and measure the policy `policy_name`; a rejection is a value in the trial.

    InputError for an unknown policy, workload or knob; InfraError when nothing can be said.
    """
    wanted, chosen, given = find_workload(workload, settings), find_policy(policy_name), parse_knobs(knobs)
    name = candidate_id(chosen.id, chosen.source, given)
    candidate = Candidate(
        id=name, run_id="", iteration=0, policy=chosen.id, source=chosen.source,
        settings=given, reason="asked for on the command line", planner="user",
    )  # fmt: skip
    return wanted, try_candidate(Order(candidate, wanted, pairs, seed, shape_of(settings, wanted.cpus)))
