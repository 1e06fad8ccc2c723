# SPDX-License-Identifier: Apache-2.0
"""What the library's policies say of themselves, and what settings become."""

import pytest

from bpf.library import knob_arguments, policies, policy, read_policy
from policy_lake.model import InputError

IDS = ("fifo", "ljf", "percpu", "rr", "vtime")
ESSAY = """\
// SPDX-License-Identifier: GPL-2.0-only
/* Not the essay. */
/*
 * mine - one line about it
 *
 * What: First part,
 *   which goes on.
 * Good for: tests.
 * Weak at: everything else.
 * Workloads: batch, wakeup
 */
"""
KNOBS = """\
const volatile u64 slice_ns = 20 * SX_MS; /* ns, 1000..100000000: how long */
const volatile s32 offset = -5; // tasks, -10..10: signed
const volatile bool eager = true; /* at once */
const volatile char names[4][16]; /* who */
const volatile u64 sizes[3]; /* ns, 0..99: how much
                              * each */
"""


def test_the_library_holds_the_five_policies():
    assert tuple(known.id for known in policies()) == IDS


@pytest.mark.parametrize("policy_id", IDS)
def test_a_library_policy_tells_what_a_planner_needs(policy_id):
    found = policy(policy_id)
    assert found.origin == "library"
    assert found.title and found.summary and found.good_for and found.weak_at
    assert set(found.workloads) <= {"batch", "wakeup"} and found.workloads
    assert f"SX_OPS({policy_id}," in found.source
    for knob in found.knobs:
        assert knob.doc, knob
        if knob.kind == "int":
            assert knob.low is not None and knob.high is not None and knob.unit, knob
            assert knob.low <= int(knob.default) <= knob.high, knob


def test_ljf_takes_sixteen_names_and_times():
    knobs = {knob.name: knob for knob in policy("ljf").knobs}
    assert (knobs["job_comm"].kind, knobs["job_comm"].count) == ("names", 16)
    assert (knobs["job_cpu_ns"].kind, knobs["job_cpu_ns"].count) == ("ints", 16)


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown policy 'best'; known: fifo, ljf, percpu, rr, vtime"):
        policy("best")


def test_an_essay_is_read_section_by_section():
    read = read_policy(ESSAY + KNOBS, "mine", "library")
    assert read.title == "one line about it"
    assert read.summary == "First part, which goes on."
    assert (read.good_for, read.weak_at) == ("tests.", "everything else.")
    assert read.workloads == ("batch", "wakeup")


def test_a_knob_is_read_from_its_line():
    knobs = {knob.name: knob for knob in read_policy(ESSAY + KNOBS, "mine", "library").knobs}
    slice_ns = knobs["slice_ns"]
    assert (slice_ns.kind, slice_ns.default, slice_ns.low, slice_ns.high) == ("int", "20000000", 1000, 100000000)
    assert (slice_ns.unit, slice_ns.doc) == ("ns", "how long")
    assert (knobs["offset"].default, knobs["offset"].low) == ("-5", -10)
    assert (knobs["eager"].kind, knobs["eager"].default, knobs["eager"].doc) == ("bool", "true", "at once")
    assert (knobs["names"].kind, knobs["names"].count) == ("names", 4)
    assert (knobs["sizes"].kind, knobs["sizes"].count, knobs["sizes"].high) == ("ints", 3, 99)


@pytest.mark.parametrize(
    "gone", ["mine - one line about it", " * What:", " * Good for:", " * Weak at:", " * Workloads:"]
)
def test_a_library_policy_must_tell_everything(gone):
    with pytest.raises(InputError, match="policy 'mine' does not tell: "):
        read_policy(ESSAY.replace(gone, ""), "mine", "library")


def test_a_library_knob_must_be_documented():
    with pytest.raises(InputError, match="does not tell: bare"):
        read_policy(ESSAY + "const volatile u32 bare = 1;\n", "mine", "library")


def test_somebody_elses_source_is_read_as_far_as_it_goes():
    read = read_policy("const volatile __u32 nr = SOME_MACRO;\nconst volatile bool on;\nint x;\n", "theirs", "user")
    assert [(knob.name, knob.kind, knob.default) for knob in read.knobs] == [
        ("nr", "int", "SOME_MACRO"),
        ("on", "bool", "false"),
    ]
    assert (read.title, read.summary, read.workloads) == ("", "", ())


def test_settings_become_arguments_of_the_loader():
    settings = {"slice_ns": 5e6, "job_comm": "make, cc1", "job_cpu_ns": "5,7"}
    assert knob_arguments(policy("ljf"), settings) == ("slice_ns=5000000", "job_comm=make,cc1", "job_cpu_ns=5,7")
    assert knob_arguments(policy("rr"), {"preempt": False}) == ("preempt=0",)
    assert knob_arguments(policy("rr"), {"preempt": "true"}) == ("preempt=1",)
    assert knob_arguments(policy("ljf"), {"job_comm": ""}) == ("job_comm=",)


@pytest.mark.parametrize(
    ("policy_id", "settings", "words"),
    [
        ("fifo", {"speed": 1}, r"policy 'fifo' has no knob 'speed'; it has: slice_ns, kthreads_first"),
        ("fifo", {"slice_ns": 1}, r"'slice_ns' of policy 'fifo' is from 1000000 to 100000000 ns, not 1$"),
        ("fifo", {"slice_ns": 10**9}, r"not 1000000000$"),
        ("fifo", {"slice_ns": "soon"}, r"is a whole number, not 'soon'"),
        ("fifo", {"slice_ns": 1.5e6 + 0.5}, r"is a whole number"),
        ("fifo", {"slice_ns": float("inf")}, r"is a whole number"),
        ("fifo", {"slice_ns": True}, r"is a whole number"),
        ("rr", {"preempt": "maybe"}, r"is true or false, not 'maybe'"),
        ("ljf", {"job_comm": "a-name-of-16-byte"}, r"names of 1 to 15 bytes"),
        ("ljf", {"job_comm": "näme-of-15-byt"[:14] + "ü"}, r"names of 1 to 15 bytes"),
        ("ljf", {"job_comm": "a,,b"}, r"names of 1 to 15 bytes without spaces, not ''"),
        ("ljf", {"job_comm": "a b"}, r"without spaces, not 'a b'"),
        ("ljf", {"job_comm": ",".join("abcdefghijklmnopq")}, r"takes up to 16 items, not 17"),
        ("ljf", {"job_cpu_ns": "1,-1"}, r"is from 0 to \d+ ns, not -1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(policy_id, settings, words):
    with pytest.raises(InputError, match=words):
        knob_arguments(policy(policy_id), settings)
