# SPDX-License-Identifier: Apache-2.0
"""The corpus is whole: every bug has its policy or a reason why not, and docs/bugs.md is about these very files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from certainty import CERTAINTY
from corpus import BEFORE_A_GUEST, BUGS, IMPOSSIBLE, STAGES, good, planted, read

from policy_lake.model import Rejection
from verifier_vm.situations import SHOWS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "bugs.md"
NUMBERED = [defect for defect in planted() if defect.bug]


@pytest.mark.parametrize("defect", planted(), ids=lambda defect: defect.name)
def test_a_planted_policy_says_where_and_why_it_fails(defect):
    assert defect.stage in STAGES
    assert len(defect.reason) >= 4 and defect.reason == defect.reason.strip()
    numbered = re.match(r"(f\d\d)_", defect.path.name)
    assert defect.bug == (numbered[1].upper() if numbered else defect.bug)
    assert not defect.or_stage or defect.or_stage in STAGES
    assert not defect.bug or {defect.bug, *defect.seen.split(" or ")} <= set(BUGS)


def test_every_bug_is_planted_or_explained():
    assert list(BUGS) == [f"F{number:02d}" for number in range(1, 44)]
    bugs = {defect.bug for defect in NUMBERED}
    assert bugs | set(IMPOSSIBLE) == set(BUGS)
    assert not bugs & set(IMPOSSIBLE)


def test_many_bugs_are_proven_before_a_guest_is_started():
    proven = {defect.bug for defect in NUMBERED if defect.stage in BEFORE_A_GUEST and not defect.ends}
    assert len(proven) >= 19


def test_a_policy_that_does_not_say_why_it_fails_is_refused(tmp_path):
    path = tmp_path / "mute_fails.bpf.c"
    # REUSE-IgnoreStart
    path.write_text("// SPDX-License-Identifier: GPL-2.0-only\n// fails: object: later\n")
    # REUSE-IgnoreEnd
    with pytest.raises(ValueError, match=r"mute_fails\.bpf\.c does not open with"):
        read(path)


def test_the_good_set_is_large_and_has_nothing_to_confess():
    assert len(good()) >= 15
    for path in good():
        # REUSE-IgnoreStart
        assert path.read_text(encoding="utf-8").startswith("// SPDX-License-Identifier: GPL-2.0-only\n"), path.name
        # REUSE-IgnoreEnd


def test_no_policy_is_the_same_as_another():
    bodies = [path.read_text(encoding="utf-8") for path in (*good(), *(defect.path for defect in planted()))]
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("name", [path.name for path in good()] + [defect.path.name for defect in planted()])
def test_the_document_knows_every_policy(name):
    assert f"`{name}`" in DOCUMENT.read_text(encoding="utf-8"), "docs/bugs.md is stale: run 'make matrix'"


def test_which_checks_are_proofs_is_what_the_code_says():
    said = {}
    for bugs, _, level, _ in CERTAINTY:
        for bug in bugs.split(", "):
            said.setdefault(bug, set()).add(level)
    checks = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("verifier_vm/object/check_*.py"))
    proofs = set(re.findall(r'"(F\d\d)",\s*"reject"', checks)) | {"F08", "F10", "F19", "F36"}  # whose level is computed
    assert proofs == {bug for bug, levels in said.items() if "proof" in levels and bug.startswith("F")}
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("verifier_vm/source/checks/*.py"))
    assert set(re.findall(r'"(\w+)",\s*"reject"', sources)) == {"asm"}


def test_every_open_question_names_a_situation():
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("verifier_vm/*/**/*.py"))
    asked = set(re.findall(r'"(F\d\d|walk|cid|write)",\s*"(?:suspicion|unknown)"', sources))
    assert asked <= set(SHOWS) and len(asked) > 20


# REUSE-IgnoreStart
LICENCE = "// SPDX-License-Identifier: GPL-2.0-only\n"
# REUSE-IgnoreEnd
EITHER = "// either: both are true\n"
AT_KERNEL = Rejection("kernel", "-enqueued tasks", "", "F06")


def headed(tmp_path, *lines):
    path = tmp_path / "f06_x_fails.bpf.c"
    path.write_text("".join(lines) + LICENCE)
    return read(path)


def test_what_is_seen_in_two_ways_is_as_it_says_in_either(tmp_path):
    two = headed(tmp_path, "// fails: kernel: -enqueued\n// bug: F06\n// or: survive: ends\n", EITHER)
    at_survive = replace(AT_KERNEL, stage="survive", reason="and ends")
    assert two.is_rejected_by(AT_KERNEL) and two.is_rejected_by(at_survive)
    for other in (
        replace(AT_KERNEL, stage="survive"),
        replace(AT_KERNEL, bug="F02"),
        replace(at_survive, stage="fair"),
    ):
        assert not two.is_rejected_by(other)
    assert not two.is_rejected_by(None)
    ends = headed(
        tmp_path, "// suspected: source: back\n// bug: F06\n// ends: not seen: why\n// or: survive: ends\n", EITHER
    )
    assert ends.is_rejected_by(at_survive) and not ends.is_rejected_by(
        replace(AT_KERNEL, stage="source", reason="back")
    )
    seen = headed(tmp_path, "// fails: kernel: -enqueued\n// bug: F06, seen as F03 or F01 or F06\n", EITHER)
    assert seen.is_rejected_by(AT_KERNEL) and not seen.is_rejected_by(replace(AT_KERNEL, bug="F02"))


@pytest.mark.parametrize("lines", [
    ("// fails: kernel: -enqueued\n// bug: F06\n// or: survive: ends\n",),
    ("// fails: kernel: -enqueued\n// bug: F06, seen as F03 or F01\n",),
    ("// fails: kernel: -enqueued\n// bug: F06\n", EITHER),
])  # fmt: skip
def test_two_ways_have_a_reason_and_a_reason_has_two_ways(tmp_path, lines):
    with pytest.raises(ValueError, match="// either: WHY"):
        headed(tmp_path, *lines)
