# SPDX-License-Identifier: Apache-2.0
"""The three calls. Each imports what it needs when it is called: Ray, Prefect and LanceDB take seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from policy_lake.limits import ITERATIONS, PAIRS, PER_ITERATION, SEED
from policy_lake.limits import most_pairs as most_of
from policy_lake.model import KnobValue

if TYPE_CHECKING:
    from control_plane.results import Rejected, ScoreResult, VerifyResult
    from policy_lake.tuned import TuneResult
    from tasks.host.settings import Settings


def verify(
    path: str | Path,
    settings: Settings | None = None,
    *,
    knobs: Mapping[str, KnobValue | Sequence[KnobValue]] | None = None,
    sets: Mapping[str, KnobValue | Sequence[KnobValue]] | None = None,
    ops: str = "",
    ops_flags: Sequence[str] = (),
    include_dirs: Sequence[str | Path] = (),
    linked: Sequence[str | Path] = (),
    workload: str | Path = "",
    suite_tier: Literal["short", "full"] = "short",
    check_all: bool = False,
    require: Sequence[str] = (),
) -> VerifyResult:
    """Take the policy at `path`, a .bpf.c, through every stage: source, build, object, kernel, survive, fair.

    A ready .bpf.o goes through all but its source, which nobody has seen then; `linked` are files of both kinds that
    belong to it. `knobs` are the source's, a list as a list or as comma-separated text. `sets` are constants of the
    object as its loader fills them, wherever they are declared, `ops` the policy's variable where an object has
    several, `ops_flags` names of flags to set in it.

    With a `workload` (an id or the path of a .toml) an accepted policy is measured on it, too, and its guard rails are
    the stage `score`. It stops at the first rejection unless `check_all`. `require` names what the hosts need:
    `hotplug`, `exit-record`, `cgroups`, `nice`. Seconds for the suite tier `short`, minutes for `full`.

    Returns the verdict with, when accepted, the path of a token that this machine's key has signed. Raises InputError
    for a path that is no policy or a knob that it has not, and InfraError when nothing can be said of it.
    """
    from control_plane.verify import verified
    from policy_lake.knobs import by_name, ops_values
    from schedcp.settings import resolved
    from tasks.verify import VerifyOptions

    options = VerifyOptions(suite_tier, check_all, tuple(require))
    given = {**by_name("sets", sets), **ops_values(ops, ops_flags)}
    return verified(Path(path), resolved(settings), knobs=by_name("knobs", knobs), sets=given,
                    include_dirs=_paths("include_dirs", include_dirs), linked=_paths("linked", linked),
                    options=options, workload=str(workload))[0]  # fmt: skip


def score(
    policy: str | Path,
    workload: str | Path,
    settings: Settings | None = None,
    *,
    pairs: int = PAIRS.preset,
    most_pairs: int | None = None,
    seed: int = SEED.preset,
    knobs: Mapping[str, KnobValue | Sequence[KnobValue]] | None = None,
    sets: Mapping[str, KnobValue | Sequence[KnobValue]] | None = None,
    ops: str = "",
    ops_flags: Sequence[str] = (),
    include_dirs: Sequence[str | Path] = (),
    linked: Sequence[str | Path] = (),
    control: str = "",
    plots: str | Path | None = None,
) -> ScoreResult | Rejected:
    """Measure a policy on a workload against EEVDF with the same seeds, and keep the score in the lake.

    `policy` is an id of the library, a .bpf.c or a ready .bpf.o, `workload` an id or a .toml. `pairs` (4 to 70) are
    measured at first, up to `most_pairs` where more would settle it (default: 3 times as many; as many in size
    `smoke`). `seed` is the first pair's. `knobs`, `sets`, `ops`, `ops_flags`, `include_dirs` and `linked` are those of
    `verify`. `control` is a second policy in the same rounds. `plots` is a directory for pictures.

    Returns the score, whose `ratio` is dimensionless and above 1 where the policy is better, or the rejection of a
    policy that may not run. Raises InputError for an unknown policy, workload or knob, InfraError when nothing can be
    said.
    """
    from control_plane.score import scored
    from policy_lake.knobs import by_name, ops_values
    from schedcp.settings import resolved
    from tasks.host.lake import open_lake
    from tasks.score import ScoreRequest

    chosen = resolved(settings)
    PAIRS.check(pairs)
    most = most_pairs if most_pairs is not None else pairs if chosen.tier == "smoke" else most_of(pairs)
    given = {**by_name("sets", sets), **ops_values(ops, ops_flags)}
    request = ScoreRequest(str(policy), str(workload), pairs, most, seed, by_name("knobs", knobs), control,
                           Path(plots) if plots is not None else None, sets=given, linked=_paths("linked", linked),
                           include_dirs=_paths("include_dirs", include_dirs))  # fmt: skip
    return scored(request, chosen, open_lake(chosen))[0]


def tune(
    workload: str | Path,
    settings: Settings | None = None,
    *,
    iterations: int = ITERATIONS.preset,
    per_iteration: int = PER_ITERATION.preset,
    pairs: int = PAIRS.preset,
    seed: int = SEED.preset,
    max_runs: int = 0,
    max_guest_seconds: int = 0,
    max_seconds: int = 0,
) -> TuneResult:
    """Observe a workload, plan policies for it, try them against EEVDF in micro-VMs, learn, and report.

    `iterations` (1 to 50) rounds of `per_iteration` (1 to 64) candidates, each measured in `pairs` (4 to 70)
    pairs at first; `seed` is that of the workload's data and of the statistics. Tens of seconds to hours: no round
    begins after `max_runs` runs of candidates, `max_guest_seconds` in guests, or `max_seconds` in all (0: any).

    Returns every candidate with what came of it, the best of them with the path of its token, and the paths of the
    report and its pictures; times are in seconds. Raises InputError before anything is started, InfraError when the
    run could not go on.
    """
    from flows.local import run_tune
    from schedcp.settings import resolved
    from tasks.run.spec import Budget, define_run

    run = define_run(
        str(workload), resolved(settings), iterations=iterations, per_iteration=per_iteration, pairs=pairs, seed=seed,
        budget=Budget(max_runs, max_guest_seconds, max_seconds),
    )  # fmt: skip
    return run_tune(run)


def _paths(what: str, given: Sequence[str | Path]) -> tuple[Path, ...]:
    """As paths, of which each may be text; InputError for one path where a list of them belongs."""
    from policy_lake.errors import InputError

    if isinstance(given, str | Path):
        raise InputError(f"{what}={str(given)!r}: not a list of paths, such as [{str(given)!r}]")
    return tuple(map(Path, given))
