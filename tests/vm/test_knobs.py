# SPDX-License-Identifier: Apache-2.0
"""Hostile but legal knob values in a real guest: the policy itself compares what it was given with what was meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.build import compile_policy
from bpf.library import policy, read_policy
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.knobs import knob_words
from policy_lake.model import KnobValue
from verifier_vm.machine.vm import run
from verifier_vm.object.analyse import analyse_object
from verifier_vm.object.knobs import read_knobs

pytestmark = pytest.mark.vm
NAMES = ("Isolated Web Co", "a=b", "=", "\"q'$(x)`\\;", "ääääääa", "ops.timeout_ms=")
SETTINGS: dict[str, KnobValue] = {
    "names": ",".join(NAMES),
    "single": "Web Content",
    "bytes": "1,0xff,0",
    "low": "-0x80",
    "high": "0xffffffffffffffff",
    "wide": -(2**63),
    "eager": "yes",
    "flags": "0,1",
}
KNOBS = """\
const volatile char names[16][16];
const volatile char single[16];
const volatile u8 bytes[4] = {9, 9, 9, 9};
const volatile s8 low;
const volatile u64 high;
const volatile s64 wide;
const volatile bool eager;
const volatile bool flags[2] = {true, false};
"""
# What `init` says when all is as it was meant; it fails with another number at the first that is not.
COMPARE = """\
static __always_inline int compare(void)
{{
	static const char want[16][16] = {{ {want} }};
	static const char one[16] = "Web Content";
	u32 i, j;

	for (i = 0; i < 16; i++)
		for (j = 0; j < 16; j++)
			if (names[i][j] != want[i][j])
				return -1;
	for (j = 0; j < 16; j++)
		if (single[j] != one[j])
			return -2;
	if (bytes[0] != 1 || bytes[1] != 255 || bytes[2] || bytes[3] != 9)
		return -3;
	if (low != -128 || high != ~0ULL || wide != (s64)(1ULL << 63))
		return -4;
	return eager && !flags[0] && flags[1] ? 0 : -5;
}}

"""


def source() -> str:
    """The simplest library policy, whose init compares first."""
    fifo = policy("fifo").source
    want = ", ".join("{ " + ", ".join(str(byte) for byte in name.encode()) + " }" for name in NAMES)
    head, init, rest = fifo.partition("s32 SX_OP_SLEEPABLE(fifo_init)\n{\n")
    assert init, "fifo's init is not where it was"
    before, include, after = head.partition('#include "sx/sx.h"\n')
    assert include
    return (
        before
        + include
        + KNOBS
        + COMPARE.format(want=want)
        + after
        + init
        + "\tif (compare())\n\t\treturn -22;\n"
        + rest
    )


@pytest.fixture(scope="module")
def made(guest):
    return compile_policy(source(), name="fifo", vmlinux_dir=guest.kernel.headers)


def attach(guest, made, words):
    steps = (GuestStep("attach", ("policy.bpf.o", *words)),)
    return run(GuestJob({"policy.bpf.o": made.data}, steps), guest.machine).events[0]


def test_hostile_but_legal_settings_arrive_as_they_were_meant(guest, made):
    of = read_policy(source(), "fifo", "user")
    event = attach(guest, made, knob_words(of, SETTINGS))
    assert event.ok, event
    words = knob_words(of, SETTINGS)
    assert not [finding for finding in analyse_object(made.data, words).findings if finding.bug == "knob"]
    other = attach(guest, made, knob_words(of, {**SETTINGS, "names": ",".join((*NAMES[:-1], "ops.timeout_ms"))}))
    assert not other.ok, "the policy must notice a name that is not the one that was meant"


def test_a_compiled_object_says_the_same_of_its_knobs_as_its_source(made):
    there = {knob.name: knob for knob in read_knobs(made.data)}
    for knob in read_policy(source(), "fifo", "user").knobs:
        assert there[knob.name] == replace(knob, default="", doc="", low=None, high=None, unit="")
