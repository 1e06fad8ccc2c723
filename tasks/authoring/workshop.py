# SPDX-License-Identifier: Apache-2.0
"""Policies made of a model's answers: put together, filled in, edited or taken whole, then checked without a guest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bpf.compose import compose
from bpf.composition import CHOICES, MECHANISM, CompositionError
from bpf.edits import Edit, EditError, apply_edits
from bpf.library import ESSAY, read_policy
from bpf.slots import SlotError, fill
from bpf.variants import composition_of
from policy_lake.errors import InputError
from policy_lake.limits import SOURCE_CHARACTERS
from policy_lake.model import Authored, Policy
from policy_lake.show import for_terminal, is_utf8
from tasks.authoring.reading import choices, guide, primitives
from tasks.planners.answers import Compose, FillSlots, Made, Making, Patch, Refused
from tasks.trial.static import check_statically
from verifier_vm.machine.kernel import Kernel

HEADING = re.compile(r"^(?P<before>[ \t]*\*?[ \t]*)(?P<name>[A-Za-z]\w{0,40}) - (?P<title>\S.*)$", re.MULTILINE)
DIGEST, STEM = 5, 9  # with the two signs between them within the 15 characters that a composition's name may have
TITLE = 100


class _NotMade(Exception):
    def __init__(self, stage: str, code: str, reason: str, source: str = "") -> None:
        super().__init__(reason)
        self.refused = Refused(stage, code, reason, source=source)


@dataclass(frozen=True, slots=True)
class BpfWorkshop:
    """The workshop over one kernel's types: about a second an answer. See planners/answers.py for the protocol.

    `kernel` finds it with the first answer that brings a policy.
    """

    kernel: Callable[[], Kernel]

    def make(self, making: Making, title: str, *, known: Mapping[str, Policy], authored: Authored) -> Made | Refused:
        """See Workshop."""
        try:
            policy = _policy_of(making, title, known, authored)
        except _NotMade as why:
            return why.refused
        checked = check_statically(policy.source, name=f"{policy.id}.bpf.c", kernel=self.kernel())
        failed = next((stage for stage in checked.stages if not stage.ok), None)
        if failed is None and checked.made is not None:
            found = tuple(one for stage in checked.stages for one in stage.findings if one.is_open)
            return Made(policy, found)
        stage = failed or checked.stages[-1]
        rejects = tuple(one for one in stage.findings if one.level == "reject")
        reason = rejects[0].reason if rejects else "it did not pass"
        code = rejects[0].code.value if rejects else "unexplained"
        words = stage.evidence if stage.name == "build" else ""
        return Refused(stage.name, code, reason, rejects, words, policy.source)

    @property
    def guide(self) -> str:
        """See Workshop."""
        return guide()

    @property
    def choices(self) -> str:
        """See Workshop."""
        return choices()

    @property
    def primitives(self) -> str:
        """See Workshop."""
        return primitives()


def _policy_of(making: Making, title: str, known: Mapping[str, Policy], authored: Authored) -> Policy:
    base = "" if isinstance(making, FillSlots) else making.base
    above = (base, *(made.lineage if (made := known[base].authored) else ())) if base in known else ()
    authored = replace(authored, lineage=above)
    if isinstance(making, Compose):
        return replace(_composed(making, known), authored=authored)
    if isinstance(making, FillSlots):
        source, stem = _filled(making), "slots"
    elif isinstance(making, Patch):
        source, stem = _patched(making, known), base
    else:
        source, stem = making.source, ""
    return replace(_named(source, stem, title, known), authored=authored)


def _base(id: str, known: Mapping[str, Policy]) -> Policy:
    if id not in known:
        raise _NotMade("base", "unknown", f"no policy '{for_terminal(id[:60])}' is among those that were shown")
    return known[id]


def _composed(making: Compose, known: Mapping[str, Policy]) -> Policy:
    base = composition_of(_base(making.base, known))
    if base is None:
        raise _NotMade("choices", "base", f"'{making.base}' is not composed of choices: patch it, or take another base")
    fields = {MECHANISM.get(name, name): name for name in CHOICES} | {name: name for name in CHOICES}
    changes: dict[str, Any] = {}
    for name, value in making.choices.items():
        if name not in fields:
            raise _NotMade("choices", "choice", f"no choice '{name[:40]}'; there are {', '.join(CHOICES)}")
        changes[fields[name]] = value
    id = f"{base.name[:STEM]}_{_digest(repr((base.name, sorted(changes.items()))))}"
    try:
        made = replace(base, name=id, essay=None, presets=(), **changes)
    except (CompositionError, TypeError) as why:
        raise _NotMade("choices", getattr(why, "code", "value"), str(why)) from why
    if made == replace(base, name=id, essay=None, presets=()):
        raise _NotMade("choices", "same", f"these are the choices of '{making.base}' itself")
    return _new(read_policy(compose(made), id, "model"), known)


def _filled(making: FillSlots) -> str:
    try:
        return fill(making.slots)
    except SlotError as why:
        raise _NotMade("slots", why.code, str(why)) from why


def _patched(making: Patch, known: Mapping[str, Policy]) -> str:
    base = _base(making.base, known)
    try:
        return apply_edits(base.source, [Edit(find, put) for find, put in making.edits])
    except EditError as why:
        raise _NotMade("edits", why.code, str(why), base.source) from why


def _named(source: str, stem: str, title: str, known: Mapping[str, Policy]) -> Policy:
    """The source as a policy, under a name that its digest makes its own; the essay's heading gets that name, too."""
    if not is_utf8(source):
        raise _NotMade("essay", "text", "the source has characters that are none (halves of surrogates)")
    if len(source) > SOURCE_CHARACTERS:
        raise _NotMade("essay", "length", f"{len(source)} characters of source are more than {SOURCE_CHARACTERS}")
    essays = ((comment, HEADING.search(comment["text"])) for comment in ESSAY.finditer(source))
    comment, heading = next(((comment, found) for comment, found in essays if found), (None, None))
    if comment is None or heading is None:
        how = "/* NAME - title, then What:, Good for: and Weak at: */"
        raise _NotMade("essay", "essay", f"the source does not open with an essay, which is {how}", source)
    stem = re.sub(r"_m[0-9a-f]{5}$", "", stem or heading["name"].lower())[:STEM]
    id = f"{stem}_m{_digest(source)}"
    said = " ".join(for_terminal(title).replace("*/", "").split())[:TITLE] if stem == "slots" and title else ""
    at, end = comment.start("text") + heading.start("name"), comment.start("text") + heading.end()
    source = f"{source[:at]}{id} - {said or heading['title']}{source[end:]}"
    try:
        policy = read_policy(source, id, "model")
    except InputError as why:
        raise _NotMade("essay", "knob", str(why), source) from why
    missing = [name for name, text in (("What:", policy.summary), ("Good for:", policy.good_for)) if not text]
    if missing:
        raise _NotMade("essay", "essay", f"the essay does not tell {' and '.join(missing)}", source)
    return _new(policy, known)


def _new(policy: Policy, known: Mapping[str, Policy]) -> Policy:
    if policy.id in known:
        raise _NotMade("source", "known", f"this very policy is known: '{policy.id}'", policy.source)
    return policy


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGEST]
