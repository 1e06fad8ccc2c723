# SPDX-License-Identifier: Apache-2.0
"""Where each name of the face comes from; imported when the first of them is used."""

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
