# SPDX-License-Identifier: Apache-2.0
"""Work for Ray's workers in the tests; here, because a worker must be able to import it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow_cases import REJECTION

from policy_lake.errors import BuildError, InfraError, InputError, LostVMError
from policy_lake.measurement import Measurement
from policy_lake.model import Stage
from policy_lake.topology import Topology
from tasks.host.guest import prepare_guest
from tasks.host.settings import Settings
from tasks.tokens.issue import Answer, keep_token
from tasks.trial.run import run_inputs
from tasks.trial.spec import Loadable, Prepared, RunWork, VerifyWork, Work
from tasks.trial.work import Done
from tasks.verify import Verified
from verifier_vm.tokens import signer
from verifier_vm.tokens.request import Observed, Says
from verifier_vm.tokens.terms import REQUIRED_STAGES
from verifier_vm.verdict import verdict_of

FAILURES = {
    "infra": InfraError("the disk is full"),
    "lost": LostVMError("the guest stopped answering", "panic"),
    "build": BuildError("x.bpf.c does not compile", "line 3"),
    "input": InputError("no workload 'x'"),
    "bug": KeyError("nobody"),
}


def _attempt(directory: str) -> int:
    """The number of this attempt, counted over workers."""
    number = 1
    while True:
        try:
            with (Path(directory) / f"attempt-{number}").open("x") as file:
                file.write(str(os.getpid()))
            return number
        except FileExistsError:
            number += 1


def fail(kind: str) -> str:
    if kind in FAILURES:
        raise FAILURES[kind]
    return kind


def fail_once(item: tuple[str, str]) -> int:
    """Fails in the way named at its first attempt, and tells at the second which one it is."""
    directory, how = item
    number = _attempt(directory)
    if number == 1 and how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 1 and how == "infra":
        raise InfraError("for once")
    if number == 1 and how == "bug":
        raise KeyError("for once")
    while number == 1 and how == "wait" and not (Path(directory).parent / "go").exists():
        time.sleep(0.1)
    return number


FASTER = {"ljf": 1.31, "rr": 0.9}


def played_work(work: Work) -> Done:
    """What a guest would make of a piece of work, by its policy's id; needs no guest."""
    span = (time.time(), time.time() + 1)
    if isinstance(work, VerifyWork):
        return Done(_prepared(work.spec.candidate.policy), span)
    assert isinstance(work, RunWork)
    inputs = run_inputs(work, prepare_guest(work.settings, work.shape))
    name = work.policy.name if work.policy else ""
    makespan_ms = (2000.0 + work.work_seed) / FASTER.get(name, 1.0)
    metrics = {"makespan_ms": makespan_ms, "mean_end_ms": makespan_ms / 2, "bound_ms": 1500.0}
    return Done(Measurement(inputs.key, work.workload.id, name, inputs, metrics, kernel="7.3.4", accel="tcg"), span)


def played_slowly(work: Work) -> Done:
    """The same, in a tenth of a second for a run."""
    time.sleep(0.1 if isinstance(work, RunWork) else 0.0)
    return played_work(work)


def _prepared(name: str) -> Prepared:
    if name == "vtime":
        raise InfraError("the guest's disk is full")
    # A guest that has whatever the host may have that the tests run on.
    anywhere = (Topology(64, llcs=8, smt=2, nodes=2),)
    stages = [Stage(stage, True, 0.1, topologies=anywhere) for stage in REQUIRED_STAGES]
    verdict = verdict_of(stages, ops=name, data=name.encode(), kernel="7.3.4")
    if name == "fifo":
        verdict = replace(verdict, accepted=False, rejection=REJECTION)
    return Prepared(verdict, Loadable(name.encode(), ("slice_us=5",), name), None, "cd" * 32, "")


def played_verifier(file: Any, settings: Settings, work: Any, says: Says) -> Answer:
    """A verifier that saw what the played guests tell, and signs it."""
    prepared = _prepared(file.name.removesuffix(".bpf.c"))
    verdict, policy = prepared.verdict, prepared.policy
    assert policy is not None
    done = Verified(verdict, file.read_text(), policy.data, policy.arguments)
    seen = Observed(
        verdict.ops, verdict.object_sha256, "ab" * 32, policy.arguments, verdict.kernel, "cd" * 32, verdict.stages
    )
    return Answer(done, keep_token(signer.issue(settings.key_dir, seen.request(says)), done, settings))


def doubled(number: int) -> int:
    return 2 * number


def pid(_: int) -> int:
    return os.getpid()


def die(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(item: tuple[str, float]) -> int:
    """Leaves its process id behind, in a file named after it, and sleeps."""
    directory, seconds = item
    (Path(directory) / f"{seconds}-{os.getpid()}").write_text(str(os.getpid()))
    time.sleep(seconds)
    return os.getpid()
