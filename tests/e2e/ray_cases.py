# SPDX-License-Identifier: Apache-2.0
"""Work for Ray's workers in the tests; here, because a worker must be able to import it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from flow_cases import REJECTION, score
from tasks.trial.execute import Order, Trial

from policy_lake.model import BuildError, InfraError, InputError, LostVMError, Stage, Verdict
from verifier_vm.tokens.terms import REQUIRED_STAGES

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


def fake_try(order: Order) -> Trial:
    """What a guest would make of a candidate, by its policy's id; needs no guest."""
    candidate, span = order.candidate, (time.time(), time.time() + 1)
    if candidate.policy == "vtime":
        raise InfraError("the guest's disk is full")
    stages = tuple(Stage(name, name != "survive" or candidate.policy != "fifo", 0.1) for name in REQUIRED_STAGES)
    verdict = Verdict(True, None, stages, candidate.policy, "ab" * 32, "7.3.4")
    if candidate.policy == "fifo":
        verdict = replace(verdict, accepted=False, rejection=REJECTION)
        return Trial(candidate, verdict, None, b"object", (), "cd" * 32, span)
    measured = score(candidate) if candidate.policy == "ljf" else score(candidate, 0.9, outcome="loss")
    if order.confirms:  # another measurement is another score
        measured = replace(measured, id=f"{measured.id}-again", confirms=order.confirms)
    return Trial(candidate, verdict, measured, b"object", ("slice_us=5",), "cd" * 32, span)


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
