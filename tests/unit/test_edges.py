# SPDX-License-Identifier: Apache-2.0
"""Decisions at their edges that `make mutants` found no test for: what is read, how much of it, and who is to blame."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from planner_cases import score as score_of
from token_cases import refusal
from trial_cases import POLICY, REJECTED, guest_in, spec, use_guest

from policy_lake.errors import InfraError, InputError
from policy_lake.exit_record import ExitKind, ExitRecord
from policy_lake.measurement import Measurement
from policy_lake.topology import HostCpus, Topology
from tasks.host.guest import Shape
from tasks.host.settings import Settings
from tasks.run.spec import define_run
from tasks.tokens import check as checks
from tasks.tokens.check import ReportState, _object_digest, read_file, what_to_revoke
from tasks.trial import trial
from tasks.trial.parts import read_source
from tasks.trial.trial import measured, scored
from verifier_vm.judge.console import shorten_verifier_log, verifier_complaint, why_disabled
from verifier_vm.tokens import host_state
from verifier_vm.tokens.audit_log import Head, Log
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.files import read_bounded
from verifier_vm.tokens.host_state import HostState, create_host_state, read_host_state, write_host_state
from verifier_vm.tokens.private_key import SigningKey
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.trust import Trust

LATER = datetime.max.replace(tzinfo=UTC)


def test_each_number_of_a_run_is_checked_where_it_is_defined(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for numbers in ({"iterations": 51}, {"per_iteration": 65}, {"pairs": 3}, {"seed": -1}):
        with pytest.raises(InputError, match=r" is not from "):
            define_run("batch", settings, **numbers)  # type: ignore[arg-type]


def test_a_source_may_have_further_dots_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "my.own.bpf.c").write_text("/* C */")
    assert read_source(tmp_path / "my.own.bpf.c") == "/* C */"


def test_a_shape_is_a_warm_guest_of_the_usual_memory() -> None:
    assert Shape(Topology()) == Shape(Topology(), "auto", False, "", 0)


def test_files_are_read_up_to_their_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for limit, read in ((1 << 20, read_bounded), (1 << 26, _object_digest)):
        for size in (limit, limit + 1):
            with path.open("wb") as file:
                file.truncate(size)
            if size == limit:
                read(path)
            else:
                with refusal(Code.UNREADABLE):
                    read(path)
    for wrong, told in ((tmp_path, "no plain file"), (tmp_path / "none", "no such file")):
        for read in (_object_digest, read_file):
            with pytest.raises(InputError, match=told):
                read(wrong)


def test_a_host_s_state_begins_at_nothing_and_has_room_for_a_megabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HostState() == HostState({}, {}, 0, 0, "")
    state = HostState(marks={"here": {"ljf": 5}})
    assert [state.mark("here", "ljf"), state.mark("here", "rr"), state.mark("there", "ljf")] == [5, 0, 0]
    assert host_state.STATE_LIMIT == 1024 * 1024
    create_host_state(tmp_path / "host")
    size = (tmp_path / "host" / host_state.STATE).stat().st_size
    monkeypatch.setattr(host_state, "STATE_LIMIT", size)
    write_host_state(tmp_path / "host", HostState())
    assert read_host_state(tmp_path / "host") == HostState()
    monkeypatch.setattr(host_state, "STATE_LIMIT", size - 1)
    with refusal(Code.HOST_STATE):
        write_host_state(tmp_path / "host", HostState())


def test_what_is_revoked_is_named_in_full(tmp_path: Path) -> None:
    assert what_to_revoke("ab" * 16, tmp_path) == ("nonce", "ab" * 16)
    assert what_to_revoke("ab" * 32, tmp_path) == ("object", "ab" * 32)
    for word in ("zz" * 16, "ab" * 15, "ab" * 17):
        with pytest.raises(InputError, match="is no file, no nonce"):
            what_to_revoke(word, tmp_path)


def stand_in(monkeypatch: pytest.MonkeyPatch, token: Any) -> list[Any]:
    """A token that holds; returns the attachments that it is held against."""
    asked: list[Any] = []
    for name in ("read_file", "trusted_key", "unseal", "_host_state", "token_digest"):
        monkeypatch.setattr(checks, name, lambda *_, **__: None)
    monkeypatch.setattr(checks, "parse_payload", lambda payload: token)
    monkeypatch.setattr(checks, "check_token", lambda content, what, **_: asked.append(what) or token)
    trust = Trust(SigningKey(Ed25519PrivateKey.generate()).public, RevocationList(1), Log((), Head(), (), False), None,
                  frozenset())  # fmt: skip
    monkeypatch.setattr(checks, "trusted_key", lambda _: trust.key)
    monkeypatch.setattr(checks, "read_trust", lambda _: trust)
    return asked


@pytest.mark.parametrize(
    ("here", "require", "asked"),
    [({}, "", False), ({"hotplug": True}, "", True), ({}, "cgroups hotplug", True), ({}, "cgroups", False)],
)
def test_a_host_whose_cpus_come_and_go_is_one_that_says_so(
    here: dict[str, bool], require: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = stand_in(monkeypatch, SimpleNamespace(object_sha256="o", arguments=(), expires=LATER))
    monkeypatch.setattr(checks, "_report_beside", lambda *_: (ReportState.MISSING, None))
    where = checks.Here(kernel="7", btf_sha256="b", cpus=HostCpus(2), **here)
    checks.check_file(tmp_path / "t", where, Settings(data_dir=tmp_path, require=require))
    assert [what.hotplug for what in held] == [asked]


@pytest.mark.parametrize("state", list(ReportState))
def test_of_the_reports_beside_a_token_only_a_changed_one_refuses_it(
    state: ReportState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = TokenError("another", Code.REPORT_OTHER) if state in (ReportState.OTHER, ReportState.CHANGED) else None
    token: Any = SimpleNamespace(object_sha256="o", arguments=(), expires=LATER)
    stand_in(monkeypatch, token)
    monkeypatch.setattr(checks, "_report_beside", lambda *_: (state, error))
    here = checks.Here(kernel="7", btf_sha256="b", cpus=HostCpus(2))
    if state is ReportState.CHANGED:
        with refusal(Code.REPORT_OTHER):
            checks.check_file(tmp_path / "t", here, Settings(data_dir=tmp_path))
    else:
        assert checks.check_file(tmp_path / "t", here, Settings(data_dir=tmp_path)).report is state


BEGIN, END = "libbpf: prog 'x': -- BEGIN PROG LOAD LOG --", "-- END PROG LOAD LOG --"


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["not this", BEGIN, "R1 invalid mem access", END], "R1 invalid mem access"),
        ([BEGIN, "the only one", END, "libbpf: failed"], "the only one"),
        ([BEGIN, "first", "second", END], "second"),
        ([BEGIN, "0: (b7) r0 = 0", END], "program rejected"),
        (["before", BEGIN, END], "program rejected"),
        ([BEGIN, "why", "Verification failed: x", "At:", "a.c:3", END], "why (at a.c:3)"),
        ([BEGIN, "why", "Verification failed: x", "At:", END], "why"),
        ([BEGIN, "why", "Verification failed: x", END, "At:", "a.c:9"], "why"),
        ([BEGIN, "why", "At:", "a.c:1", "Verification failed: x", "At:", "a.c:3", "more", END], "a.c:1 (at a.c:3)"),
        ([BEGIN, "without an end"], "without an end"),
        (["has: a b", "libbpf: failed to open"], "failed to open"),
        (["", "one", "two"], "one"),
    ],
)
def test_a_refusal_s_one_line_is_the_last_complaint_with_its_place(lines: list[str], complaint: str) -> None:
    assert verifier_complaint("\n".join(lines)) == complaint


def test_of_a_long_log_the_last_forty_lines_are_kept() -> None:
    log = "\n".join(f"line {n}" for n in range(60))
    assert shorten_verifier_log(log).splitlines()[0] == "line 20" and len(shorten_verifier_log(log, keep=3)) == 23
    assert shorten_verifier_log("has: a\n\n0: R1=ctx()\nwhy\n") == "why"


def test_why_a_policy_was_taken_off_is_in_the_line_behind() -> None:
    off = 'sched_ext: BPF scheduler "x" disabled ({})'
    before = "sched_ext: x: of another time"
    for reason, kind in (("runnable task stall", ExitKind.ERROR_STALL), ("scx_bpf_error", ExitKind.ERROR_BPF),
                         ("something new", ExitKind.ERROR)):  # fmt: skip
        lines = [before, off.format(reason), "   backtrace", "sched_ext: x: task 5 starved"]
        assert why_disabled(lines) == ExitRecord(kind, 0, reason, "task 5 starved")
    assert why_disabled([before, off.format("scx_bpf_error")]) == ExitRecord(ExitKind.ERROR_BPF, 0, "scx_bpf_error", "")
    both = [off.format("unregistered from user space"), off.format("parent exiting")]
    assert why_disabled(both) == ExitRecord(ExitKind.PARENT, 0, "parent exiting", "")


def run(**more: Any) -> Measurement:
    inputs: Any = None
    return Measurement("id", "batch", "", inputs, {"makespan_ms": 5.0, "bound_ms": 1.0}, **more)


@pytest.mark.parametrize("control", [None, replace(POLICY, name="control")])
def test_who_failed_first_is_to_blame(control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared runs are looked at with a policy's first one: what fails there is not the policy's."""
    guest = guest_in(tmp_path)
    use_guest(monkeypatch, guest)
    for bad in (0, 1):
        steps = measured(spec(tmp_path), POLICY, control, guest)
        results = [run(rejection=REJECTED if at == bad else None) for at, _ in enumerate(next(steps))]
        if bad == 0:
            with pytest.raises(StopIteration) as ended:
                steps.send(results)
            assert (ended.value.value.stage, ended.value.value.code) == (REJECTED.stage, REJECTED.code)
            told = ended.value.value.reason
            assert told.endswith(REJECTED.reason) and "0" in told.removesuffix(REJECTED.reason), "which round"
            continue
        count = len(steps.send(results))  # the round as a whole is measured, and who fails in it is told by name
        with pytest.raises(InfraError, match=r"the baseline failed on batch"):
            steps.send([run(rejection=REJECTED if at == 4 else None) for at in range(count)])


SCORE = score_of("ljf", 1.2)


def test_a_stage_takes_the_time_that_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "prepare_guest", lambda *_: guest_in(tmp_path))
    monkeypatch.setattr(trial, "score_of", lambda *_: SCORE)
    monkeypatch.setattr(trial, "guard_findings", lambda *_: [])
    monkeypatch.setattr(trial, "over_by", lambda *_: {})
    for course, ok in ((trial.Course({}, "", ""), True), (REJECTED, False)):

        def steps(*_: Any, course: Any = course) -> Any:
            yield ()
            return course

        monkeypatch.setattr(trial, "measured", steps)
        asked = scored(spec(tmp_path), POLICY)
        next(asked)
        with pytest.raises(StopIteration) as ended:
            asked.send(())
        stage, score = ended.value.value
        assert stage.ok is ok and 0 <= stage.seconds < 60 and score == (SCORE if ok else None)
