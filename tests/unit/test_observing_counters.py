# SPDX-License-Identifier: Apache-2.0
"""Tier `counters`: control groups of every kind of mount, tasks that come and go, and a host that tells less."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_lake.errors import InfraError, InputError
from tasks.observing import scope as scopes
from tasks.observing.cgroups import (
    Cgroup,
    CpuStat,
    Mount,
    cgroup_of,
    find_cgroup,
    growth,
    mounts,
    read_cpu_stat,
    search_cgroup,
)
from tasks.observing.counters import CounterTier
from tasks.observing.scope import Scope, descendants
from tasks.observing.task_stat import TaskStats


def group(at: Path, *processes: int, **files: str) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    (at / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in processes))
    for name, text in files.items():
        (at / name.replace("__", ".")).write_text(text)
    return at


def hybrid(root: Path) -> tuple[Mount, ...]:
    """v2 without controllers beside v1's cpu and cpuacct, as this project's own machines have it."""
    (root / "proc/self").mkdir(parents=True)
    kinds = (("unified", "cgroup2", "rw"), ("cpu", "cgroup", "rw,relatime,cpu"), ("acct", "cgroup", "rw,cpuacct"),
             ("my\\040systemd", "cgroup", "rw,name=systemd"))  # fmt: skip
    (root / "proc/self/mounts").write_text(
        "proc /proc proc rw 0 0\n" + "".join(f"x {root}/{name} {kind} {options} 0 0\n" for name, kind, options in kinds)
    )
    for name in ("unified", "cpu", "acct", "my systemd"):
        group(root / name, 1)
    return mounts(root / "proc")


def test_mounts_are_found_v2_first_and_their_escapes_undone(tmp_path: Path) -> None:
    found = hybrid(tmp_path)
    assert [mount.at.name for mount in found] == ["unified", "cpu", "acct", "my systemd"]
    assert [mount.version for mount in found] == ["v2", "v1", "v1", "v1"]


def test_a_host_without_control_groups_says_so(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mounts").write_text("proc /proc proc rw 0 0\n")
    with pytest.raises(InfraError, match="no control groups are mounted"):
        mounts(tmp_path)


def test_cpu_stat_of_v2(tmp_path: Path) -> None:
    at = group(
        tmp_path / "a", 7, cpu__stat="usage_usec 2500000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n"
    )
    found = Cgroup("/a", ((Mount(tmp_path, "v2", frozenset()), at),))
    assert read_cpu_stat(found) == CpuStat("v2", 2.5, 10, 4, 1.5)


def test_cpu_stat_of_v1_is_put_together_from_two_hierarchies(tmp_path: Path) -> None:
    found = hybrid(tmp_path)
    group(tmp_path / "unified/a", 7)  # has no controller: its cpu.stat is not there
    group(tmp_path / "cpu/a", 7, cpu__stat="nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n")
    group(tmp_path / "acct/a", 7, cpuacct__usage="2500000000\n")
    one = find_cgroup("a", found)
    assert one.path == "/a" and len(one.places) == 3
    assert read_cpu_stat(one) == CpuStat("v1", 2.5, 10, 4, 1.5)


def test_growth_without_a_controller_of_cpu_time_is_not_zero_but_unknown(tmp_path: Path) -> None:
    at = Cgroup("/a", ((Mount(tmp_path, "v1", frozenset({"cpu"})), tmp_path),))
    load = growth(at, CpuStat("v1", None, 1, 1, 0.5), CpuStat("v1", None, 11, 4, 2.0))
    assert (load.usage_s, load.periods, load.throttled, load.throttled_s) == (None, 10, 3, 1.5)


def test_a_group_is_named_with_or_without_its_mount_and_holds_what_is_below_it(tmp_path: Path) -> None:
    found = hybrid(tmp_path)
    group(tmp_path / "cpu/a", 7, 8)
    group(tmp_path / "cpu/a/b", 9)
    for path in ("a", "/a", "a/", f"{tmp_path}/cpu/a"):
        assert find_cgroup(path, found).processes() == {7, 8, 9}
    for path in ("../etc", "a/../../x", "none"):
        with pytest.raises(InputError, match="--cgroup"):
            find_cgroup(path, found)


def test_a_name_is_searched_for_and_two_of_one_depth_are_refused(tmp_path: Path) -> None:
    found = hybrid(tmp_path)
    group(tmp_path / "unified/system.slice/nginx.service", 7)
    group(tmp_path / "unified/deep/er/nginx.service", 8)
    one = search_cgroup("nginx.service", found)
    assert one is not None and one.path == "/system.slice/nginx.service"
    assert search_cgroup("none.service", found) is None
    group(tmp_path / "unified/user.slice/nginx.service", 9)
    with pytest.raises(InputError, match="two control groups"):
        search_cgroup("nginx.service", found)


def test_the_group_of_a_process_is_the_first_that_is_not_the_root(tmp_path: Path) -> None:
    found = hybrid(tmp_path)
    group(tmp_path / "cpu/docker/abc", 7)
    (tmp_path / "proc/7").mkdir()
    (tmp_path / "proc/7/cgroup").write_text("4:cpu:/docker/abc\n0::/\n")
    one = cgroup_of(7, found, tmp_path / "proc")
    assert one is not None and one.processes() == {7}


def task(proc: Path, process: int, name: str, text: str, *, parent: int = 1, number: int | None = None) -> None:
    at = proc / str(process) / "task" / str(number or process)
    at.mkdir(parents=True, exist_ok=True)
    (at / "schedstat").write_text(text)
    (at / "comm").write_text(name + "\n")
    (proc / str(process) / "stat").write_text(f"{process} (a) b) S {parent} 0 0\n")


def test_tasks_count_from_the_first_look_and_new_ones_from_their_beginning(tmp_path: Path) -> None:
    task(tmp_path, 5, "old", "1000000000 500000000 10")
    stats = TaskStats(tmp_path)
    stats.look([5])
    task(tmp_path, 5, "old", "1500000000 600000000 12")
    task(tmp_path, 6, "new", "250000000 50000000 3")
    stats.look([5, 6])
    load = stats.load()
    assert load is not None and (load.tasks, load.turns) == (2, 5)
    assert (round(load.run_s, 6), round(load.wait_s, 6)) == (0.75, 0.15)
    assert [command.name for command in load.commands] == ["old", "new"]
    assert round(load.wait_share, 6) == round(0.15 / 0.9, 6)


def test_an_id_that_is_used_again_counts_as_another_task(tmp_path: Path) -> None:
    task(tmp_path, 5, "first", "9000000000 0 10")
    stats = TaskStats(tmp_path)
    stats.look([5])
    task(tmp_path, 5, "second", "1000000000 0 1")
    stats.look([5])
    load = stats.load()
    assert load is not None and load.run_s == 1.0


def test_more_tasks_than_the_limit_are_counted_and_told(tmp_path: Path) -> None:
    for number in range(10, 15):
        task(tmp_path, 5, "t", "1 1 1", number=number)
    stats = TaskStats(tmp_path, most=3)
    stats.look([5])
    load = stats.load()
    assert load is not None and (load.tasks, load.unread) == (3, 2)


def test_a_kernel_without_schedstat_of_tasks_is_not_one_whose_tasks_do_nothing(tmp_path: Path) -> None:
    task(tmp_path, 5, "t", "1 1 1")
    (tmp_path / "5/task/5/schedstat").unlink()
    stats = TaskStats(tmp_path)
    stats.look([5])
    assert stats.load() is None


def test_descendants_are_found_whatever_a_name_holds(tmp_path: Path) -> None:
    task(tmp_path, 5, "t", "1 1 1")
    task(tmp_path, 6, "t", "1 1 1", parent=5)
    task(tmp_path, 7, "t", "1 1 1", parent=6)
    task(tmp_path, 8, "t", "1 1 1", parent=1)
    assert descendants((5,), tmp_path) == {5, 6, 7}
    assert descendants((99,), tmp_path) == set()


@pytest.mark.parametrize("version", ["17", "99"])
def test_a_schedstat_of_an_unknown_version_is_told_in_one_line(tmp_path: Path, version: str) -> None:
    (tmp_path / "stat").write_text("cpu  100 0 0 100 0 0 0 20 0 0\nctxt 50\nprocs_running 1\n")
    (tmp_path / "schedstat").write_text(f"version {version}\ncpu0 0 0 0 0 8 4 5 2000000 10\n")
    tier = CounterTier(Scope("pid", "5", "", (5,)), proc=tmp_path)
    (tmp_path / "stat").write_text("cpu  170 0 0 120 0 0 0 30 0 0\nctxt 90\nprocs_running 1\n")
    (tmp_path / "schedstat").write_text(f"version {version}\ncpu0 0 0 0 0 18 9 5 6000000 30\n")
    tier.look()
    host = tier.counters().host
    assert (host.busy_share, host.stolen_share) == (0.7, 0.1)
    lacks = {lack.what: lack.why for lack in tier.missing}
    assert "PSI" in lacks and host.psi_cpu_some is None
    if version == "17":
        assert (host.turn_delay_us, host.local_wakes) == (200.0, 0.5)
    else:
        assert "version 99 is none of those known" in lacks["/proc/schedstat"] and host.turn_delay_us is None


def test_a_service_that_nobody_knows_and_a_name_that_is_none_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "_told_by_systemd", lambda unit: "")
    with pytest.raises(InputError, match=r"--service none-such\.service: systemd tells of no control group"):
        scopes.of_service("none-such")
    with pytest.raises(InputError, match="no name of a unit"):
        scopes.of_service("a/b")


def test_a_container_without_an_engine_is_found_by_its_id_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hybrid(tmp_path)
    ident = "0123456789abcdef"
    group(tmp_path / f"unified/system.slice/docker-{ident}.scope", 7)
    monkeypatch.setattr(scopes, "mounts", lambda: found)
    monkeypatch.setattr(scopes, "process_of_container", lambda name: (0, "no Docker engine answers"))
    one = scopes.of_container(ident[:12])
    assert one.processes() == {7} and "no Docker engine answers" in one.resolved
    with pytest.raises(InputError, match="without the engine give its id"):
        scopes.of_container("web")
    with pytest.raises(InputError, match="no control group has that id"):
        scopes.of_container("f" * 12)


def test_a_container_that_the_engine_knows_is_its_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hybrid(tmp_path)
    one = find_cgroup("a", found) if group(tmp_path / "cpu/a", 7) else None
    monkeypatch.setattr(scopes, "mounts", lambda: found)
    monkeypatch.setattr(scopes, "process_of_container", lambda name: (7, ""))
    monkeypatch.setattr(scopes, "cgroup_of", lambda pid, hierarchies: one)
    assert scopes.of_container("web").resolved.startswith("by the Docker engine: control group /a")
