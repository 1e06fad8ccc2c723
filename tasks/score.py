# SPDX-License-Identifier: Apache-2.0
"""Score: one policy on one workload, outside any run; the way to repeat a figure or to try one's own policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import Workload
from bpf.library import policies, policy, read_policy
from policy_lake.knobs import parse_settings
from policy_lake.lake import Lake
from policy_lake.limits import PAIRS, SEED, check_pairs
from policy_lake.model import Candidate, InputError, Policy
from policy_lake.ranking import best
from tasks.host.guest import prepare_guest, shape_for
from tasks.host.settings import Settings
from tasks.host.workloads import find_workload
from tasks.plan import candidate_of
from tasks.trial.execute import Order, Trial, match_of, try_candidate
from tasks.trial.floor import floor_for
from tasks.trial.measure import Loadable
from tasks.trial.pictures import Pictures, draw, trace_runs
from tasks.verify import read_source


def find_policy(name: str) -> Policy:
    """The library's policy of that id, or the one in the file `name` if that is a .bpf.c."""
    if name.endswith(".bpf.c"):
        path = Path(name)
        return read_policy(read_source(path), path.name.removesuffix(".bpf.c"), "user")
    return policy(name)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user wants measured: names as they stand on the command line, and how much of it.

    `most_pairs` above `pairs` allows more rounds where they are worth it. `control` is a second policy in the same
    rounds, or `best` for the library's best so far. `directory` is where pictures go, if any are wanted. InputError for
    numbers beyond their limits.
    """

    policy: str
    workload: str
    pairs: int = PAIRS.preset
    most_pairs: int = 0
    seed: int = SEED.preset
    knobs: tuple[str, ...] = ()
    control: str = ""
    directory: Path | None = None
    perfetto: bool = False

    def __post_init__(self) -> None:
        check_pairs(self.pairs, self.most_pairs)
        SEED.check(self.seed)


def score(wish: Wish, settings: Settings, lake: Lake) -> tuple[Workload, Trial, Pictures | None]:
    """Build, judge and measure a policy; its score goes into the lake, so that it can be taken again by its id.

    A rejection is a value in the trial. InputError for an unknown policy, workload or knob; InfraError when nothing
    can be said.
    """
    wanted, chosen = find_workload(wish.workload, settings), find_policy(wish.policy)
    candidate = candidate_of(chosen, parse_settings(wish.knobs))
    shape = shape_for(settings, wanted)
    control = find_control(wish.control, wanted, lake)
    floor = floor_for(wanted, settings, shape, lake)
    order = Order(candidate, wanted, wish.pairs, wish.seed, shape, wish.most_pairs, control, floor, known_suffices=True)
    trial = try_candidate(order)
    if trial.score is None:
        return wanted, trial, None
    lake.put(*[one for one in (candidate, control) if one], trial.score)
    return wanted, trial, _pictures(wish, order, trial, settings) if wish.directory else None


def find_control(name: str, wanted: Workload, lake: Lake) -> Candidate | None:
    """The second control: a policy by name, or `best`: of the library as it is, what scored best on this workload."""
    if name != "best":
        return candidate_of(find_policy(name), {}) if name else None
    stock = {policy.id: policy for policy in policies()}
    known = [one for one in lake.scores(wanted.id) if one.policy in stock and not one.settings]
    leader = best(known)
    if leader is None:
        raise InputError(f"--control best: no stock policy was scored on '{wanted.id}' yet; name one, such as vtime")
    return candidate_of(stock[leader.policy], {})


def _pictures(wish: Wish, order: Order, trial: Trial, settings: Settings) -> Pictures:
    assert wish.directory is not None and trial.score is not None
    guest = prepare_guest(settings, order.shape)
    match = match_of(order, Loadable(trial.object_data, trial.arguments, order.candidate.policy), guest)
    timelines = trace_runs(match, guest, settings, seed=order.seed)
    return draw(wish.directory, [trial.score], timelines, perfetto=wish.perfetto)
