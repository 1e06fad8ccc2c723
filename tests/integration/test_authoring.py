# SPDX-License-Identifier: Apache-2.0
"""docs/authoring.md: every sample in it compiles, the whole policy passes all stages before a guest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from skipping import skip_or_fail

from bpf.build import compile_policy
from bpf.slots import FACTS, FUNCTIONS, SLOTS, UNITS, checked
from policy_lake.errors import SchedcpError
from policy_lake.limits import PROMPT_BYTES
from tasks.authoring.reading import guide
from tasks.host.settings import load_settings
from tasks.trial.static import check_statically
from verifier_vm.machine.kernel import installed_kernel

GUIDE = (Path(__file__).parents[2] / "docs" / "authoring.md").read_text()
SAMPLES = re.findall(r"^```c\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
# What a fragment's reader has above it.
ABOVE = """
#include "sx/sx.h"
#include "primitives/burst.bpf.h"
#include "primitives/cpus.bpf.h"
#include "primitives/due.bpf.h"
#include "primitives/slice.bpf.h"
enum { SOONER = 0, LATER = 1 };
const volatile u64 slice_ns = 5 * SX_MS;
static u32 turns;
char _license[] SEC("license") = "GPL";
"""
BELOW = """
SEC("struct_ops/user") u32 BPF_PROG(user, u32 count) { return %s; }
"""


@pytest.fixture(scope="module")
def kernel():
    try:
        return installed_kernel(load_settings().cache_dir)
    except SchedcpError as error:
        skip_or_fail(f"no kernel was set up: {error}")


def test_the_guide_is_short_and_the_one_that_models_read() -> None:
    assert len(GUIDE.splitlines()) <= 250 and guide() == GUIDE
    assert len(GUIDE.encode()) < PROMPT_BYTES / 3, "with it a prompt has room for all else"
    assert len(SAMPLES) >= 5 and GUIDE.count("```") == 2 * len(SAMPLES), "no sample is in another form"


def test_the_whole_policy_passes(kernel) -> None:
    made = check_statically(SAMPLES[0], name="mine.bpf.c", kernel=kernel)
    assert made.ok, [stage for stage in made.stages if not stage.ok]


@pytest.mark.parametrize("number", range(1, len(SAMPLES)))
def test_every_fragment_compiles(kernel, number: int) -> None:
    used = "longest_queue(count)" if "longest_queue" in SAMPLES[number] else "count"
    source = ABOVE + SAMPLES[number] + BELOW % used
    assert compile_policy(source, name="sample.bpf.c", vmlinux_dir=kernel.headers).data


def test_what_it_says_of_slots_is_so() -> None:
    slots = GUIDE[GUIDE.index("## The template's slots") :]
    for word in (*FACTS, *UNITS, *FUNCTIONS):
        assert re.search(rf"[` ]{word}[`( ]", slots), word
    examples = re.findall(r"^\| `(\w+)` \|.*\| `(.*)` \|$", slots, re.MULTILINE)
    assert [slot for slot, _ in examples] == list(SLOTS)
    assert all(checked(slot, text) for slot, text in examples)


def test_every_function_that_it_names_is_there() -> None:
    from tasks.authoring.reading import primitives

    named = set(re.findall(r"`(sx_\w+)", GUIDE)) - {"sx_"}
    headers = "".join(path.read_text() for path in Path("bpf").rglob("*.h"))
    assert named and all(f"{name}(" in headers for name in named), named
    assert "sx_insert_due" in primitives()
