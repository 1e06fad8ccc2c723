# SPDX-License-Identifier: Apache-2.0
"""When a guest that does not boot is given up: by the CPU time that it had, not by a busy host's seconds."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from verifier_vm.machine import boot
from verifier_vm.machine.boot import boot_limit_s, boots_too_long


@pytest.mark.parametrize(
    ("spent_s", "cpu_s", "given_up"),
    [(89, 99.0, False), (91, 29.0, False), (91, 31.0, True), (359, 29.0, False), (361, 0.0, True)],
)
def test_a_boot_is_given_up_by_the_cpu_time_that_it_had(monkeypatch, spent_s, cpu_s, given_up):
    monkeypatch.setattr(boot.time, "monotonic", lambda: 1000.0 + spent_s)
    monkeypatch.setattr(boot, "cpu_s", lambda pid: cpu_s)
    assert boots_too_long(7, started=1000.0, limit_s=90.0) is given_up


@pytest.mark.parametrize(
    ("cpus", "clock", "image", "limit_s"), [(64, True, 0, 810), (64, False, 0, 90), (2, True, 8 << 20, 92)]
)
def test_a_boot_of_many_cpus_in_turns_or_of_a_large_image_may_take_longer(tmp_path, cpus, clock, image, limit_s):
    (tmp_path / "initrd").write_bytes(bytes(image))
    machine = SimpleNamespace(cpus=cpus, clock=clock, initrd=tmp_path / "initrd")
    assert boot_limit_s(machine) == limit_s
    (tmp_path / "initrd").unlink()
    assert boot_limit_s(machine) <= limit_s


def test_a_process_that_is_gone_had_all_the_time_there_is():
    assert boot.cpu_s(2**22 + 1) == float("inf") and 0 < boot.cpu_s(os.getpid()) < 1e6
