# SPDX-License-Identifier: Apache-2.0
"""A machine as it is handed to the clock: the file that Python writes is the one that C reads."""

from __future__ import annotations

import subprocess

import pytest

from policy_lake.errors import InfraError
from policy_lake.machine_model import Costs
from policy_lake.topology import Topology
from verifier_vm.machine import clock
from verifier_vm.machine.model import Model, TaskLayout, packed, read_task_layout

NAMES = (
    "version switch_ps l2_bytes llc_bytes llc_mbps memory_mbps remote_mbps node_mbps user_bytes kernel_bytes tgid_at"
    " mm_at user_ps kernel_ps smt beyond_llc idle_states turbo_steps idle[0].after_ps idle[1].exit_ps idle[2].exit_ps"
    " turbo[1] turbo[2] capacity[1] capacity[2] core[3] llc[7] node[7]"
)


def test_a_machine_is_packed_as_the_clock_reads_it(tmp_path):
    """Each field by its name: what is set in the record is what C finds there."""
    costs = Costs(
        user_ps=1, kernel_ps=2, switch_ns=3, l2_kib=4, llc_kib=5, llc_mbps=6, memory_mbps=7, remote_mbps=8, node_mbps=9,
        beyond_llc=10, smt=11, turbo=(12, 13), idle_exit=((14, 15), (16, 17)), capacity=(18, 19), user_kib=20,
        kernel_kib=21,
    )  # fmt: skip
    names = [
        "version",
        "switch_ps",
        "l2_bytes",
        "llc_bytes",
        "llc_mbps",
        "memory_mbps",
        "remote_mbps",
        "node_mbps",
        "user_bytes",
        "kernel_bytes",
        "tgid_at",
        "mm_at",
        "user_ps",
        "kernel_ps",
        "smt",
        "beyond_llc",
        "idle_states",
        "turbo_steps",
        "idle[0].after_ps",
        "idle[1].exit_ps",
        "idle[2].exit_ps",
        "turbo[1]",
        "turbo[2]",
        "capacity[1]",
        "capacity[2]",
        "core[3]",
        "llc[7]",
        "node[7]",
    ]
    source, program, file = tmp_path / "m.c", tmp_path / "m", tmp_path / "machine"
    prints = "".join(f'printf("%llu ", (unsigned long long)m.{name});' for name in names)
    source.write_text(
        '#include <stdio.h>\n#include "machine.h"\nint main(void) { struct machine m;'
        f" if (fread(&m, sizeof(m) + 1, 1, stdin) || !feof(stdin)) return 1; {prints} return 0; }}\n"
    )
    subprocess.run(["gcc", f"-I{clock.SOURCES}", "-o", program, source], check=True)
    file.write_bytes(packed(Model(costs, TaskLayout(22, 23)), Topology(8, llcs=2, smt=2, nodes=2)))
    with file.open("rb") as given:
        read = dict(zip(names, map(int, subprocess.check_output([program], stdin=given).split()), strict=True))
    assert [read[name] for name in names] == [
        1, 3000, 4096, 5120, 6, 7, 8, 9, 20480, 21504, 22, 23, 1, 2, 11, 10, 2, 2, 14_000_000, 17_000, 0,
        13, 1024, 19, 1024, 1, 1, 1,
    ]  # fmt: skip


def test_an_object_without_the_kernel_s_task_is_told():
    with pytest.raises(InfraError, match="task_struct"):
        read_task_layout(b"no object")
