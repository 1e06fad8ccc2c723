# SPDX-License-Identifier: Apache-2.0
"""A policy as a user gives it: read alike for `verify` and `score`, and its candidate named by its files."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from object_cases import object_bytes

from bpf.build import PolicyObject
from bpf.library import policy
from policy_lake.codes import Code
from policy_lake.errors import InputError
from policy_lake.knobs import MOST_BYTES, MOST_WORDS, OPS_FLAG, OPS_USE
from policy_lake.model import Finding, Knob
from tasks.plan import candidate_of
from tasks.trial import given as given_policies
from tasks.trial import words
from tasks.trial.given import Given, read_given
from tasks.trial.static import Checked
from verifier_vm.verdict import stage_of

KERNEL: Any = SimpleNamespace(release="7")
SOURCE = "const volatile u64 slice_ns = 5;\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """mine.bpf.c with a knob, mine.bpf.o and other.bpf.o; every object has the constant `limit`."""
    (tmp_path / "mine.bpf.c").write_text(SOURCE)
    for name in ("mine.bpf.o", "other.bpf.o"):
        (tmp_path / name).write_bytes(object_bytes("percpu") + name.encode())
    monkeypatch.setattr(words, "read_knobs", lambda data: [Knob("limit", "int", "", "")])
    return tmp_path


def test_a_policy_is_a_file_or_one_of_the_library_s_with_all_that_belongs_to_it(files: Path) -> None:
    mine = read_given(files / "mine.bpf.c", linked=[files / "other.bpf.o"], include_dirs=[files])
    assert (mine.policy.id, mine.source, mine.include_dirs) == ("mine", SOURCE + "\n", (files,))
    assert mine.files == ("mine.bpf.c", "other.bpf.o") and mine.parts[0].directory == files
    ready = read_given(files / "mine.bpf.o", sets={"limit": "3"})
    assert (ready.policy.id, ready.source, ready.files, ready.values) == ("mine", "", ("mine.bpf.o",), {"limit": "3"})
    fifo = read_given(policy("fifo"))
    assert (fifo.files, fifo.source, fifo.parts[0].name) == ((), policy("fifo").source, "fifo.bpf.c")
    assert read_given(policy("fifo"), linked=[files / "other.bpf.o"]).files == ("fifo.bpf.c", "other.bpf.o")
    assert read_given(policy("fifo"), include_dirs=[files]).files == ("fifo.bpf.c",)


def test_what_is_set_is_given_once_and_a_source_has_the_knob(files: Path) -> None:
    ready = files / "mine.bpf.o"
    assert read_given(ready, knobs={"any": 1}, sets={"other": 2}).values == {"any": 1, "other": 2}
    assert read_given(policy("fifo"), sets={"other": 2}).values == {"other": 2}
    with pytest.raises(InputError, match="any"):
        read_given(policy("fifo"), knobs={"any": 1})
    with pytest.raises(InputError, match="--set any: it is given with --knob, too"):
        read_given(ready, knobs={"any": 1, "b": 2}, sets={"any": 2})
    with pytest.raises(InputError, match=r"^-I .*mine\.bpf\.o: no such directory"):
        read_given(ready, include_dirs=[files, ready])
    with pytest.raises(InputError, match=r"^-l .*mine\.c: not a \.bpf\.c or \.bpf\.o file"):
        read_given(ready, linked=[files / "mine.c"])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"limit": "9" * 30}, "constant 'limit'"),
        ({"limit": "-" + "0" * 16}, "constant 'limit'"),
        ({"limit": None}, "constant 'limit'"),
        ({"limit": "a,,b"}, "constant 'limit'"),
        ({"limit": "n\tm"}, "constant 'limit'"),
        ({"li mit": 1}, "'li mit'"),
        ({"ops.timeout_ms": 1}, "'ops.timeout_ms'"),
        ({"slice_ns": "soon"}, "--set slice_ns: u64 slice_ns takes a whole number"),
        ({f"k{n}": 1 for n in range(MOST_WORDS + 1)}, f"takes {MOST_WORDS}"),
        ({"limit": "1," * (MOST_BYTES // 2) + "1"}, f"takes {MOST_BYTES}"),
    ],
)
def test_what_no_object_could_take_is_refused_before_there_is_one(files: Path, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        read_given(files / "mine.bpf.c", sets=value)
    if "slice_ns" not in value:
        with pytest.raises(InputError, match=re.escape(says)):
            read_given(files / "mine.bpf.o", knobs=value)


@pytest.mark.parametrize("value", [7, "0xffffffffffffffff", -(2**63), "on", "1,2", "Web Content", "", [1, 2], 5e6])
def test_what_some_constant_could_be_waits_for_the_object(files: Path, value: Any) -> None:
    sets = {"limit": value, OPS_USE: "mine", OPS_FLAG: "SCX_OPS_ENQ_LAST"}
    assert read_given(files / "mine.bpf.o", sets=sets).values == sets


def test_an_unknown_flag_is_refused_before_anything_is_compiled(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "kernel_values", lambda kernel: SimpleNamespace(constants={"SCX_OPS_ENQ_LAST": 2}))
    monkeypatch.setattr(given_policies, "check_parts", lambda *_, **__: pytest.fail("something was compiled"))
    with pytest.raises(InputError, match="--ops-flag SCX_OPS_GONE"):
        read_given(files / "mine.bpf.c", sets={OPS_FLAG: "SCX_OPS_GONE"}).check(SimpleNamespace(release="7.3"))


def test_a_check_has_every_part_and_the_words_of_the_object(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def check(parts: Any, kernel: Any, *, words_of: Any, **more: Any) -> Checked:
        asked.append((parts, kernel, more["include_dirs"], more["check_all"]))
        return Checked((), PolicyObject(b"object", "", 0.1, True), tuple(words_of(b"object")))

    monkeypatch.setattr(given_policies, "check_parts", check)
    mine = read_given(files / "mine.bpf.c", include_dirs=[files], knobs={"slice_ns": "7"}, sets={"limit": "0x10"})
    assert mine.check(KERNEL, check_all=True).arguments == ("slice_ns=7", "limit=16")
    read_given(files / "mine.bpf.o").check(KERNEL)
    assert asked[0] == (mine.parts, KERNEL, (files,), True) and asked[1][2:] == ((), False)
    with pytest.raises(InputError, match="no variable 'none'"):
        read_given(files / "mine.bpf.c", sets={"none": "1"}).check(KERNEL)


def test_a_candidate_has_the_values_in_their_one_form_and_an_id_of_all_that_it_is_built_from(files: Path) -> None:
    def made(name: str, **more: Any) -> Any:
        return read_given(files / name, **more).candidate(b"object")

    plain = made("mine.bpf.c", knobs={"slice_ns": "0x7"}, sets={"limit": "4"})
    assert (plain.policy, plain.source, plain.knob_values) == ("mine", SOURCE, {"slice_ns": 7, "limit": 4})
    assert made("mine.bpf.c").id == candidate_of(read_given(files / "mine.bpf.c").policy, {}).id, "as it ever was"
    assert read_given(policy("fifo")).candidate(b"o").id == candidate_of(policy("fifo"), {}).id
    one, other = made("mine.bpf.o"), made("other.bpf.o")
    (files / "mine.bpf.o").write_bytes(object_bytes("percpu") + b", another")
    linked = made("mine.bpf.c", linked=[files / "other.bpf.o"])
    ids = [plain, one, other, made("mine.bpf.o"), linked, made("mine.bpf.c", include_dirs=[files])]
    assert len({candidate.id for candidate in ids}) == len(ids)


def test_what_was_not_built_is_a_candidate_with_the_knobs_of_its_source(files: Path) -> None:
    mine = read_given(files / "mine.bpf.c", knobs={"slice_ns": "7"}, sets={"limit": "4"})
    assert mine.candidate(b"").knob_values == {"slice_ns": 7}
    assert isinstance(mine, Given)


def test_a_header_that_is_nowhere_is_bad_input_and_another_failure_to_compile_a_verdict(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in (Code.NO_HEADER, Code.STATIC):
        refused = Finding("compiler", "reject", "x.h is in none: -I", "mine.bpf.c:1", code=code)
        checked = Checked((stage_of("source", 0.1), stage_of("build", 0.1, [refused])), None)
        monkeypatch.setattr(given_policies, "check_parts", lambda *_, checked=checked, **__: checked)
        if code == Code.STATIC:
            assert read_given(files / "mine.bpf.c").check(KERNEL) is checked
            continue
        with pytest.raises(InputError, match=r"x\.h is in none: -I"):
            read_given(files / "mine.bpf.c").check(KERNEL)


def test_of_several_policies_in_its_object_the_user_names_one(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_policies, "check_parts", lambda *_, words_of, **__: words_of(b"object"))
    monkeypatch.setattr("tasks.trial.words._policies", lambda data: ["one", "two"])
    with pytest.raises(InputError, match="more than one sched_ext policy, one, two"):
        read_given(files / "mine.bpf.c").check(KERNEL)
