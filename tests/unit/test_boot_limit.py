# SPDX-License-Identifier: Apache-2.0
"""When a guest that does not boot is given up: by the CPU time that it had, not by a busy host's seconds."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from verifier_vm.machine import process
from verifier_vm.machine.process import GuestProcess


@pytest.mark.parametrize(
    ("spent_s", "cpu_s", "given_up"),
    [(89, 99.0, False), (91, 29.0, False), (91, 31.0, True), (359, 29.0, False), (361, 0.0, True)],
)
def test_a_boot_is_given_up_by_the_cpu_time_that_it_had(monkeypatch, spent_s, cpu_s, given_up):
    guest = object.__new__(GuestProcess)
    guest.started, guest._boot_limit_s, guest._qemu = 1000.0, 90.0, SimpleNamespace(pid=7)
    monkeypatch.setattr(process.time, "monotonic", lambda: 1000.0 + spent_s)
    monkeypatch.setattr(process, "_cpu_s", lambda pid: cpu_s)
    assert guest._boots_too_long() is given_up


def test_a_process_that_is_gone_had_all_the_time_there_is():
    assert process._cpu_s(2**22 + 1) == float("inf") and 0 < process._cpu_s(os.getpid()) < 1e6
