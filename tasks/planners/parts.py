# SPDX-License-Identifier: Apache-2.0
"""The parts of a model's answer: on which rung each stands, what it asks for, and what is said back of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from policy_lake.calls import Fate
from policy_lake.knobs import NAME
from policy_lake.limits import ANSWER_VALUES, LONGEST_NAME, REASON_CHARACTERS
from policy_lake.model import KnobValue, Pathway
from policy_lake.show import for_prompt, shortened
from tasks.planners.answers import Compose, FillSlots, Making, Patch, Refused, Write
from tasks.planners.ladder import LADDER
from tasks.planners.sections import middle_out

if TYPE_CHECKING:
    from tasks.planners.question import Answer

SAID_BYTES = 2500  # of a compiler's words, from their beginning: the first error is the one that counts
FEEDBACK_BYTES = 6000
MOST_FINDINGS = 8


def rung_of_part(answer: Answer) -> Pathway | None:
    """The rung that a part says it stands on; by what it has in it where it says none, and None for an unknown one."""
    said = answer.rung.strip().lower()
    if said:
        return next((rung for rung in LADDER if rung == said), None)
    if answer.source:
        return "write"
    if answer.edits:
        return "patch"
    if any(answer.slots.model_dump().values()):
        return "slot"
    if answer.choices:
        return "compose"
    return "configure" if answer.knob_values else "reuse"


def making_of(answer: Answer, rung: Pathway) -> Making | None:
    """What is to be made for this part; None on the rungs that make nothing."""
    base = shortened(answer.policy, LONGEST_NAME)
    if rung == "compose":
        return Compose(base, {choice.name: choice.value for choice in answer.choices[:ANSWER_VALUES]})
    if rung == "slot":
        return FillSlots({name: text for name, text in answer.slots.model_dump().items() if text.strip()})
    if rung == "patch":
        return Patch(base, tuple((edit.find, edit.replace) for edit in answer.edits))
    if rung == "write":
        return Write(_unfenced(answer.source), base)
    return None


def _unfenced(source: str) -> str:
    """The source without the fence of Markdown that models like to put round one."""
    lines = source.strip().split("\n")
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1]) + "\n"
    return source


def knob_values_of(answer: Answer) -> dict[str, KnobValue]:
    """What it sets."""
    return {chosen.knob: _text(chosen.value) for chosen in answer.knob_values[:ANSWER_VALUES]}


def _text(value: KnobValue) -> KnobValue:
    """A value that can be kept: a text without halves of surrogates."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def strange_knob(answer: Answer) -> str:
    """The first name that it sets and that no variable can have: settings of the ops are a user's alone."""
    names = (chosen.knob for chosen in answer.knob_values[:ANSWER_VALUES])
    return next((for_prompt(name, LONGEST_NAME) for name in names if not NAME.fullmatch(name)), "")


def reason_of(answer: Answer) -> str:
    """Its reason, which goes into lake, reports and later questions, cut to size."""
    return for_prompt(" ".join(answer.reason[: 2 * REASON_CHARACTERS].split()), REASON_CHARACTERS)


def name_of(number: int, answer: Answer, rung: Pathway | None) -> str:
    """A part as it is spoken of: `plan 1 (patch vtime)`."""
    said = rung or for_prompt(answer.rung, 20)
    return f"plan {number} ({said} {for_prompt(answer.policy, LONGEST_NAME)})".replace(" )", ")")


def refusal_text(refused: Refused) -> str:
    """Why a policy was refused, for who wrote it: every finding with place and advice, and the tools' own words."""
    lines = [f"refused at {refused.stage}: {refused.code}: {for_prompt(refused.reason)}"]
    for finding in refused.findings[:MOST_FINDINGS]:
        advice = f" Instead: {finding.advice}" if finding.advice else ""
        lines.append(f"  {for_prompt(finding.place or 'the policy')}: {for_prompt(finding.reason + advice)}")
        lines += [f"    {for_prompt(line, 300)}" for line in finding.witness[:MOST_FINDINGS]]
    if refused.words:
        said = [for_prompt(line, 300) for line in refused.words.splitlines() if line.strip()]
        lines.append(f"  the compiler:\n{middle_out(chr(10).join(said), SAID_BYTES)}")
    return "\n".join(lines)


def feedback(fates: Sequence[Fate], refusals: Sequence[str], *, wanted: int) -> str:
    """The next message: what became of every part of the last answer, and what is wanted now."""
    lines = []
    for fate in fates:
        why = f": {for_prompt(fate.reason)}" if fate.fate == "dropped" else ""
        lines.append(f"{fate.part}: {fate.fate}{why}")
    lines += refusals
    lines.append(
        f"Answer again, in the same form, with up to {wanted} plans in place of those: mend them, or propose others. "
        "Plans that were kept stay; do not repeat them."
    )
    return middle_out("\n".join(lines), FEEDBACK_BYTES)


def malformed(reason: str) -> str:
    """The next message after an answer that could not be read."""
    return middle_out(
        f"That could not be read: {for_prompt(reason)} Answer with the JSON object alone that was asked for, "
        '{"plans": [...]}, and no other words.', FEEDBACK_BYTES,
    )  # fmt: skip
