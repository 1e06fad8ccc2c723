# SPDX-License-Identifier: Apache-2.0
"""A host's CPUs read from what its kernel says, and the guests that a policy for it has to pass in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trial_cases import spec

from policy_lake.errors import InfraError
from policy_lake.host_cpus import read_host_cpus
from policy_lake.topology import HostCpus, Topology
from tasks.host import cpus as host_cpus
from tasks.host.cpus import topologies_for
from verifier_vm.judge.suite import SuiteTier


def sysfs(root: Path, cores: list[str], caches: list[str], *, nodes: str = "0", present: str = "", **more: str) -> Path:
    """What the kernel shows: a line for each CPU that is on line."""
    files = {"devices/system/cpu/present": present or f"0-{len(cores) - 1}", "devices/system/node/has_cpu": nodes}
    for number, (core, cache) in enumerate(zip(cores, caches, strict=True)):
        at = f"devices/system/cpu/cpu{number}"
        files |= {f"{at}/topology/thread_siblings_list": core, f"{at}/topology/physical_package_id": "0"}
        files |= {f"{at}/cache/index0/level": "1", f"{at}/cache/index0/shared_cpu_list": str(number)}
        if cache:
            files |= {f"{at}/cache/index3/level": "3", f"{at}/cache/index3/shared_cpu_list": cache}
    for name, text in {**files, **{key.replace("__", "/"): value for key, value in more.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def test_a_laptop_a_server_and_one_cpu(tmp_path: Path) -> None:
    laptop = sysfs(tmp_path / "laptop", ["0,4", "1,5", "2,6", "3,7"] * 2, ["0-7"] * 8)
    assert read_host_cpus(laptop) == HostCpus(8, 1, 2, 1)
    server = sysfs(tmp_path / "server", list("0123"), ["0-1", "0-1", "2-3", "2-3"], nodes="0-1")
    assert read_host_cpus(server) == HostCpus(4, 2, 1, 2)
    assert read_host_cpus(sysfs(tmp_path / "one", ["0"], [""])) == HostCpus(1)


def test_a_cpu_that_is_off_line_counts(tmp_path: Path) -> None:
    assert read_host_cpus(sysfs(tmp_path, ["0", "1"], ["0-1", "0-1"], present="0-3")).cpus == 4


def test_gaps_between_numbers_count_since_policies_ask_for_numbers(tmp_path: Path) -> None:
    assert read_host_cpus(sysfs(tmp_path, ["0", "1"], ["0-1", "0-1"], present="0-1,64")).cpus == 65


def test_cpus_of_unequal_speed_by_either_sign(tmp_path: Path) -> None:
    hybrid = {"devices__cpu_atom__cpus": "1", "devices__cpu_core__cpus": "0"}
    assert read_host_cpus(sysfs(tmp_path / "a", ["0", "1"], ["0-1"] * 2, **hybrid)).unequal
    capacity = {f"devices__system__cpu__cpu{n}__cpu_capacity": str(1024 >> n) for n in (0, 1)}
    assert read_host_cpus(sysfs(tmp_path / "b", ["0", "1"], ["0-1"] * 2, **capacity)).unequal
    same = {f"devices__system__cpu__cpu{n}__cpu_capacity": "1024" for n in (0, 1)}
    assert not read_host_cpus(sysfs(tmp_path / "c", ["0", "1"], ["0-1"] * 2, **same)).unequal


def test_a_host_that_says_little_has_one_of_each(tmp_path: Path) -> None:
    root = tmp_path / "bare"
    (root / "devices/system/cpu").mkdir(parents=True)
    (root / "devices/system/cpu/present").write_text("0-1\n")
    assert read_host_cpus(root) == HostCpus(2, 1, 1, 1)
    (root / "devices/system/node").mkdir(parents=True)
    for nothing in ("\n", ",\n"):
        (root / "devices/system/node/has_cpu").write_text(nothing)
        assert read_host_cpus(root) == HostCpus(2, 1, 1, 1)


def test_where_no_cache_is_told_a_package_has_one(tmp_path: Path) -> None:
    root = sysfs(tmp_path, list("0123"), [""] * 4)
    for number in range(4):
        at = root / f"devices/system/cpu/cpu{number}"
        (at / "topology/physical_package_id").write_text(f"{number // 2}\n")
        (at / "cache/index0/level").unlink()
    assert read_host_cpus(root) == HostCpus(4, 2, 1, 1)


def test_cores_of_one_kind_alone_are_equal(tmp_path: Path) -> None:
    for kind in ("atom", "core"):
        given = {f"devices__cpu_{kind}__cpus": "0-1"}
        assert not read_host_cpus(sysfs(tmp_path / kind, ["0", "1"], ["0-1"] * 2, **given)).unequal


@pytest.mark.parametrize("present", [None, "many"])
def test_a_host_that_cannot_be_read_is_not_taken_for_small(tmp_path: Path, present: str | None) -> None:
    root = sysfs(tmp_path, ["0"], ["0"], present=present or "0")
    if present is None:
        (root / "devices/system/cpu/present").unlink()
    with pytest.raises(InfraError, match="which CPUs this host has cannot be read"):
        read_host_cpus(root)


@pytest.mark.parametrize(
    ("host", "tier", "more"),
    [
        (HostCpus(2), "short", ()),
        (HostCpus(8, smt=2), "short", (Topology(8, smt=2),)),
        (HostCpus(8, smt=2), "full", ()),  # 16 of a kind that has all of it
        (HostCpus(24, llcs=3), "full", (Topology(24, llcs=2),)),
        (HostCpus(200), "full", ()),  # no guest is so large
        (HostCpus(2, unequal=True), "short", ()),  # no guest is such
    ],
)
def test_this_host_is_tried_where_the_tier_has_none_like_it(
    host: HostCpus, tier: SuiteTier, more: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_cpus, "read_host_cpus", lambda: host)
    settings = spec(tmp_path).settings
    assert topologies_for(settings, tier) == more
    asked = settings.model_copy(update={"topologies": "cpus=32,smt=2,llcs=4 cpus=5"})
    assert topologies_for(asked, tier)[:2] == (Topology(32, 4, 2), Topology(5))
