# SPDX-License-Identifier: Apache-2.0
"""Descriptors of machines: one to be changed in a test, and any that can be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from policy_lake.machine_model import Costs, MachineModel
from policy_lake.topology import Topology

NUMBERS = (
    "user_ps", "kernel_ps", "switch_ns", "l2_kib", "llc_kib", "llc_gbps", "memory_gbps", "remote_gbps", "node_gbps",
    "beyond_llc", "smt", "turbo", "idle_exit", "capacity", "user_kib", "kernel_kib",
)  # fmt: skip
MINE = """
name = "mine"
title = "Mine"
[topology]
cpus = 16
llcs = 2
smt = 2
nodes = 2
[costs]
user_ps = 120
kernel_ps = 600
switch_ns = 300
l2_kib = 512
llc_kib = 16384
llc_gbps = 40.0
memory_gbps = 6.5
remote_gbps = 3.25
node_gbps = 44.0
beyond_llc = 0.5
smt = 0.625
turbo = [1.0, 0.75]
idle_exit = [[1, 1000], [800, 22000]]
capacity = [1, 1, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
user_kib = 128
kernel_kib = 32
[sources]
topology = "its label"
""" + "".join(f'{name} = "a book"\n' for name in NUMBERS)


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@st.composite
def machines(draw: st.DrawFn) -> MachineModel:
    """Any that can be: nodes of LLCs of cores of threads, with or without turbo and unequal cores."""
    nodes, a_node, smt = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
    llcs = nodes * a_node
    cores = draw(st.integers(1, max(1, 64 // (llcs * smt))))
    topology = Topology(llcs * smt * cores, llcs, smt, nodes)
    turbo = sorted(draw(st.lists(st.integers(300, 1024), max_size=a_node * cores)), reverse=True)
    speeds = draw(st.lists(st.sampled_from([400, 700, 1024]), min_size=llcs * cores, max_size=llcs * cores))
    capacity = tuple(speed for speed in speeds for _ in range(smt)) if draw(st.booleans()) and 1024 in speeds else ()
    costs = Costs(
        l2_kib=512, llc_kib=8192, llc_mbps=20_000, memory_mbps=8_000, remote_mbps=4_000 if nodes > 1 else 0,
        smt=600 if smt > 1 else 1024, turbo=tuple(turbo), capacity=capacity,
    )  # fmt: skip
    return MachineModel("any", topology, costs)


def sysfs(
    root: Path, cores: list[list[int]], llcs: list[list[int]], *, nodes: Sequence[str] = ("0-127",), **more: str
) -> Path:
    """What the kernel shows of CPUs that are on line: threads by core, CPUs by last-level cache, and other files."""
    online = sorted(cpu for core in cores for cpu in core)
    at = "devices/system/cpu"
    files = {f"{at}/online": ",".join(map(str, online))}
    for core in cores:
        files |= {f"{at}/cpu{cpu}/topology/thread_siblings_list": ",".join(map(str, core)) for cpu in core}
    for llc in llcs:
        for cpu in llc:
            cache = f"{at}/cpu{cpu}/cache"
            files |= {
                f"{cache}/index0/level": "1",
                f"{cache}/index0/type": "Instruction",
                f"{cache}/index0/size": "32K",
            }
            files |= {f"{cache}/index2/level": "2", f"{cache}/index2/type": "Unified", f"{cache}/index2/size": "512K"}
            files |= {f"{cache}/index3/level": "3", f"{cache}/index3/type": "Unified", f"{cache}/index3/size": "16384K"}
            files[f"{cache}/index3/shared_cpu_list"] = ",".join(map(str, llc))
    files |= {f"devices/system/node/node{number}/cpulist": text for number, text in enumerate(nodes)}
    for name, text in {**files, **{key.replace("__", "/"): value for key, value in more.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root
