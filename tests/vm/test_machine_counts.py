# SPDX-License-Identifier: Apache-2.0
"""What `machine measure` takes for instructions of the guest's kernel is what a guest executes, by its clock."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest
from skipping import skip_or_fail

from policy_lake.guest import GuestJob, GuestStep
from tasks.host.settings import load_settings
from tasks.machine.experiments import PARTS, PROGRAM, Experiment, measuring_program, samples
from tasks.machine.numbers import CALLS, SWITCH, WAKE
from verifier_vm.machine.image import build_image
from verifier_vm.machine.vm import run

pytestmark = pytest.mark.vm
KERNEL = {"syscalls": (CALLS, ("syscalls", "0", "3")), "switch": (SWITCH, ("switch", "0", "5")),
          "wake": (WAKE, ("wake", "0", "1", "1000", "9"))}  # fmt: skip
USER = {part: ("work", part, "0", "3") for part in PARTS}


def test_an_instruction_is_a_nanosecond_there_and_as_many_are_executed(guest: Any) -> None:
    """Another kernel executes another number: then the constants in tasks/machine/numbers.py are to be these."""
    if guest.machine.clock is None:
        skip_or_fail(f"no virtual clock here: {guest.warning or 'guests run under ' + guest.machine.accel}")
    cache = load_settings().cache_dir
    image = build_image({"measure": PROGRAM}, {}, cache)
    words = {**{name: args for name, (_, args) in KERNEL.items()}, **USER}
    steps = tuple(GuestStep("run", ("measure", *args), label=name, timeout_s=300) for name, args in words.items())
    report = run(GuestJob({}, steps, 1), replace(guest.machine, initrd=image, snapshots=None), deadline_s=120)
    found = {name: statistics.median(map(float, report.ran(name).out.split())) for name in words}
    expected = {name: float(constant) for name, (constant, _) in KERNEL.items()}
    host = measuring_program(cache)
    expected |= {part: samples(host, Experiment(part, ("count", part)), limit_s=120)[0][0] for part in PARTS}
    for name, number in expected.items():
        assert found[name] == pytest.approx(number, rel=0.03), (name, found)
