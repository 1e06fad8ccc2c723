# SPDX-License-Identifier: Apache-2.0
"""The library face, up to the point where a guest would start."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import schedcp
from schedcp.settings import resolved

from tasks.host import settings as host

FACE = Path(schedcp.__file__).parent


def test_it_is_the_one_of_this_checkout() -> None:
    assert Path(__file__).parents[2] / "control_plane/face/schedcp" == FACE and (FACE / "py.typed").is_file()


def test_importing_it_costs_nothing() -> None:
    heavy = ("pydantic", "ray", "prefect", "lancedb", "numpy")
    code = f"import sys, schedcp; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=FACE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_is_there_and_documented() -> None:
    for name in schedcp.__all__:
        assert inspect.getdoc(getattr(schedcp, name)), name
    with pytest.raises(AttributeError, match="'schedcp' has no attribute 'nothing'"):
        _ = schedcp.nothing


@pytest.mark.parametrize("name", ["verify", "score", "tune"])
def test_each_call_takes_settings_and_says_what_it_raises(name: str) -> None:
    call = getattr(schedcp, name)
    parameter = inspect.signature(call).parameters["settings"]
    assert parameter.default is None and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    assert "Returns" in call.__doc__ and "Raises InputError" in call.__doc__ and "InfraError" in call.__doc__


def test_settings_come_from_the_caller_and_not_from_the_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SCHEDCP_CPUS", "many")
    monkeypatch.setenv("SCHEDCP_TIER", "full")
    settings = schedcp.Settings(data_dir=tmp_path, clock="virtual")
    assert (settings.tier, settings.cpus, settings.lake_dir) == ("standard", 0, tmp_path / "lake")
    assert settings.guest_deadline_s == 180.0
    with pytest.raises(schedcp.InputError, match="SCHEDCP_CPUS"):
        resolved(None)
    with pytest.raises(schedcp.InputError, match=r"^Settings\(cpus='65'\): more than 64$"):
        schedcp.Settings(cpus=65)


def test_what_the_tasks_get_is_their_own_class_and_equal(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SCHEDCP_CPUS", "many")
    settings = schedcp.Settings(data_dir=tmp_path, cpus=3)
    given = resolved(settings)
    assert type(given) is host.Settings and dict(given) == dict(settings)
    assert pickle.loads(pickle.dumps(given)) == given


def test_bad_input_is_about_the_call_and_not_the_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SCHEDCP_CPUS", "many")
    settings = schedcp.Settings(data_dir=tmp_path)
    with pytest.raises(schedcp.InputError, match=r"none\.bpf\.c"):
        schedcp.verify(tmp_path / "none.bpf.c", settings)
    with pytest.raises(schedcp.InputError, match="--require quotas"):
        schedcp.verify(tmp_path / "none.bpf.c", settings, require=["quotas"])
    with pytest.raises(schedcp.InputError, match="no workload 'nothing'"):
        schedcp.score("fifo", "nothing", settings)
    with pytest.raises(schedcp.InputError, match="no workload 'nothing'"):
        schedcp.tune("nothing", settings)
