# SPDX-License-Identifier: Apache-2.0
"""What `schedcp verify` prints of a verdict's notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.shown_verdict import show_verdict, tried_on
from policy_lake.codes import Code
from policy_lake.model import Finding, Stage
from policy_lake.topology import Topology
from tasks.verify import Verified
from verifier_vm.verdict import stage_of, verdict_of

LACKING = [Finding("F30", "note", "no .cpu_online"), Finding("F35", "note", "no .exit"), Finding("F41", "note", "none")]


def shown(capsys: pytest.CaptureFixture[str], *stages: Stage) -> list[str]:
    show_verdict(Path("mine.bpf.c"), Verified(verdict_of(stages), "", b""))
    return capsys.readouterr().out.splitlines()


def test_what_is_not_there_is_one_line_with_what_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Finding("F30", "note", "the kernel ended it", "W28", code=Code.ENDED_BY_HOTPLUG)
    lines = shown(capsys, stage_of("object", 0.1, LACKING), stage_of("survive", 1.0, [ended, LACKING[1]]))
    (note,) = [line for line in lines if "note" in line]
    assert note == (
        "  note not there: hotplug callbacks, an exit record, weights and quotas of cgroups; for hosts that need it:"
        " --require hotplug --require exit-record --require cgroups"
    )


def test_other_notes_are_told_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, stage_of("fair", 0.1, [LACKING[0], Finding("F16", "note", "no effect", "W4")]))
    assert lines[0].endswith("s  1 note")
    assert lines[1:3] == [
        "  note not there: hotplug callbacks; for hosts that need it: --require hotplug", "  note F16 at W4: no effect"
    ]  # fmt: skip
    assert not [line for line in shown(capsys, stage_of("fair", 0.1)) if "note" in line]


def test_an_exit_callback_that_keeps_too_little_is_told_by_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    found = [LACKING[0], Finding("F35", "note", "keeps no kind")]
    object_stage = replace(stage_of("object", 0.1, found), callbacks=("exit",))
    lines = shown(capsys, object_stage)
    assert "  note not there: hotplug callbacks; for hosts that need it: --require hotplug" in lines
    assert "  note F35: keeps no kind" in lines


def test_what_was_tried_and_not_seen_is_one_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Each question of the first line is answered by the situations of `survive`; F02's are not among them."""
    met = ("no more tasks than CPUs", "a")
    asked = [
        Finding("F21", "unknown", "no CPU is ever kicked", "mine.bpf.c:7", situations=("a",)),
        Finding("F14", "suspicion", "credit without limit", "mine.bpf.c:9", situations=("a",)),
        Finding("F02", "unknown", "ids computed at run time", "mine.bpf.c:5", situations=("b",)),
        Finding("F14", "suspicion", "credit without limit", "mine.bpf.c:9", situations=("a",)),
        Finding("F13", "unknown", "who looks", "mine.bpf.c:6", situations=("a", "b", "c")),
    ]
    witnessed = Finding("F10", "suspicion", "any CPU", "mine.bpf.c:3")
    seen = Finding("F10", "reject", "a wrong CPU", "W5", code=Code.WRONG_CPU)
    survive = replace(stage_of("survive", 1.0, [seen]), situations=met)
    lines = shown(capsys, stage_of("object", 0.1, [*asked, witnessed]), survive)
    told = [line for line in lines if line.startswith(("  suspicion", "  open", "  tried"))]
    assert told == [
        "  suspicion F10 at mine.bpf.c:3: any CPU - witnessed",
        "  open F02 at mine.bpf.c:5: ids computed at run time - not tried (b)",
        "  open F13 at mine.bpf.c:6: who looks - tried, not seen (a); not tried (b; c)",
        "  tried, not seen (more with --json): F21 at mine.bpf.c:7, F14 at mine.bpf.c:9",
    ]


def test_on_what_it_was_tried_is_one_line_whatever_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    on = (Topology(2), Topology(4, llcs=2, smt=2, nodes=2))
    passed = replace(stage_of("survive", 1.0), topologies=on)
    said = "to its end on 2 CPUs (SMT 1, LLCs 1, nodes 1); 4 CPUs (SMT 2, LLCs 2, nodes 2)"
    bad = Finding("F21", "reject", "idle", "W10")
    for stages in ([passed], [passed, stage_of("fair", 1.0, [bad])]):
        show_verdict(Path("mine.bpf.c"), Verified(verdict_of(stages), "", b"", tier="full"))
        assert f"tried: full tier, {said}" in capsys.readouterr().out.splitlines()
    assert tried_on(verdict_of([stage_of("survive", 1.0, [bad])]), "short") == "tried: short tier, not to its end"
    assert not tried_on(verdict_of([stage_of("build", 1.0, [bad])]), "short"), "no guest began it"
