# SPDX-License-Identifier: Apache-2.0
"""What can be said of a policy before any guest is started: its source, its build, its object."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from bpf.build import PolicyObject, compile_policy, front_end_flags, front_end_launcher
from policy_lake.errors import BuildError
from policy_lake.model import Finding, Stage
from verifier_vm.machine.kernel import Kernel
from verifier_vm.object.analyse import Analysis, analyse
from verifier_vm.source.lint import lint_source
from verifier_vm.verdict import goes_on_with_hotplug, honours_cgroups, merged_by_reason, stage_of

OnStage = Callable[[str], None]


UNCONFINED = Finding(
    "compiler", "note", "this kernel has no Landlock (Linux 5.13): the compiler could read and write what its user can"
)


class Headers(TypedDict):
    """Where a source's headers lie, as bpf.build takes it."""

    vmlinux_dir: Path
    include_dirs: Sequence[Path]
    source_dir: Path | None


@dataclass(frozen=True, slots=True)
class Checked:
    """The stages source, build and object as far as they got, and the object if it compiled."""

    stages: tuple[Stage, ...]
    made: PolicyObject | None

    @property
    def ok(self) -> bool:
        """Whether a guest may have it."""
        return self.made is not None and all(stage.ok for stage in self.stages)

    @property
    def cgroups(self) -> bool:
        """Whether the policy has cgroup callbacks, and so claims to honour weights and quotas."""
        return honours_cgroups(self.stages)

    @property
    def hotplug(self) -> bool:
        """Whether the policy has what it takes to outlive a CPU that goes or comes."""
        return goes_on_with_hotplug(self.stages)


def check_statically(
    source: str,
    *,
    name: str,
    kernel: Kernel,
    arguments: Sequence[str] = (),
    include_dirs: Sequence[Path] = (),
    source_dir: Path | None = None,
    check_all: bool = False,
    on_stage: OnStage = lambda _: None,
) -> Checked:
    """Lint the C, compile it, analyse the object, up to the first stage that rejects (`check_all`: all that can be).

    `arguments` are the loader's `KNOB=VALUE` words, since a knob's value decides what a constant is. InfraError when
    the compiler or the parser is not there.
    """
    on_stage("source")
    headers: Headers = {"vmlinux_dir": kernel.headers, "include_dirs": include_dirs, "source_dir": source_dir}
    flags, launcher = front_end_flags(source, **headers), front_end_launcher(**headers)
    stages = [lint_source(source, name=name, flags=flags, launcher=launcher)]
    if not stages[-1].ok and not check_all:
        return Checked(tuple(stages), None)
    on_stage("build")
    made = _build(source, name, stages, headers)
    if made is None:
        return Checked(tuple(stages), None)
    on_stage("object")
    analysis = analyse(made.data, arguments)
    stages[0] = as_the_object_knows(stages[0], analysis)
    stages.append(_as_the_user_names_it(analysis.stage))
    return Checked(tuple(map(merged_by_reason, stages)), made)


def as_the_object_knows(source: Stage, analysis: Analysis) -> Stage:
    """The stage `source` without suspicions of lines that are never executed, and of what the object has not."""
    dead = {(_plain(file), line) for file, line in analysis.dead}

    def is_idle(finding: Finding) -> bool:
        file, _, line = finding.place.rpartition(":")
        return finding.is_open and (finding.bug in analysis.refuted or (line.isdigit() and (file, int(line)) in dead))

    return replace(source, findings=tuple(finding for finding in source.findings if not is_idle(finding)))


def _as_the_user_names_it(stage: Stage) -> Stage:
    """The compiler keeps this host's paths out of the object and calls the source's directory `source`."""
    findings = tuple(replace(finding, place=_plain(finding.place)) for finding in stage.findings)
    return replace(stage, findings=findings)


def _plain(place: str) -> str:
    return place.removeprefix("source/")


def _build(source: str, name: str, stages: list[Stage], headers: Headers) -> PolicyObject | None:
    """Compile into a stage `build`, which rejects what the compiler refuses."""
    started = time.monotonic()
    try:
        made = compile_policy(source, name=name, **headers)
    except BuildError as error:
        refused = Finding("compiler", "reject", str(error), _place(error.diagnostics, name), "see the compiler's words")
        stages.append(stage_of("build", time.monotonic() - started, [refused], error.diagnostics))
        return None
    stages.append(stage_of("build", made.seconds, [] if made.confined else [UNCONFINED]))
    return made


def _place(diagnostics: str, name: str) -> str:
    """FILE:LINE of the first error that the compiler names."""
    for line in diagnostics.splitlines():
        if ": error: " in line or ": fatal error: " in line:
            parts = line.split(":")
            if len(parts) > 2 and parts[1].isdigit():
                return f"{parts[0]}:{parts[1]}"
    return name
