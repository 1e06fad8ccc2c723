# SPDX-License-Identifier: Apache-2.0
"""What can be said of a policy before any guest is started: its source, its build, its object."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from bpf.build import PolicyObject, compile_policy, front_end_flags, front_end_launcher
from bpf.link import link_objects
from policy_lake.codes import Code
from policy_lake.coverage import short_file
from policy_lake.errors import SETUP, BuildError, InfraError
from policy_lake.model import Finding, Stage
from tasks.trial.parts import Part
from verifier_vm.machine.kernel import Kernel
from verifier_vm.machine.kernel_values import kernel_values
from verifier_vm.object.analyse import Analysis, analyse, asks_for_config
from verifier_vm.source.lint import lint_source
from verifier_vm.verdict import goes_on_with_hotplug, honours_cgroups, merged_by_line, merged_by_reason, stage_of

OnStage = Callable[[str], None]


UNCONFINED = Finding(
    "compiler", "note", "this kernel has no Landlock (Linux 5.13): the compiler could read and write what its user can"
)


NOT_SEEN = "not seen: an object was given, and what only its source shows was not looked for"
NOT_BUILT = "not compiled here: it is taken as it was given"
NO_CONFIG = f"run `{SETUP}`, or put the config-RELEASE of a kernel of your own beside it"


class Headers(TypedDict):
    """Where a source's headers lie, as bpf.build takes it."""

    vmlinux_dir: Path
    include_dirs: Sequence[Path]
    source_dir: Path | None


@dataclass(frozen=True, slots=True)
class Checked:
    """The stages source, build and object as far as they got, and the object if it compiled.

    `arguments` are the loader's `NAME=VALUE` words that it was analysed with.
    """

    stages: tuple[Stage, ...]
    made: PolicyObject | None
    arguments: tuple[str, ...] = ()

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
    """`check_parts` of one source whose words are known before it is compiled."""
    words = tuple(arguments)
    return check_parts(
        (Part(name, source, source_dir),), kernel, words_of=lambda _: words, include_dirs=include_dirs,
        check_all=check_all, on_stage=on_stage,
    )  # fmt: skip


def check_parts(
    parts: Sequence[Part],
    kernel: Kernel,
    *,
    words_of: Callable[[bytes], Sequence[str]] = lambda _: (),
    include_dirs: Sequence[Path] = (),
    check_all: bool = False,
    words_first: bool = False,
    on_stage: OnStage = lambda _: None,
) -> Checked:
    """Lint the C, compile and link it, analyse the object, up to the first stage that rejects (`check_all`: all).

    `words_of` gives the loader's `NAME=VALUE` words for the object, since a constant's value decides what the object
    does; with `words_first` it is compiled first, so that words which it refuses are refused at once. InfraError when
    the compiler or the parser is not there, or the kernel's configuration that it asks for.
    """
    built: tuple[Stage, PolicyObject | None] | None = None
    if words_first:
        on_stage("build")
        built = _build(parts, kernel, include_dirs)
        if built[1] is not None:
            words_of(built[1].data)
    on_stage("source")
    stages = [_source_stage(parts, kernel, include_dirs)]
    if not stages[-1].ok and not check_all:
        return Checked(tuple(stages), None)
    if built is None:
        on_stage("build")
        built = _build(parts, kernel, include_dirs)
    build, made = built
    stages.append(build)
    if made is None:  # the compiler says why, and the parser need not
        said = tuple(one for one in stages[0].findings if (one.bug, one.level) != ("compiler", "note"))
        return Checked((replace(stages[0], findings=said), build), None)
    on_stage("object")
    arguments = tuple(words_of(made.data))
    values = kernel_values(kernel)
    analysis = analyse(made.data, arguments, values)
    stages[0] = as_the_object_knows(stages[0], analysis)
    stages[0], seen = merged_by_line(stages[0], _as_the_user_names_it(analysis.stage))
    stages.append(seen)
    if values.config is None and asks_for_config(made.data):
        raise InfraError(f"the policy asks for the configuration of kernel {kernel.release}: {NO_CONFIG}")
    return Checked(tuple(map(merged_by_reason, stages)), made, arguments)


def _source_stage(parts: Sequence[Part], kernel: Kernel, include_dirs: Sequence[Path]) -> Stage:
    """The stage `source` of all that has a source; of an object it says that nobody has seen its source."""
    started, findings, evidence = time.monotonic(), list[Finding](), list[str]()
    for part in parts:
        if part.data:
            findings.append(Finding("source", "note", NOT_SEEN, part.name))
            continue
        headers = _headers(part, kernel, include_dirs)
        flags, launcher = front_end_flags(part.source, **headers), front_end_launcher(**headers)
        constants = kernel_values(kernel).constants
        stage = lint_source(part.source, name=part.name, flags=flags, launcher=launcher, constants=constants)
        findings += stage.findings
        evidence.append(stage.evidence)
    return stage_of("source", time.monotonic() - started, findings, "\n".join(filter(None, evidence)))


def _headers(part: Part, kernel: Kernel, include_dirs: Sequence[Path]) -> Headers:
    return {"vmlinux_dir": kernel.headers, "include_dirs": include_dirs, "source_dir": part.directory}


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
    return short_file(place.removeprefix("source/"))


def _build(
    parts: Sequence[Part], kernel: Kernel, include_dirs: Sequence[Path]
) -> tuple[Stage, PolicyObject | None]:  # fmt: skip
    """Compile and link into a stage `build`, which rejects what the compiler or the linker refuses."""
    started, objects, confined, name = time.monotonic(), list[tuple[str, bytes]](), True, ""
    try:
        for part in parts:
            name = part.name
            if part.data:
                objects.append((name, part.data))
                continue
            made = compile_policy(part.source, name=name, **_headers(part, kernel, include_dirs))
            objects.append((name, made.data))
            confined = confined and made.confined
        data = link_objects(objects) if len(objects) > 1 else objects[0][1]
    except BuildError as error:
        refused = _refused(error, _place(error.diagnostics, name))
        return stage_of("build", time.monotonic() - started, [refused], error.diagnostics), None
    seconds = time.monotonic() - started
    notes = [] if confined else [UNCONFINED]
    notes += [Finding("build", "note", NOT_BUILT, part.name) for part in parts if part.data]
    return stage_of("build", seconds, notes), PolicyObject(data, hashlib.sha256(data).hexdigest(), seconds, confined)


def _refused(error: BuildError, place: str) -> Finding:
    if error.missing:
        advice = (
            f"Give the directory that <{error.missing}> is found from with -I, or put the header beside the source."
        )
        return Finding("compiler", "reject", str(error), place, advice, Code.NO_HEADER)
    return Finding("compiler", "reject", str(error), place)


def _place(diagnostics: str, name: str) -> str:
    """FILE:LINE of the first error that the compiler names."""
    for line in diagnostics.splitlines():
        if ": error: " in line or ": fatal error: " in line:
            parts = line.split(":")
            if parts[1].isdigit():
                return f"{parts[0]}:{parts[1]}"
    return name
