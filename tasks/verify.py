# SPDX-License-Identifier: Apache-2.0
"""Verify: one .bpf.c from anybody, built and judged, with a token when nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bpf.build import compile_policy
from policy_lake.model import BuildError, Clock, InputError, Rejection, Stage, Verdict
from tasks.guest import prepare_guest
from tasks.settings import Settings
from verifier_vm.gate import judge

SOURCE_LIMIT = 4 << 20
OnStage = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict, and the object it is about (empty when it did not compile)."""

    verdict: Verdict
    source: str
    object_data: bytes
    clock: Clock = "wall"
    warning: str = ""


def read_source(path: Path) -> str:
    """The text of a policy's source file; InputError that names the file when it is not one."""
    if path.suffixes[-2:] != [".bpf", ".c"]:
        raise InputError(f"{path}: not a .bpf.c file")
    try:
        if path.stat().st_size > SOURCE_LIMIT:
            raise InputError(f"{path}: larger than {SOURCE_LIMIT >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def verify(
    path: Path, settings: Settings, *, include_dirs: Sequence[Path] = (), on_stage: OnStage = lambda _: None
) -> Verified:
    """Build the policy at `path`, load it through the guest kernel's BPF verifier, attach and stress it.

    A policy that fails is a rejected verdict. Raises InputError for a path that is no policy, InfraError when nothing
    can be said.
    """
    source = read_source(path)
    for directory in include_dirs:
        if not directory.is_dir():
            raise InputError(f"-I {directory}: no such directory")
    guest = prepare_guest(settings)
    on_stage("build")
    try:
        made = compile_policy(
            source, name=path.name, vmlinux_dir=guest.kernel.headers, include_dirs=include_dirs, source_dir=path.parent
        )
    except BuildError as error:
        rejection = Rejection("build", str(error), error.diagnostics)
        return Verified(Verdict(False, rejection, (Stage("build", False, 0.0),)), source, b"")
    on_stage("boot")
    verdict = judge(made.data, (), guest.machine, on_event=lambda event: on_stage(_stage_of(event))).verdict
    build = Stage("build", True, made.seconds)
    verdict = replace(verdict, stages=(build, *verdict.stages))
    return Verified(verdict, source, made.data, guest.machine.clock_name, guest.warning)


def _stage_of(event: dict[str, object]) -> str:
    """What begins when this event has come."""
    after = {"hello": "kernel", "attach": "survive", "run": "exit"}
    return after.get(str(event.get("verb", event["event"])), "done")
