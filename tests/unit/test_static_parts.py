# SPDX-License-Identifier: Apache-2.0
"""A policy of several files, sources and objects, before any guest: each is looked at, and the whole is linked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bpf.build import PolicyObject
from policy_lake.codes import Code
from policy_lake.errors import BuildError, InfraError
from policy_lake.model import Finding
from tasks.trial import static
from tasks.trial.parts import Part
from tasks.trial.static import NOT_BUILT, NOT_SEEN, Checked, check_parts, check_statically
from verifier_vm.object.analyse import Analysis
from verifier_vm.object.filled import KernelValues
from verifier_vm.verdict import HOTPLUG_CALLBACKS, stage_of

ONE, TWO, OBJECT = Part("one.bpf.c", "/* 1 */"), Part("two.bpf.c", "/* 2 */"), Part("mine.bpf.o", data=b"object")


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The static stages with a lint, a compiler and a linker that are told what to find; `seen` is what they met."""
    seen = SimpleNamespace(linted=[], linked=[], lint={}, refused="", analysed=[], config=None, asks=False)
    seen.confined, seen.missing = {}, ""

    def lint(source: str, *, name: str, **_: Any) -> Any:
        seen.linted.append(name)
        return stage_of("source", 0.1, seen.lint.get(name, ()), f"seen of {name}")

    def compile_policy(source: str, *, name: str, **_: Any) -> PolicyObject:
        if name == seen.refused:
            raise BuildError("it does not compile", "error without a place", seen.missing)
        return PolicyObject(f"<{name}>".encode(), "", 0.1, seen.confined.get(name, True))

    def link(objects: list[tuple[str, bytes]]) -> bytes:
        seen.linked.append(list(objects))
        if seen.refused == "link":
            raise BuildError("they do not fit", "")
        return b"+".join(data for _, data in objects)

    def analyse(data: bytes, *_: Any) -> Analysis:
        seen.analysed.append(data)
        return Analysis(stage_of("object", 0.1, ()))

    monkeypatch.setattr(static, "front_end_flags", lambda *_, **__: ())
    monkeypatch.setattr(static, "front_end_launcher", lambda **_: None)
    monkeypatch.setattr(static, "lint_source", lint)
    monkeypatch.setattr(static, "compile_policy", compile_policy)
    monkeypatch.setattr(static, "link_objects", link)
    monkeypatch.setattr(static, "analyse", analyse)
    monkeypatch.setattr(static, "kernel_values", lambda _: KernelValues({}, seen.config, "7.3.4"))
    monkeypatch.setattr(static, "asks_for_config", lambda data: seen.asks)
    kernel: Any = SimpleNamespace(headers=Path("/headers"), release="7.3.4")
    seen.check = lambda *parts, **more: check_parts(parts, kernel, **more)
    seen.check_source = lambda **more: check_statically("/* C */", name="one.bpf.c", kernel=kernel, **more)
    return seen


def test_each_source_is_linted_and_compiled_and_an_object_taken_as_it_is(front: Any) -> None:
    checked = front.check(OBJECT, ONE, OBJECT, TWO)
    assert checked.ok and front.linted == ["one.bpf.c", "two.bpf.c"]
    whole = b"object+<one.bpf.c>+object+<two.bpf.c>"
    assert front.analysed == [whole] and checked.made is not None and checked.made.data == whole
    source, build, _ = checked.stages
    for stage, note in ((source, NOT_SEEN), (build, NOT_BUILT)):
        (finding,) = stage.findings
        assert (finding.place, finding.reason) == ("mine.bpf.o", f"{note} (and at 1 more place)")
    assert source.evidence == "seen of one.bpf.c\nseen of two.bpf.c"
    assert all(0 <= stage.seconds < 60 for stage in checked.stages) and 0 <= checked.made.seconds < 60


def test_one_file_is_not_linked_and_two_are(front: Any) -> None:
    for part, data in ((ONE, b"<one.bpf.c>"), (OBJECT, b"object")):
        assert front.check(part).made.data == data and front.linked == []
    assert front.check(ONE, OBJECT).made.data == b"<one.bpf.c>+object"
    assert front.linked == [[("one.bpf.c", b"<one.bpf.c>"), ("mine.bpf.o", b"object")]]


@pytest.mark.parametrize(("refused", "place"), [("one.bpf.c", "one.bpf.c"), ("two.bpf.c", "two.bpf.c"),
                                                ("link", "two.bpf.c")])  # fmt: skip
def test_what_is_refused_is_told_by_the_file_s_name(front: Any, refused: str, place: str) -> None:
    front.refused = refused
    checked = front.check(ONE, TWO)
    assert not checked.ok and checked.made is None and front.analysed == []
    (finding,) = checked.stages[-1].findings
    assert (finding.level, finding.place, checked.stages[-1].name) == ("reject", place, "build")


def test_one_file_that_was_not_confined_is_noted(front: Any) -> None:
    front.confined = {"one.bpf.c": False}
    for parts in ((ONE, TWO), (TWO, ONE)):
        assert static.UNCONFINED in front.check(*parts).stages[1].findings
    assert front.check(TWO).stages[1].findings == ()


def test_a_source_that_is_rejected_is_compiled_only_where_all_is_wanted(front: Any) -> None:
    front.lint = {"two.bpf.c": [Finding("F03", "reject", "never consumed", "two.bpf.c:7")]}
    assert front.check(ONE, TWO).made is None and not front.analysed
    assert front.check(ONE, TWO, check_all=True).made is not None and len(front.analysed) == 1
    front.lint = {"one.bpf.c": front.lint["two.bpf.c"]}
    assert front.check_source().made is None and front.check_source(check_all=True).made is not None


@pytest.mark.parametrize(
    ("config", "asks", "good"), [(None, False, True), (None, True, False), ({}, True, True), ({}, False, True)]
)
def test_who_asks_for_a_kernel_s_configuration_is_judged_only_where_it_is_known(
    front: Any, config: Any, asks: bool, good: bool
) -> None:
    front.config, front.asks = config, asks
    if good:
        assert front.check(ONE).ok
    else:
        with pytest.raises(InfraError, match=r"asks for the configuration of kernel 7\.3\.4: run"):
            front.check(ONE)


def test_who_has_both_callbacks_of_hotplug_outlives_it() -> None:
    both, one = (SimpleNamespace(callbacks=names) for names in (tuple(HOTPLUG_CALLBACKS), ("cpu_online",)))
    assert Checked((both,), None).hotplug and not Checked((one,), None).hotplug  # type: ignore[arg-type]


def test_a_header_that_is_not_found_is_a_kind_of_its_own_and_names_the_option(front: Any) -> None:
    front.refused = ONE.name
    for front.missing, code in (("scx/common.bpf.h", Code.NO_HEADER), ("", Code.STATIC)):
        (finding,) = front.check(ONE).stages[-1].findings
        assert (finding.level, finding.code) == ("reject", code)
        assert ("-I" in finding.advice and "scx/common.bpf.h" in finding.advice) is bool(front.missing)
