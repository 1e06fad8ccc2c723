# SPDX-License-Identifier: Apache-2.0
"""What the library's policies say of themselves, and what knob values become."""

import re
from pathlib import Path

import pytest

import bpf
from benchmarks.profile_jobs import PARTS
from benchmarks.workloads import workload_ids
from bpf.library import policies, policy, read_policy
from policy_lake.errors import InputError
from tasks.planners.job_keys import BITS

BPF_DIR = Path(bpf.__file__).parent
IDS = (
    "admission", "background", "central", "cgroup", "chains", "critpath", "edf", "eevdf", "fifo", "interactive",
    "layers", "ljf", "llc", "longest", "longslice", "percpu", "picktwo", "rr", "shortest", "smt", "vtime", "warm",
)  # fmt: skip
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


def test_the_library_holds_these_policies():
    assert tuple(known.id for known in policies()) == IDS


@pytest.mark.parametrize("policy_id", IDS)
def test_a_library_policy_tells_what_a_planner_needs(policy_id):
    library_policy = policy(policy_id)
    assert library_policy.origin == "library"
    assert library_policy.title and library_policy.summary and library_policy.good_for and library_policy.weak_at
    assert library_policy.workloads and set(library_policy.workloads) <= set(workload_ids())
    assert f"SX_OPS({policy_id}," in library_policy.source
    for knob in library_policy.knobs:
        assert knob.doc, knob
        if knob.kind == "int":
            assert knob.low is not None and knob.high is not None and knob.unit, knob
            assert knob.low <= int(knob.default) <= knob.high, knob


def test_ljf_takes_sixteen_names_or_sixty_four_keys_and_times():
    knobs = {knob.name: knob for knob in policy("ljf").knobs}
    assert (knobs["job_comm"].kind, knobs["job_comm"].count) == ("names", 16)
    assert (knobs["job_cpu_ns"].kind, knobs["job_cpu_ns"].count) == ("ints", 64)
    assert (knobs["job_key"].kind, knobs["job_key"].count, knobs["job_key"].c_type) == ("ints", 64, "u64")
    assert (knobs["job_by"].low, knobs["job_by"].high, knobs["job_by"].default) == (1, 2 ** len(PARTS) - 1, "1")


def test_the_parts_of_a_key_have_the_same_places_in_c_and_here():
    source = (BPF_DIR / "primitives" / "jobkey.h").read_text()
    names = re.findall(r"^\tSX_JOB_(\w+),", source, flags=re.MULTILINE)
    assert [name.lower() for name in names] == [*PARTS, "parts"]
    assert [BITS[part] for part in PARTS] == [1 << place for place in range(len(PARTS))]
    reader = (BPF_DIR / "probes" / "observe_jobs.h").read_text()
    assert ", ".join(f'"{part}"' for part in PARTS) in reader


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown policy 'best'; known: admission, background, .*, vtime, warm"):
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


@pytest.mark.parametrize(
    ("declared", "kind", "c_type", "count", "name_bytes"),
    [
        ("u8 x", "int", "u8", 1, 15),
        ("unsigned long long x", "int", "u64", 1, 15),
        ("signed char x", "int", "s8", 1, 15),
        ("char x", "int", "char", 1, 15),
        ("__s16 x", "int", "s16", 1, 15),
        ("uint32_t x", "int", "u32", 1, 15),
        ("int64_t x[4]", "ints", "s64", 4, 15),
        ("unsigned char x[4]", "ints", "u8", 4, 15),
        ("_Bool x", "bool", "bool", 1, 15),
        ("bool x[3]", "ints", "bool", 3, 15),
        ("char x[16]", "names", "char", 1, 15),
        ("char x[4][8]", "names", "char", 4, 7),
        ("char x[4][64]", "names", "char", 4, 15),
    ],
)
def test_a_knob_knows_its_c_type_and_how_much_it_holds(declared, kind, c_type, count, name_bytes):
    (knob,) = read_policy(f"const volatile {declared};\n", "theirs", "user").knobs
    assert (knob.kind, knob.c_type, knob.count, knob.name_bytes) == (kind, c_type, count, name_bytes)


@pytest.mark.parametrize("declared", ["u64 x[2][3]", "char x[2][3][16]", "char x[4][1]", "u32 x[0]", "struct s x"])
def test_what_the_loader_cannot_set_is_no_knob(declared):
    assert read_policy(f"const volatile {declared};\n", "theirs", "user").knobs == ()


def test_a_range_is_read_as_its_author_writes_numbers():
    source = "const volatile u64 slice_ns = 0x4C4B40; /* ns, 0x186A0..0x5F5E100: slice */\n"
    (knob,) = read_policy(source, "theirs", "user").knobs
    assert (knob.low, knob.high, knob.unit, knob.doc) == (100_000, 100_000_000, "ns", "slice")


def test_a_range_that_no_number_is_in_is_refused():
    source = "const volatile u64 slice_ns = 5; // ns, 100..10: slice\n"
    with pytest.raises(InputError, match=r"policy 'theirs': knob 'slice_ns': no number is in its range 100\.\.10"):
        read_policy(source, "theirs", "user")
