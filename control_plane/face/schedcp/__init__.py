# SPDX-License-Identifier: Apache-2.0
"""SchedCP as a library: verify a sched_ext policy, score it against EEVDF, or tune a workload, in micro-VMs.

    from pathlib import Path
    from schedcp import Settings, verify

    result = verify(Path("mine.bpf.c"), Settings(data_dir=Path("/var/lib/me")))
    print(result.accepted, result.rejection)

Each call takes a `Settings` value; with one, no SCHEDCP_ variable is read. Without one, the environment says what it
says to the command line. No call prints or keeps a signal handler. LanceDB, Ray and Prefect are told to be quiet by
variables of theirs (`LANCEDB_`, `RAY_`, `PREFECT_`), where these are not set. What a policy did wrong is in the
result; an exception is about the call (`InputError`), this machine (`InfraError`, `LostVMError`) or the compiler
(`BuildError`), all of them a `SchedcpError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from control_plane.results import Rejected, ScoreResult, VerifyResult
    from policy_lake.errors import BuildError, InfraError, InputError, LostVMError, SchedcpError
    from policy_lake.model import Finding, Rejection, Stage, Verdict
    from policy_lake.scores import Pair, Ratio, Score
    from policy_lake.tuned import TuneResult
    from schedcp.calls import score, tune, verify
    from schedcp.settings import Settings

__all__ = [
    "BuildError", "Finding", "InfraError", "InputError", "LostVMError", "Pair", "Ratio", "Rejected", "Rejection",
    "SchedcpError", "Score", "ScoreResult", "Settings", "Stage", "TuneResult", "Verdict", "VerifyResult", "score",
    "tune", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # The command line begins here, too, and `--help` must not pay for what it does not use.
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from schedcp import exports

    globals()[name] = value = getattr(exports, name)
    return value
