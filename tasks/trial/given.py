# SPDX-License-Identifier: Apache-2.0
"""A policy as a user gives it: files, headers and settings, the same for all that takes one (`verify`, `score`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpf.library import read_policy
from policy_lake.codes import Code
from policy_lake.constants import check_constants, check_sets
from policy_lake.errors import InputError
from policy_lake.knobs import OPS_FLAG, settle
from policy_lake.model import Candidate, Policy
from tasks.plan import candidate_of
from tasks.trial.parts import Part, read_linked, read_part
from tasks.trial.static import Checked, OnStage, check_parts
from tasks.trial.words import check_flags, check_one, with_constants, words_for
from verifier_vm.machine.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Given:
    """A policy's files, the first of them its own, the directories of their headers, and all that is set, by name."""

    policy: Policy
    parts: tuple[Part, ...]
    include_dirs: tuple[Path, ...]
    values: Mapping[str, object]

    @property
    def source(self) -> str:
        """The text of all that has a source."""
        return "\n".join(part.source for part in self.parts)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files where some are the user's; none of a policy of the library by itself."""
        own = self.policy.origin == "library" and len(self.parts) == 1 and not self.include_dirs
        return () if own else tuple(part.name for part in self.parts)

    def check(self, kernel: Kernel, *, check_all: bool = False, on_stage: OnStage = lambda _: None) -> Checked:
        """`check_parts` of it; InputError for a constant, policy or flag that the object has not, and for a header that
        is in no directory: where it lies is for whoever gave the policy to say, and nothing is known of that.
        """
        check_flags(str(self.values.get(OPS_FLAG, "")), kernel)

        def words_of(data: bytes) -> tuple[str, ...]:
            check_one(self.values, data)
            return words_for(self.policy, self.values, data, kernel)

        of_source = {knob.name for knob in self.policy.knobs}
        checked = check_parts(
            self.parts, kernel, words_of=words_of, include_dirs=self.include_dirs, check_all=check_all,
            words_first=not of_source.issuperset(self.values), on_stage=on_stage,
        )  # fmt: skip
        for finding in (finding for stage in checked.stages for finding in stage.findings):
            if finding.code == Code.NO_HEADER:
                raise InputError(finding.reason)
        return checked

    def candidate(self, data: bytes) -> Candidate:
        """It as a candidate of no run, once its object is known; without one it has the knobs of its source alone."""
        whole = with_constants(self.policy, data) if data else self.policy
        names = {knob.name for knob in whole.knobs}
        values = self.values if data else {name: value for name, value in self.values.items() if name in names}
        files = [hashlib.sha256(part.data or part.source.encode()).hexdigest() for part in self.parts]
        plain = len(self.parts) == 1 and self.policy.source and not self.include_dirs
        return candidate_of(whole, values, source=self.source, files=() if plain else files)


def read_given(
    named: Path | Policy, *, linked: Sequence[Path] = (), include_dirs: Sequence[Path] = (),
    knobs: Mapping[str, object] | None = None, sets: Mapping[str, object] | None = None,
) -> Given:  # fmt: skip
    """The policy at a path, a .bpf.c or a ready .bpf.o, or one of the library, with what belongs to it.

    `linked` are files of both kinds, `knobs` those of its source, `sets` any constant of the object, and settings of
    the ops (policy_lake/knobs.py). InputError that names what is no file, no directory, no knob, or set twice, and a
    value that no constant could have: what needs no object is refused before there is one.
    """
    knobs, sets = knobs or {}, sets or {}
    first = read_part(named) if isinstance(named, Path) else Part(f"{named.id}.bpf.c", named.source)
    policy = policy_of(first) if isinstance(named, Path) else named
    parts = (first, *read_linked(linked))
    for directory in include_dirs:
        if not directory.is_dir():
            raise InputError(f"-I {directory}: no such directory")
    if twice := sorted(knobs.keys() & sets.keys()):
        raise InputError(f"--set {twice[0]}: it is given with --knob, too")
    check_sets(policy.knobs, sets)
    if policy.source:
        own = {knob.name for knob in policy.knobs}
        settle(policy, {**knobs, **{name: value for name, value in sets.items() if name in own}})
    check_constants({**knobs, **sets})
    return Given(policy, parts, tuple(include_dirs), {**knobs, **sets})


def policy_of(part: Part) -> Policy:
    """What a policy's file says of itself; of an object that is its name, and `words_for` reads its constants."""
    return read_policy(part.source, part.name.removesuffix(".c").removesuffix(".o").removesuffix(".bpf"), "user")
