# SPDX-License-Identifier: Apache-2.0
"""What `schedcp doctor` advises: what mends this fault, and not set-up for everything."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from trial_cases import spec

from control_plane import doctor
from control_plane.outputs import CheckedPart
from policy_lake.errors import SETUP, InfraError, InputError
from policy_lake.records import LakeError

LOOKS = ("_qemu", "_libbpf", "_python", "_memory")
OF_SETTINGS = ("_disk", "_kernel", "_guest", "_kvm", "_clock", "_lake", "_model", "_resident", "_host")


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What doctor says, by name, where these checks end with these errors and the others but `real` are well."""

    def run(*real: str, errors: dict[str, Exception] | None = None, **settings: Any) -> dict[str, CheckedPart]:
        def look(name: str) -> Any:
            def looked(*_: Any) -> str:
                if error := (errors or {}).get(name):
                    raise error
                return "well"

            return looked

        @contextmanager
        def working(first: str) -> Any:
            yield lambda text: None

        monkeypatch.setattr(doctor, "TOOLS", {})
        monkeypatch.setattr(doctor, "working", working)
        monkeypatch.setattr(doctor, "load_settings", lambda: spec(tmp_path).settings.model_copy(update=settings))
        for name in {*LOOKS, *OF_SETTINGS} - set(real):
            monkeypatch.setattr(doctor, name, look(name))
        return {finding.name: finding for finding in doctor.examine()}

    return run


def test_where_all_is_well_nothing_is_to_be_done(examine: Any) -> None:
    found = examine()
    assert all(part.ok and not part.mend for name, part in found.items() if name != "limits")
    assert list(found) == ["host", "qemu", "libbpf", "python", "limits", "memory", "disk", "kernel", "guest", "kvm",
                           "clock", "lake", "model", "resident"]  # fmt: skip


def test_a_wrong_kernel_is_mended_by_its_variable_and_one_that_is_not_there_by_set_up(
    examine: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("no kernel")
    bad = InputError(f"kernel {tmp_path / 'mine'}: it is no bzImage")
    found = examine("_kernel", kernel=tmp_path / "mine", errors={"_guest": bad, "_kvm": bad})
    assert "mine" in found["kernel"].detail
    for name in ("kernel", "guest", "kvm"):
        assert found[name].mend == "set SCHEDCP_KERNEL to a bzImage or vmlinux with sched_ext and BTF, or unset it"
    assert found["clock"].ok
    found = examine("_kernel")
    assert not found["kernel"].ok and found["kernel"].mend == SETUP, "there is none in this cache"


def test_a_guest_that_the_settings_contradict_is_mended_by_them(examine: Any) -> None:
    found = examine(errors={"_guest": InputError("--clock virtual: there is none under KVM"), "_kvm": InfraError("x")})
    assert (
        all(name in found["guest"].mend for name in ("SCHEDCP_CLOCK", "_MACHINE"))
        and "SCHEDCP_KERNEL" not in found["guest"].mend
    )
    assert found["kvm"].mend == SETUP


@pytest.mark.parametrize(
    "settings", [{"model": "m", "model_url": "host:1"}, {"model_url": "http://host/v1"}, {"model": "m"}]
)
def test_a_wrong_model_is_mended_by_its_variables(examine: Any, settings: dict[str, str]) -> None:
    found = examine("_model", **settings)["model"]
    assert not found.ok and "SCHEDCP_MODEL" in found.detail
    assert found.mend == "set SCHEDCP_MODEL to a name and SCHEDCP_MODEL_URL to http(s)://HOST[:PORT]/v1, or unset both"


def test_what_no_set_up_mends_has_its_own_advice(examine: Any, tmp_path: Path) -> None:
    names = ("_memory", "_disk", "_lake", "_resident", "_qemu", "_clock")
    found = examine(errors={name: InfraError("too little") for name in names})
    mends = {name: found[name[1:]].mend for name in names}
    assert mends == {
        "_memory": "end what else uses it here", "_disk": "name another place in SCHEDCP_CACHE_DIR",
        "_lake": "mend it, or name another place in SCHEDCP_DATA_DIR", "_resident": "schedcp down",
        "_qemu": SETUP, "_clock": SETUP,
    }  # fmt: skip
    found = examine(errors={"_lake": OSError(13, "no")}, lake=tmp_path / "lake")
    assert found["lake"].mend == "mend it, or name another place in SCHEDCP_LAKE"
    damaged = LakeError("the lake is damaged: run `schedcp lake rebuild`")
    assert examine(errors={"_lake": damaged})["lake"].mend == ""
