# SPDX-License-Identifier: Apache-2.0
"""Jobs known by their arguments: the kernel's key is the one worked out here, and its hints put the long job first."""

from __future__ import annotations

import json

import pytest

from benchmarks.profile_jobs import HASH_PRIME, HASH_SEED
from bpf.build import compile_policy
from bpf.library import policy
from policy_lake.guest import GuestJob, GuestStep
from policy_lake.knobs import knob_words
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
OBJECT = "ljf.bpf.o"
JOBS = 8
CHUNK, CHUNKS = 64, 32
BATCH = ("--jobs", str(JOBS), "--short-work", "80000", "--long-factor", "7", "--naming", "2")


def arguments_key(*argv: str) -> str:
    """sx_arguments_key of bpf/primitives/jobkey.h."""
    data = b"".join(word.encode() + b"\0" for word in argv)
    hashed = (HASH_SEED ^ len(data)) * HASH_PRIME % 2**64
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    if len(data) > CHUNK * CHUNKS:
        half = CHUNK * CHUNKS // 2
        ends = data[:half] + data[-half:]
        chunks = [ends[at : at + CHUNK] for at in range(0, len(ends), CHUNK)]
    for chunk in chunks:
        padded = chunk.ljust(CHUNK, b"\0")
        for at in range(0, CHUNK, 8):
            hashed = (hashed ^ int.from_bytes(padded[at : at + 8], "little")) * HASH_PRIME % 2**64
    return str(hashed | 1)


@pytest.fixture(scope="module")
def made(guest):
    return compile_policy(policy("ljf").source, name="ljf", vmlinux_dir=guest.kernel.headers).data


def under(label, values, *runs):
    """Steps: attach with these knob values, run, detach."""
    attach = GuestStep("attach", (OBJECT, *knob_words(policy("ljf"), values)), label=f"{label} attach")
    return (attach, *runs, GuestStep("detach", label=f"{label} detach"))


def hinted():
    keys = [arguments_key("batch", "--job", str(index)) for index in reversed(range(JOBS))]
    return {"job_key": keys, "job_cpu_ns": [70_000_000] + [10_000_000] * (JOBS - 1), "job_by": 2}


def test_hints_by_arguments_put_the_long_job_first_and_hostile_arguments_do_no_harm(guest, made):
    long = ("/bin/batch", "--jobs", "2", "--short-work", "1", "--seed", "0" * 3000 + "7")
    steps = (
        *under("bare", {}, GuestStep("run", ("batch", *BATCH), label="bare", timeout_s=30.0)),
        *under("keys", hinted(), GuestStep("run", ("batch", *BATCH), label="keys", timeout_s=30.0)),
        *under("all", {"job_by": 63}, GuestStep("run", ("observe", *long), label="long", timeout_s=30.0),
               GuestStep("run", ("batch", *BATCH), label="all", timeout_s=30.0)),
    )  # fmt: skip
    report = run(GuestJob({OBJECT: made}, steps), guest.machine, deadline_s=240)
    events = {event.label: event for event in report.events}
    for label in ("bare", "keys", "all"):
        assert events[f"{label} attach"].ok, events[f"{label} attach"]
        assert events[f"{label} detach"].exit_record.clean, events[f"{label} detach"]
        assert events[label].ok and json.loads(events[label].out)["ok"], events[label]
    outs = {label: json.loads(events[label].out) for label in ("bare", "keys")}
    assert outs["keys"]["makespan_ms"] < 1.1 * outs["keys"]["bound_ms"]
    assert outs["keys"]["makespan_ms"] < 0.9 * outs["bare"]["makespan_ms"]
    probed = json.loads(events["long"].out.splitlines()[-1])
    rows = [(row["key"], row["tasks"]) for row in probed["jobs"] if row["by"] == "arguments"]
    assert rows == [(arguments_key(*long), 3)], "longer than is read: its two ends, and how long it is"
