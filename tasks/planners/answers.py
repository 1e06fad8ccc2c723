# SPDX-License-Identifier: Apache-2.0
"""What a model may answer, rung by rung: typed records, and who makes a policy of those that bring one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policy_lake.model import Authored, Finding, Pathway, Policy


@dataclass(frozen=True, slots=True)
class Compose:
    """Other choices of the composer than those of `base`, by the names of bpf/composition.py."""

    base: str
    choices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FillSlots:
    """Expressions for the template of bpf/slots.py, by slot; the slots that are not named stay as they are."""

    slots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Patch:
    """Exact edits of `base`, pairs of an anchor and what takes its place."""

    base: str
    edits: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Write:
    """A whole policy; `base` is what it was written after, if anything."""

    source: str
    base: str = ""


Making = Compose | FillSlots | Patch | Write
RUNG_OF: dict[type[Making], Pathway] = {Compose: "compose", FillSlots: "slot", Patch: "patch", Write: "write"}


@dataclass(frozen=True, slots=True)
class Made:
    """A policy that passed the stages before a guest; `findings` are the questions that they leave to one."""

    policy: Policy
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why no policy came of an answer: `stage` is `edits`, `slots`, `choices`, `essay`, `source`, `build` or `object`.

    `source` is what it came to as far as it got, and `words` what a compiler said of it.
    """

    stage: str
    code: str
    reason: str
    findings: tuple[Finding, ...] = ()
    words: str = ""
    source: str = ""


class Workshop(Protocol):
    """Makes policies of answers, and checks them at once; it writes nothing."""

    def make(self, making: Making, title: str, *, known: Mapping[str, Policy], authored: Authored) -> Made | Refused:
        """The policy, or why there is none; `known` are those that it may be made from, by id.

        InfraError where nothing can be said, for want of a compiler or of the kernel's types.
        """
        ...

    @property
    def guide(self) -> str:
        """How policies are written (docs/authoring.md)."""
        ...

    @property
    def choices(self) -> str:
        """What the composer lets one choose, and what does not go together."""
        ...

    @property
    def primitives(self) -> str:
        """What bpf/include and bpf/primitives offer, a line each."""
        ...
