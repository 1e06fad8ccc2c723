# SPDX-License-Identifier: Apache-2.0
"""A host in a file: what it says, what is refused, and what is verified for it, on its kernel and for its CPUs."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane import doctor
from control_plane import host as command
from policy_lake.errors import InputError
from policy_lake.host_file import FEATURES, HostFile, features_in, read_host_file, written
from policy_lake.topology import HostCpus, Topology
from tasks.host import describe
from tasks.host.cpus import topologies_for
from tasks.host.describe import describe_host, settings_for
from tasks.host.settings import Settings
from tasks.tokens.issue import _for_host
from tasks.tokens.work import Work, settings_of
from verifier_vm.machine.kernel import find_kernel

BTF = b"\0" + b"\0".join(word.encode() for word, _ in FEATURES.values()) + b"\0"
TYPES = hashlib.sha256(BTF).hexdigest()
PYTHONS = re.compile(r"' object|attribute|argument|__init__|iterable|NoneType|hashable")
HOST = HostFile("host-7", "7.3.4", TYPES, HostCpus(16, 2, 2), "cd" * 32, tuple(FEATURES))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "host.json").write_text(written(HOST))
    return tmp_path / "host.json"


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A cache with two kernels, of which the second is the host's."""
    for name, types in (("a", "ef" * 32), ("b", TYPES)):
        place = tmp_path / "cache" / "kernels" / name
        place.mkdir(parents=True)
        known = {"release": "7.3.4", "sha256": "cd" * 32, "btf_sha256": types}
        (place / "kernel.json").write_text(json.dumps(known))
        for file in ("bzImage", "vmlinux.h"):
            (place / file).touch()
    return tmp_path / "cache"


def test_a_host_comes_out_of_its_file_as_it_went_in(host: Path) -> None:
    assert read_host_file(host) == HOST and host.read_text().endswith("}\n")


@pytest.mark.parametrize(
    "changes",
    [{"v": 2}, {"btf_sha256": "x"}, {"btf_sha256": ""}, {"kernel_sha256": "AB" * 32}, {"audience": ""}, {"kernel": 7},
     {"audience": "a\nb"}, {"cpus": {"cpus": 0}}, {"cpus": {"cpus": True}}, {"cpus": {"cpus": 1 << 20}}, {"cpus": 4},
     {"features": ["magic"]}, {"features": [1]}, {"more": 1}, {"cpus": {"cpus": 4, "unequal": 1}},
     {"machine": "x" * 400}, {"v": True}, {"v": 1.0}, {"machine": "aarch64"}, {"kernel": "../7.3.4"},
     {"kernel": "7.3 4"}, {"kernel": "-7"}, {"cpus": {"cpus": 4, "llcs": 8}}, {"cpus": {"cpus": 4, "smt": 8}},
     {"cpus": {"cpus": 2, "nodes": 3}}, {"cpus": {"cpus": 2, "llcs": 2, "smt": 2}}, {"cpus": {"cpus": 4, "cores": 2}},
     {"features": 7}, {"features": [[]]},
     {"cpus": {"llcs": 1}}, {"cpus": None}],
    ids=str,
)  # fmt: skip
def test_what_is_no_host_file_is_told_in_one_line(host: Path, changes: Any) -> None:
    host.write_text(json.dumps({**json.loads(written(HOST)), **changes}))
    with pytest.raises(InputError, match=f"^{host}: not a host file") as error:
        read_host_file(host)
    assert "\n" not in str(error.value) and not PYTHONS.search(str(error.value))


@pytest.mark.parametrize("text", [
    "", "[]", "{}", "7", "[" * 9999, written(HOST).replace('"v"', '"v": 1, "v"'),
    written(HOST).replace('"smt"', '"smt": 1, "smt"'), written(HOST).replace('"v": 1', '"v": NaN'),
    json.dumps({name: value for name, value in json.loads(written(HOST)).items() if name != "v"}),
])  # fmt: skip
def test_what_is_no_json_of_a_host_is_told_in_plain_words(host: Path, text: str) -> None:
    host.write_text(text)
    with pytest.raises(InputError, match=f"^{host}: not a host file") as error:
        read_host_file(host)
    assert not PYTHONS.search(str(error.value))


@pytest.mark.parametrize("cpus", [HostCpus(3, 1, 2), HostCpus(7, 2, 2), HostCpus(2, 1, 2), HostCpus(4, 1, 1, 2)])
def test_a_host_whose_cpus_are_uneven_is_one(host: Path, cpus: HostCpus) -> None:
    host.write_text(written(replace(HOST, cpus=cpus)))
    assert read_host_file(host).cpus == cpus


@pytest.mark.parametrize("features", [(), ("sched_ext",)])
@pytest.mark.parametrize("to_file", [True, False])
def test_a_host_without_sched_ext_is_told_as_one(
    features: tuple[str, ...], to_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    told = replace(HOST, features=features)
    monkeypatch.setattr(command, "describe_host", lambda settings: told)
    command.describe_command("", tmp_path / "h.json" if to_file else None, as_json=False)
    shown = capsys.readouterr()
    said = shown.out if to_file else shown.err
    assert ("no sched_ext: no policy can be loaded there" in said) == (not features)
    assert to_file or shown.out == written(told)


def test_what_a_kernel_can_do_is_read_from_its_types() -> None:
    assert features_in(BTF) == tuple(FEATURES) and features_in(b"\0sched_ext_ops_cid\0") == ()
    assert features_in(b"\0sched_ext_ops\0x_cpu_online\0") == ("sched_ext",)


def test_a_host_describes_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "BTF", tmp_path / "btf")
    monkeypatch.setattr(describe, "IMAGES", (str(tmp_path / "none-{}"), str(tmp_path / "vmlinuz-{}")))
    monkeypatch.setattr(describe, "read_host_cpus", lambda: HostCpus(16, 2, 2))
    monkeypatch.setattr(describe.platform, "release", lambda: "7.3.4")
    settings = Settings(audience="host-7")
    with pytest.raises(InputError, match="no BTF"):
        describe_host(settings)
    (tmp_path / "btf").write_bytes(BTF)
    assert describe_host(settings).kernel_sha256 == ""
    (tmp_path / "vmlinuz-7.3.4").write_bytes(b"image")
    told = describe_host(settings)
    assert (told.kernel, told.btf_sha256, told.cpus, told.audience) == ("7.3.4", TYPES, HostCpus(16, 2, 2), "host-7")
    assert told.kernel_sha256 == hashlib.sha256(b"image").hexdigest() and told.features == tuple(FEATURES)


def test_it_is_verified_on_that_host_s_kernel_for_its_cpus_and_its_name(host: Path, kernels: Path) -> None:
    given = Settings(cache_dir=kernels, for_host=host)
    settings = settings_for(given)
    assert (settings.kernel, settings.audience) == (kernels / "kernels" / "b" / "bzImage", "host-7")
    assert topologies_for(settings, "short")[-1] == Topology(16, 2, 2)
    assert settings_for(Settings(cache_dir=kernels)) == Settings(cache_dir=kernels)


def test_a_kernel_whose_image_is_not_here_is_told_with_what_to_do(host: Path, tmp_path: Path, kernels: Path) -> None:
    with pytest.raises(
        InputError, match=r"kernel 7\.3\.4 .* is not here: copy .*/boot/vmlinuz-7\.3\.4.*SCHEDCP_KERNEL=FILE"
    ):
        settings_for(Settings(cache_dir=tmp_path / "empty", for_host=host))
    for sha256, there in (("cd" * 32, True), ("", True), ("00" * 32, False)):
        if there:
            assert find_kernel(kernels, "7.3.4", TYPES, sha256=sha256).parent.name == "b"
            continue
        with pytest.raises(InputError):
            find_kernel(kernels, "7.3.4", TYPES, sha256=sha256)
    (kernels / "kernels" / "b" / "bzImage").unlink()
    with pytest.raises(InputError):
        find_kernel(kernels, "7.3.4", TYPES)
    host.write_text(written(HostFile("h", "6.1", TYPES, HostCpus(2))))
    with pytest.raises(InputError, match=r"kernel 6\.1 there has no sched_ext"):
        settings_for(Settings(cache_dir=kernels, for_host=host))


def test_a_service_is_told_the_host_s_types_and_cpus(
    host: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(Settings(cache_dir=kernels, for_host=host, verifier=kernels / "sock"))
    assert settings.kernel is None and settings.audience == "host-7"
    asked = _for_host(settings)
    assert asked == {"on_types": TYPES, "like": "cpus=16,llcs=2,smt=2,nodes=1"} and _for_host(Settings()) == {}
    monkeypatch.setenv("SCHEDCP_CACHE_DIR", str(kernels))
    made = settings_of(Work("x", **asked), service=True)
    assert made.kernel == kernels / "kernels" / "b" / "bzImage" and made.more_topologies == (Topology(16, 2, 2),)
    for wrong in ({"on_types": "00" * 32}, {"like": "cpus=many"}):
        with pytest.raises(InputError):
            settings_of(Work("x", **wrong), service=True)


@pytest.mark.parametrize(
    ("features", "said"),
    [((), "no sched_ext, and policies cannot be loaded here; since which version: sched_ext 6.12, hotplug"),
     (("sched_ext", "hotplug callbacks"), "not scx_bpf_dsq_insert (since 6.13)"), (tuple(FEATURES), "cid ops")],
)  # fmt: skip
def test_doctor_says_what_this_host_s_kernel_can_do(monkeypatch: pytest.MonkeyPatch, features: Any, said: str) -> None:
    monkeypatch.setattr(doctor, "describe_host", lambda _: HostFile("h", "7", TYPES, HostCpus(2), features=features))
    told = doctor._host(Settings())
    assert said in told and "\n" not in told and ("; not " in told) == (0 < len(features) < len(FEATURES))
