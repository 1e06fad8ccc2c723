# SPDX-License-Identifier: Apache-2.0
"""What a machine or a user may set."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_lake.errors import InputError
from policy_lake.topology import Topology
from tasks.host.settings import load_settings


def test_directories_follow_xdg_and_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/cache")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("SCHEDCP_DATA_DIR", "SCHEDCP_CACHE_DIR", "SCHEDCP_LAKE"):
        monkeypatch.delenv(name, raising=False)
    settings = load_settings()
    assert settings.lake_dir == tmp_path / "data/schedcp/lake"
    assert settings.cache_dir == tmp_path / "home/.cache/schedcp"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEDCP_LAKE", "here")
    assert load_settings().lake_dir == tmp_path / "here"


@pytest.mark.parametrize(
    ("name", "value"), [("MEMORY_MIB", "lots"), ("CPUS", "-1"), ("ACCEL", "xen"), ("TRIAL_DEADLINE_S", "0")]
)
def test_a_wrong_value_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SCHEDCP_{name}", value)
    with pytest.raises(InputError) as error:
        load_settings()
    assert str(error.value).startswith(f"SCHEDCP_{name}='{value}': ")
    assert "\n" not in str(error.value)


def test_slots_are_what_the_cpus_bear_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert [load_settings().slots(cpus) for cpus in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setenv("SCHEDCP_MICROVM_SLOTS", "3")
    assert load_settings().slots(8) == 3


def test_settings_can_be_walked_like_a_mapping() -> None:
    """Prefect calls dict() on the models it is handed: a field named `keys` would be called there."""
    assert dict(load_settings())["cpus"] == load_settings().cpus


def test_a_key_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDCP_MODEL_API_KEY", "sesame")
    assert "sesame" not in repr(load_settings()) and "model_api_key" not in repr(load_settings())


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("accel", "xen", "'xen': not one of auto, kvm, tcg"), ("verify_tier", "half", "'half': not one of short, full"),
        ("cpus", "many", "'many': not a whole number"), ("smt", "0", "'0': less than 1"),
        ("cpus", "65", "'65': more than 64"),
        ("cold", "perhaps", "'perhaps': neither true nor false"), ("trial_deadline_s", "late", "'late': not a number"),
        ("require", "cgroups speed", "'cgroups speed': 'speed' is not one of hotplug, exit-record, cgroups, nice"),
        ("topologies", "cpus=2 cpus=8,smt=3", "'cpus=2 cpus=8,smt=3': 8 CPUs, 3 threads a core: the CPUs cannot be"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_value_is_told_with_what_it_may_be(name: str, value: str, wrong: str) -> None:
    with pytest.raises(InputError) as error:
        load_settings(**{name: value})
    assert str(error.value).startswith(f"--{'topology' if name == 'topologies' else name.replace('_', '-')} {wrong}")


def test_what_hosts_need_and_what_else_is_tried_are_words() -> None:
    assert load_settings(require="cgroups nice").required_bugs == {"F41", "F16"} and not load_settings().required_bugs
    given = load_settings(topologies="cpus=8,smt=2 cpus=1")
    assert given.more_topologies == (Topology(8, smt=2), Topology(1)) and load_settings().more_topologies == ()


def test_what_is_made_lies_under_the_data(tmp_path: Path) -> None:
    known = load_settings(data_dir=tmp_path)
    made = [known.token_dir, known.object_dir, known.run_dir, known.workload_dir]
    assert made == [tmp_path / name for name in ("tokens", "objects", "runs", "workloads")]


def test_slots_go_by_the_cpus_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: asked.append(pid) or {0, 1})
    assert load_settings().slots(1) == 2 and set(asked) == {0}


TEXTS = ("DATA_DIR", "CACHE_DIR", "LAKE", "KEY_STORE", "MODEL", "MODEL_API_KEY", "REQUIRE")


@pytest.mark.parametrize("name", [*(f"SCHEDCP_{name}" for name in TEXTS), "XDG_DATA_HOME", "HOME"])
def test_what_is_not_utf_8_is_told_before_anything_is_kept_under_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("SCHEDCP_DATA_DIR", "SCHEDCP_CACHE_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "/x/\udcff")
    with pytest.raises(InputError, match=rf"^{name}=.*: not UTF-8$"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [("GUEST_DEADLINE_S", "nan", "not a number"), ("MODEL_MAX_COST_USD", "-NaN", "not a number"),
     ("GUEST_DEADLINE_S", "inf", "more than 604800.0"), ("EMBEDDER", "foo", "it must be wordllama, hash, .*"),
     ("EMBEDDER", "hash:0", "it must be wordllama, hash, .*")],
)  # fmt: skip
def test_what_is_wrong_with_it_is_told_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, wrong: str
) -> None:
    monkeypatch.setenv(f"SCHEDCP_{name}", value)
    with pytest.raises(InputError, match=rf"^SCHEDCP_{name}='{value}': {wrong}$"):
        load_settings()


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SCHEDCP_DATA_DIR", raising=False)
    usual = load_settings()
    for name in ("DATA_DIR", "KERNEL", "EMBEDDER", "CPUS"):
        monkeypatch.setenv(f"SCHEDCP_{name}", "")
    monkeypatch.chdir(tmp_path)
    assert load_settings() == usual
