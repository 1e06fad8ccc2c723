# SPDX-License-Identifier: Apache-2.0
"""How far the stages before a guest go, and what they say of the compiler; the compiler itself is met elsewhere."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_cases import BATCH, POLICY, guest_in, spec, use_guest

from benchmarks.scoring import BASELINE
from bpf.build import PolicyObject
from policy_lake.errors import BuildError, InfraError, InputError
from policy_lake.model import Finding
from policy_lake.topology import Topology
from tasks.host.guest import Shape
from tasks.trial import build, floor, static
from tasks.trial.build import arguments_of, loadable, provenance_of
from tasks.trial.floor import measure_floor
from tasks.trial.parts import Part
from tasks.trial.static import Checked, check_statically
from verifier_vm.object.analyse import Analysis
from verifier_vm.object.filled import KernelValues
from verifier_vm.verdict import stage_of

MADE = PolicyObject(b"object", "", 0.1, True)
VALUES = KernelValues({"SCX_SLICE_DFL": 20_000_000}, {}, "7.3.4")
REJECTS = [Finding("F03", "reject", "never consumed", "source/mine.bpf.c:7")]


def is_made(built: PolicyObject | None) -> bool:
    """Whether it is what the compiler gave, under its own digest."""
    assert built is not None
    return (built.data, built.confined, built.sha256) == (MADE.data, MADE.confined, sha256(MADE.data).hexdigest())


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The static stages with these answers of lint, compiler and analysis; what came of it, and the stages begun."""

    def run(
        lint: Any = (), made: Any = MADE, found: Any = (), knows: Any = (), **options: Any
    ) -> tuple[Checked, list[str], list[Any]]:
        begun: list[str] = []
        analysed: list[Any] = []

        def compile_policy(*_: Any, **__: Any) -> PolicyObject:
            if isinstance(made, Exception):
                raise made
            return made

        def analyse(data: bytes, arguments: Any, values: Any) -> Analysis:
            analysed.append((data, arguments, values))
            return Analysis(stage_of("object", 0.1, found), *knows)

        monkeypatch.setattr(static, "front_end_flags", lambda *_, **__: ())
        monkeypatch.setattr(static, "front_end_launcher", lambda **_: None)
        monkeypatch.setattr(static, "lint_source", lambda *_, **__: stage_of("source", 0.1, lint))
        monkeypatch.setattr(static, "compile_policy", compile_policy)
        monkeypatch.setattr(static, "analyse", analyse)
        monkeypatch.setattr(static, "kernel_values", lambda given: VALUES if given is kernel else None)
        kernel: Any = SimpleNamespace(headers=Path("/headers"))
        given = {"on_stage": begun.append, **options}
        return check_statically("/* C */", name="mine.bpf.c", kernel=kernel, **given), begun, analysed

    return run


def test_a_source_is_read_with_its_own_flags_in_confinement_and_with_the_kernel_s_constants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel: Any = SimpleNamespace(headers=Path("/headers"))
    asked: list[Any] = []
    monkeypatch.setattr(static, "front_end_flags", lambda source, **where: ("flags of", source, where))
    monkeypatch.setattr(static, "front_end_launcher", lambda **where: ("launcher of", where))
    monkeypatch.setattr(static, "kernel_values", lambda given: VALUES if given is kernel else None)
    monkeypatch.setattr(
        static, "lint_source", lambda source, **more: asked.append((source, more)) or stage_of("source", 0.1)
    )
    static._source_stage((Part("mine.bpf.c", "/* C */", tmp_path),), kernel, (Path("/include"),))
    where = {"vmlinux_dir": Path("/headers"), "include_dirs": (Path("/include"),), "source_dir": tmp_path}
    expected = {"name": "mine.bpf.c", "flags": ("flags of", "/* C */", where), "launcher": ("launcher of", where),
                "constants": VALUES.constants}  # fmt: skip
    assert asked == [("/* C */", expected)]


def test_a_sound_policy_goes_through_all_three(check: Any) -> None:
    checked, begun, analysed = check(arguments=("a=1",))
    assert checked.ok and is_made(checked.made) and begun == ["source", "build", "object"]
    assert [stage.name for stage in checked.stages] == begun and analysed == [(b"object", ("a=1",), VALUES)]
    assert check(on_stage=static.check_statically.__kwdefaults__["on_stage"])[0].ok


def test_a_rejected_source_is_not_compiled_unless_all_is_wanted(check: Any) -> None:
    checked, begun, _ = check(lint=REJECTS)
    assert not checked.ok and checked.made is None and begun == ["source"]
    checked, begun, _ = check(lint=REJECTS, check_all=True)
    assert not checked.ok and is_made(checked.made) and begun == ["source", "build", "object"]


def test_a_rejected_object_is_no_guest_s_and_is_named_as_the_user_does(check: Any) -> None:
    checked, _, _ = check(found=REJECTS)
    assert not checked.ok and is_made(checked.made)
    assert checked.stages[-1].findings[0].place == "mine.bpf.c:7"


def test_suspicions_of_the_source_that_the_object_knows_better_are_gone(check: Any) -> None:
    lint = [
        Finding("F14", "suspicion", "in a line that no path reaches", "mine.bpf.c:7"),
        Finding("F20", "suspicion", "refuted", "mine.bpf.c:8"),
        Finding("F14", "suspicion", "executed", "mine.bpf.c:9"),
        Finding("F14", "note", "no question", "mine.bpf.c:7"),
    ]
    checked, _, _ = check(lint, knows=(frozenset({("source/mine.bpf.c", 7)}), frozenset({"F20"})))
    assert {finding.reason for finding in checked.stages[0].findings} == {"executed", "no question"}


@pytest.mark.parametrize(
    ("diagnostics", "place"),
    [
        ("In file included from x\nmine.bpf.c:3:5: error: unknown type\nb.c:9:1: error: two", "mine.bpf.c:3"),
        ("a.h:2:1: warning: odd\nmine.bpf.c:4:1: fatal error: no such file", "mine.bpf.c:4"),
        ("clang: error: no input\nmine.bpf.c:8:1: error: x", "mine.bpf.c:8"),
        ("x: error: y", "mine.bpf.c"),
        ("mine.bpf.c:6: error: y", "mine.bpf.c:6"),
        ("", "mine.bpf.c"),
    ],
)
def test_what_the_compiler_refuses_is_told_with_its_first_place(check: Any, diagnostics: str, place: str) -> None:
    checked, begun, analysed = check(made=BuildError("it does not compile", diagnostics))
    assert not checked.ok and checked.made is None and begun == ["source", "build"] and analysed == []
    (finding,) = checked.stages[-1].findings
    assert (finding.bug, finding.level, finding.place) == ("compiler", "reject", place)
    assert 0 <= checked.stages[-1].seconds < 60 and checked.stages[-1].evidence == diagnostics


def test_what_does_not_compile_is_told_by_the_compiler_alone(check: Any) -> None:
    said = Finding("compiler", "note", "it does not compile: line 3", "mine.bpf.c")
    other = Finding("F20", "note", "no exit record", "mine.bpf.c")
    checked, _, _ = check(lint=[said, other], made=BuildError("it does not compile", "mine.bpf.c:3:5: error: x"))
    assert checked.stages[0].findings == (other,) and [stage.name for stage in checked.stages] == ["source", "build"]


def test_words_that_the_object_decides_are_asked_for_before_the_source_is_looked_at(monkeypatch: Any) -> None:
    begun: list[str] = []
    monkeypatch.setattr(static, "_build", lambda *_: (stage_of("build", 0.1), MADE))
    monkeypatch.setattr(static, "_source_stage", lambda *_: begun.append("looked at") or stage_of("source", 0.1))

    def refuse(data: bytes) -> tuple[str, ...]:
        raise InputError("no variable")

    with pytest.raises(InputError):
        static.check_parts((), Any, words_of=refuse, words_first=True, on_stage=begun.append)  # type: ignore[arg-type]
    assert begun == ["build"]


def test_a_compiler_that_is_not_confined_is_noted(check: Any) -> None:
    checked, _, _ = check(made=replace(MADE, confined=False))
    assert checked.ok and [finding.level for finding in checked.stages[1].findings] == ["note"]
    assert check()[0].stages[1].findings == ()


def test_who_has_cgroup_callbacks_claims_to_honour_them() -> None:
    claims = replace(stage_of("object", 0.1), callbacks=("cgroup_init",))
    assert Checked((claims,), MADE).cgroups and not Checked((stage_of("object", 0.1),), MADE).cgroups


def test_a_score_is_a_function_of_what_was_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = guest_in(tmp_path)
    use_guest(monkeypatch, guest)
    given = spec(tmp_path)
    of, none = provenance_of(given, POLICY, guest), provenance_of(given, None, guest)
    assert (of.arguments, len(of.object_sha256), of.qemu, of.clock) == (POLICY.arguments, 64, "10.0.2", "clock")
    assert (none.arguments, none.object_sha256, none.binary, none.binary_sha256, none.control) == ((), "", "", "", "")
    wall = replace(guest, machine=replace(guest.machine, clock=None))
    assert provenance_of(given, POLICY, wall).clock == ""
    binary = SimpleNamespace(path="/bin/schbench", sha256="b" * 64)
    other = replace(given, workload=replace(BATCH, binary=binary), control=given.candidate)  # type: ignore[arg-type]
    monkeypatch.setattr(build, "descriptor_sha256", lambda workload: "w")
    made = provenance_of(other, POLICY, guest)
    assert (made.binary, made.binary_sha256, made.control) == ("/bin/schbench", "b" * 64, given.candidate.id)


def test_where_a_descriptor_lies_is_recorded_only_where_its_id_does_not_lead_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, given = guest_in(tmp_path), spec(tmp_path)
    use_guest(monkeypatch, guest)
    monkeypatch.setattr(build, "descriptor_sha256", lambda workload: "w")
    assert Path(BATCH.file).is_absolute() and provenance_of(given, POLICY, guest).workload_file == ""
    for folder, recorded in ((given.settings.workload_dir, False), (tmp_path / "else", True)):
        folder.mkdir(parents=True)
        file = folder / "mine.toml"
        file.touch()
        mine = replace(given, workload=replace(BATCH, id="mine", file=str(file)))
        assert provenance_of(mine, POLICY, guest).workload_file == (str(file) if recorded else "")


def test_a_candidate_is_loaded_with_its_own_knobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = '/* t */\nconst volatile u64 slice_ns = 5; /* @knob slice_ns 1..9 ns "a slice" */\n'
    candidate = replace(spec(tmp_path).candidate, source=source, knob_values={})
    monkeypatch.setattr(build, "compile_policy", lambda *_, **__: MADE)
    guest = guest_in(tmp_path)
    made = loadable(candidate, guest)
    assert (made.data, made.name, made.arguments) == (b"object", "ljf", ())
    assert arguments_of(candidate, b"object", guest.kernel) == ()
    set_to_7 = replace(candidate, knob_values={"slice_ns": 7})
    assert loadable(set_to_7, guest).arguments == arguments_of(set_to_7, b"object", guest.kernel) == ("slice_ns=7",)


def test_a_floor_is_eevdf_twice_on_seeds_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_guest(monkeypatch, guest_in(tmp_path))
    asked: list[Any] = []

    def run(steps: Any, given: Any, lake: Any, *, what: str) -> Any:
        assert what.startswith("what equal runs of batch differ by")
        asked.append(given)
        return "course"

    monkeypatch.setattr(floor, "run_here", run)
    monkeypatch.setattr(floor, "score_of", lambda spec, course, policy, guest: (course, policy))
    settings = spec(tmp_path).settings
    lake: Any = None
    assert measure_floor(BATCH, settings, Shape(Topology(2)), lake) == ("course", None)
    (given,) = asked
    assert (given.plan.pairs, given.plan.most_pairs, given.plan.seed) == (5, 0, 900)
    assert (given.candidate.policy, given.candidate.iteration, given.control) == (BASELINE, 0, None)
    from policy_lake.model import Rejection

    monkeypatch.setattr(floor, "run_here", lambda *_, what: Rejection("score", "it fell", ""))
    with pytest.raises(InfraError, match="an A/A run of batch failed: it fell"):
        measure_floor(BATCH, settings, Shape(Topology(2)), lake)
