# SPDX-License-Identifier: Apache-2.0
"""What the object stage says of compiled policies: good ones, planted ones, and what is no policy at all."""

from __future__ import annotations

import subprocess
import sys

import pytest
from object_cases import BAD, GOOD, object_bytes, rejected

from verifier_vm.object.analyse import analyse_object, read_facts
from verifier_vm.object.check_table import check_table
from verifier_vm.object.elf import HEADER, SECTION
from verifier_vm.verdict import REQUIREMENTS, bugs_of, goes_on_with_hotplug, require


@pytest.mark.parametrize("name", GOOD)
def test_a_good_policy_is_not_rejected(name):
    stage = analyse_object(object_bytes(name))
    assert stage.ok and not rejected(stage), stage.findings
    assert stage.name == "object"


@pytest.mark.parametrize(("name", "bug"), [(BAD[0], "F01"), (BAD[1], "F06")])
def test_a_planted_policy_is_rejected_with_its_line(name, bug):
    stage = analyse_object(object_bytes(name))
    assert not stage.ok and rejected(stage) == [bug]
    finding = stage.findings[0]
    assert finding.place.startswith(f"{name}.bpf.c:") and finding.advice


def test_the_evidence_says_what_the_policy_does():
    lines = analyse_object(object_bytes("vtime")).evidence.splitlines()
    assert lines[0].startswith("ops vtime: flags 0x1, timeout_ms 5000, callbacks select_cpu enqueue dispatch")
    assert any(line.startswith("  enqueue: ") and "__scx_bpf_dsq_insert_vtime" in line for line in lines)
    assert "DSQs created: 0x0; inserted into: 0x0 (vtime), SCX_DSQ_LOCAL (fifo); consumed: 0x0" in lines


def test_old_generations_of_a_kfunc_are_not_walked():
    """Our header's wrappers fall back to kfuncs that 7.3 has no more; only the newest generation is taken."""
    assert "scx_bpf_consume" not in analyse_object(object_bytes("vtime")).evidence


def test_what_is_only_known_at_run_time_is_unknown_and_not_silence():
    levels = {finding.bug: finding.level for finding in analyse_object(object_bytes("percpu")).findings}
    assert levels["F02"] == levels["F03"] == "unknown"


def test_no_cgroup_callbacks_are_a_note():
    found = [f for f in analyse_object(object_bytes("vtime")).findings if f.bug == "F41"]
    assert [f.level for f in found] == ["note"]


@pytest.mark.parametrize(
    "word", ["slice_ns", "nothing=1", "slice_ns=fast", "slice_ns=18446744073709551616", "ops.flags=1"]
)
def test_an_argument_that_the_loader_would_refuse_is_a_rejection(word):
    assert rejected(analyse_object(object_bytes("vtime"), ("slice_ns=1", word))) == ["knob"]
    assert rejected(analyse_object(object_bytes("vtime"), ("slice_ns=5000000",))) == []


def test_a_knob_counts_with_the_value_it_is_loaded_with():
    """ljf's slice_ns as a minute, and its other slices too: nothing but those numbers makes the slices endless."""
    assert "60000000000 ns" in analyse_object(object_bytes("vtime"), ("slice_ns=60000000000",)).evidence
    assert "5000000 ns" in analyse_object(object_bytes("vtime")).evidence


def test_a_knob_can_make_a_policy_bad():
    """In paths.o enqueue drops the task when `mode` is 2, and it is 1 by default."""
    assert "F01" not in rejected(analyse_object(object_bytes("paths")))
    assert "F01" in rejected(analyse_object(object_bytes("paths"), ("mode=2",)))


def test_the_loader_only_lowers_the_timeout():
    assert "timeout_ms 2000" in analyse_object(object_bytes("vtime"), ("ops.timeout_ms=2000",)).evidence
    assert "timeout_ms 5000" in analyse_object(object_bytes("vtime"), ("ops.timeout_ms=9000",)).evidence


def test_what_the_table_lacks_is_noted_for_whom_it_matters_to():
    """paths.o has an ops table with enqueue only."""
    stage = analyse_object(object_bytes("paths"))
    noted = {finding.bug for finding in stage.findings if finding.level == "note"}
    assert {"F30", "F35", "F41"} <= noted and not {"F30", "F35"} & set(rejected(stage))
    assert {"F30", "F35", "F41"} <= set(rejected(require(stage, bugs_of(REQUIREMENTS))))
    assert not goes_on_with_hotplug([stage]) and goes_on_with_hotplug([analyse_object(object_bytes("vtime"))])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no ELF"),
        (b"\x7fELF", "no ELF"),
        (b"#!/bin/sh\n" * 50, "no ELF"),
        (b"\x7fELF\x01\x01" + bytes(100), "not 64-bit little-endian"),
        (
            HEADER.pack(b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, SECTION.size, 1, 0),
            "not a relocatable for BPF",
        ),
        (
            HEADER.pack(b"\x7fELF\x02\x01\x01", 1, 247, 1, 0, 0, 64, 0, 64, 0, 0, SECTION.size, 60000, 0),
            "section table",
        ),
        (HEADER.pack(b"\x7fELF\x02\x01\x01", 1, 247, 1, 0, 0, 64, 0, 64, 0, 0, SECTION.size, 9, 0), "truncated"),
        (bytes(17 << 20), "more than the"),
    ],
)
def test_what_is_no_object_is_rejected_in_one_line(data, words):
    stage = analyse_object(data)
    assert (
        rejected(stage) == ["size" if data[:1] == b"\0" else "elf"]
        and words in stage.findings[0].reason
        and "\n" not in stage.findings[0].reason
    )


def test_every_truncation_is_rejected():
    data = object_bytes("plain_subprograms")
    for size in range(0, len(data), len(data) // 60):
        assert not analyse_object(data[:size]).ok, size


def test_the_same_object_gets_the_same_answer():
    first, second = (analyse_object(object_bytes("ljf")) for _ in range(2))
    assert first.findings == second.findings and first.evidence == second.evidence


def test_a_policy_of_the_library_is_a_short_walk():
    """Of 12,000 instructions that one callback alone may take; seconds are for `make bench`."""
    assert 0 < read_facts(object_bytes("ljf")).record.steps < 9_000


def test_importing_the_stage_costs_little():
    """pyelftools alone would take 0.2 s."""
    code = "import sys, verifier_vm.object.analyse; print('elftools' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(("timeout_ms", "noted"), [(0, 0), (1, 1), (999, 1), (1000, 0), (5000, 0), (30000, 0)])
def test_a_time_out_is_noted_where_it_is_shorter_than_a_crowd_takes(timeout_ms: int, noted: int) -> None:
    facts = read_facts(object_bytes("vtime"))
    facts.ops.numbers["timeout_ms"] = timeout_ms
    assert len([one for one in check_table(facts) if one.bug == "timeout"]) == noted


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], 'no struct_ops in the object, but SEC("struct_ops.s/vtime_cpu_offline"), SEC("struct_ops.s/'),
        (
            [("cubic", "tcp_congestion_ops")],
            "the object's struct_ops 'cubic' is a tcp_congestion_ops, not a sched_ext_ops: it is no sched_ext policy",
        ),
    ],
)
def test_an_object_of_another_subsystem_is_told_by_what_it_has(monkeypatch, others, words):
    found = [(name, kind, 0, None) for name, kind in others]
    monkeypatch.setattr("verifier_vm.object.ops._struct_ops", lambda program: iter(found))
    (finding,) = analyse_object(object_bytes("vtime")).findings
    assert finding.reason.startswith(words) and finding.reason.endswith(": it is no sched_ext policy")
    assert "--ops" not in finding.advice and len(finding.reason) < 300
