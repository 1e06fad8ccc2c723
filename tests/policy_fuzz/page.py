# SPDX-License-Identifier: Apache-2.0
"""docs/fuzz-policies.md: how many mutants each tier rejects, by kind, and where it was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policy_fuzz.designs import Design
from policy_fuzz.judging import Judged
from policy_fuzz.mutation import MUTATIONS, Mutant

INTRODUCTION = """\
# The verifier, fuzzed by policies

Written by `make fuzz-policies` (`tests/fuzz_policies.py`). A generator composes sound policies from our header and
primitives (`tests/policy_fuzz/designs.py` has the dimensions) and puts one fault each into copies of them
(`tests/policy_fuzz/faults_*.py`), labelled by the bug of [bugs.md](bugs.md) that it is; `BPF` is what the kernel's own
BPF verifier refuses. All go through `verify` up to the first rejection, with `--require` for the kinds that are a fault
to hosts with a need only. Mutants that the short tier accepts meet the full tier; what the short one rejects counts for
both. Nothing in a mutant's source tells that it is one.

Only faults that a long run can show are counted. A kind says by the design where none can (`## Not counted`), whatever
the verdicts are.
"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why mutants of a kind are accepted; with `where`, those of designs with these values only."""

    kind: str
    why: str
    where: Mapping[str, str] = field(default_factory=dict)

    def fits(self, mutant: Mutant) -> bool:
        return self.kind == mutant.mutation.kind and all(
            getattr(mutant.design, name) == value for name, value in self.where.items()
        )


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant: `full` is None where the full tier was not asked, or not needed."""

    mutant: Mutant
    short: Judged
    full: Judged | None
    why: str

    @classmethod
    def of(cls, mutant: Mutant, short: Judged, full: Judged | None, explained: Sequence[Explanation]) -> Fate:
        why = next((one.why for one in explained if one.fits(mutant)), "")
        return cls(mutant, short, full if short.accepted else None, why)

    @property
    def by_short(self) -> bool:
        return _rejected(self.short)

    @property
    def by_full(self) -> bool:
        return self.by_short or (self.full is not None and _rejected(self.full))

    @property
    def named(self) -> bool:
        """Whether the rejection names the bug that was put in."""
        last = self.short if self.by_short else self.full
        return last is not None and _rejected(last) and last.bug == self.mutant.mutation.breaks


@dataclass(frozen=True, slots=True)
class Run:
    """All that a run found, of one seed and by one verifier.

    `sound_in_full` are the sound policies that met the full tier, too; `generated` how many mutants and sound policies
    there are to judge, `sample` how the run was made.
    """

    seed: int
    verifier: str
    sound: Mapping[Design, Judged]
    fates: tuple[Fate, ...]
    unseen: Mapping[str, Mapping[str, int]]
    found: tuple[str, ...] = ()
    sound_in_full: Mapping[Design, Judged] = field(default_factory=dict)
    generated: tuple[int, int] = (0, 0)
    sample: str = ""

    @property
    def missing(self) -> tuple[int, int]:
        """How many mutants and sound policies were generated and not judged."""
        return max(0, self.generated[0] - len(self.fates)), max(0, self.generated[1] - len(self.sound))

    @property
    def sound_rejected_in_full(self) -> tuple[tuple[Design, Judged], ...]:
        return tuple((design, one) for design, one in self.sound_in_full.items() if _rejected(one))

    @property
    def judged(self) -> tuple[Fate, ...]:
        """Without those of which nothing can be said."""
        return tuple(fate for fate in self.fates if not fate.short.infra)

    @property
    def accepted(self) -> tuple[Fate, ...]:
        return tuple(fate for fate in self.judged if not fate.by_short)

    @property
    def sound_rejected(self) -> tuple[tuple[Design, Judged], ...]:
        return tuple((design, one) for design, one in self.sound.items() if _rejected(one))


def _rejected(one: Judged) -> bool:
    return not one.accepted and not one.infra


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def figures(run: Run) -> str:
    """The run in one line."""
    whole = len(run.judged)
    short, full = sum(fate.by_short for fate in run.judged), sum(fate.by_full for fate in run.judged)
    lost = sum(bool(fate.short.infra) for fate in run.fates) + sum(bool(one.infra) for one in run.sound.values())
    wrong = len(run.sound_rejected)
    least = "at least " if any(fate.full is None for fate in run.accepted) else ""
    return (
        f"{whole} mutants: {percent(short, whole)} rejected by the short tier, {least}{percent(full, whole)} with the "
        f"full one; {len(run.sound)} sound policies: {wrong} rejected; {lost} of which nothing can be said"
    )


def document(run: Run) -> str:
    """The whole page."""
    parts = [INTRODUCTION, _summary(run), _by_kind(run), _accepted(run), _sound(run), _found(run), _uncounted(run)]
    return "\n".join(part for part in parts if part)


def _summary(run: Run) -> str:
    whole = len(run.judged)
    short, full = sum(fate.by_short for fate in run.judged), sum(fate.by_full for fate in run.judged)
    untried = sum(fate.full is None or bool(fate.full.infra) for fate in run.accepted)
    named = sum(fate.named for fate in run.judged)
    with_full = f"{full} ({percent(full, whole)})" + (f" or more: {untried} have not met it" if untried else "")
    lost = sum(bool(one.infra) for one in run.sound.values())
    stages: dict[str, int] = {}
    for fate in run.judged:
        if fate.by_short:
            stages[fate.short.stage] = stages.get(fate.short.stage, 0) + 1
    in_full = f"{len(run.sound_in_full)}, rejected {len(run.sound_rejected_in_full)}"
    if unsaid := sum(bool(one.infra) for one in run.sound_in_full.values()):
        in_full += f"; of {unsaid} nothing can be said"
    by_stage = ", ".join(f"{name} {count}" for name, count in sorted(stages.items(), key=lambda item: -item[1]))
    return f"""\
| | |
|---|---|
| seed, verifier | {run.seed}, `{run.verifier}` |
| kinds of mutation | {len(MUTATIONS)}, of which {len({fate.mutant.mutation.kind for fate in run.judged})} here |
| mutants with a fault that a long run can show | {whole} |
| rejected by the short tier | {short} ({percent(short, whole)}); first by {by_stage} |
| rejected with the full tier | {with_full} |
| the rejection names the bug that was put in | {named} |
| sound policies, short tier | {len(run.sound)}, rejected {len(run.sound_rejected)} |
| sound policies, full tier | {in_full} |
| nothing can be said (lost guests) | {len(run.fates) - whole} mutants, {lost} sound |
{_missing(run)}"""


def _missing(run: Run) -> str:
    """What a run that was not judged to its end leaves open, and what is to be known of how it was made."""
    mutants, sound = run.missing
    left = f"| generated, and not judged in this run | {mutants} mutants, {sound} sound policies |\n"
    left = left if mutants or sound else ""
    return f"{left}\n{run.sample}\n" if run.sample else left


def _by_kind(run: Run) -> str:
    lines = ["## By kind", "", "| kind | bug | mutants | short | full | named so | what a long run shows |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for kind, change in sorted(MUTATIONS.items(), key=lambda item: (item[1].breaks, item[0])):
        fates = [fate for fate in run.judged if fate.mutant.mutation.kind == kind]
        if not fates:
            continue
        whole = len(fates)
        short, full = sum(fate.by_short for fate in fates), sum(fate.by_full for fate in fates)
        need = f" (`--require {change.need}`)" if change.need else ""
        told = f"{100 * full // whole} %" if all(one.by_short or one.full for one in fates) else "not tried"
        lines.append(
            f"| {kind} | {change.breaks} | {whole} | {100 * short // whole} % | {told} "
            f"| {sum(fate.named for fate in fates)} | {change.shows}{need} |"
        )
    return "\n".join([*lines, ""])


def _accepted(run: Run) -> str:
    lines = ["## Mutants that the short tier accepts", ""]
    for fate in sorted(run.accepted, key=lambda fate: fate.mutant.mutation.kind):
        change = fate.mutant.mutation
        tier = "not tried in the full tier" if fate.full is None else "the full tier accepts it, too"
        if fate.full is not None and fate.full.infra:
            tier = "the full tier could not say"
        if fate.by_full and fate.full is not None:
            tier = f"the full tier rejects it ({fate.full.stage}, {fate.full.bug}: {_plain(fate.full.reason)})"
        lines.append(
            f"- **{change.kind}** ({change.breaks}: {change.shows}); {tier}. "
            f"{fate.why or '**Unexplained.**'}  \n  `{fate.mutant.design}`"
        )
    return "\n".join([*(lines if run.accepted else [*lines, "None."]), ""])


def _sound(run: Run) -> str:
    lines = ["## Sound policies that were rejected", ""]
    rejected = [("", *pair) for pair in run.sound_rejected]
    rejected += [("full tier: ", *pair) for pair in run.sound_rejected_in_full]
    lines += [f"- {tier}{one.stage}, {one.bug}: {_plain(one.reason)}  \n  `{design}`" for tier, design, one in rejected]
    return "\n".join([*(lines if rejected else [*lines, "None."]), ""])


def _found(run: Run) -> str:
    return "\n".join(["## What it found", "", *(f"- {one}" for one in run.found), ""]) if run.found else ""


def _uncounted(run: Run) -> str:
    about = "Mutants that no run can tell from their policy, or not as a failure: the kind, its bug,"
    lines = ["## Not counted", "", about, f"of how many of the {len(run.sound)} designs, and why.", ""]
    for kind, reasons in run.unseen.items():
        for why, count in reasons.items():
            lines.append(f"- {kind} ({MUTATIONS[kind].breaks}), {count}: {why}")
    return "\n".join([*lines, ""])


def _plain(reason: str) -> str:
    return " ".join(reason.split()).replace("`", "'").replace("|", "/")[:160]
