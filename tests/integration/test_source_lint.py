# SPDX-License-Identifier: Apache-2.0
"""The stage `source` on whole policies: those of the corpus, those made to harm, and a parser that is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from corpus import good, planted

from bpf.build import front_end_flags, front_end_launcher
from bpf.library import policies
from policy_lake.errors import InfraError
from verifier_vm.source import lint, parser_process
from verifier_vm.source.lint import lint_source
from verifier_vm.source.server import ENDLESS_S, how_it_ended

RIGHT = [(path.name, path) for path in good()]
WRONG = [policy for policy in planted() if policy.stage == "source"]


@pytest.fixture
def look(vmlinux_dir):
    """The stage of a source, looked at as a command would."""

    def lint_it(source, name="mine.bpf.c", **options):
        flags = front_end_flags(source, vmlinux_dir=vmlinux_dir)
        launcher = front_end_launcher(vmlinux_dir=vmlinux_dir)
        return lint_source(source, name=name, flags=flags, launcher=launcher, **options)

    return lint_it


def rejections(stage):
    return [finding for finding in stage.findings if finding.level == "reject"]


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: policy.id)
def test_the_library_is_not_rejected(policy, look):
    stage = look(policy.source)
    assert stage.ok and stage.name == "source" and not stage.findings, stage.evidence


@pytest.mark.parametrize(("name", "path"), RIGHT, ids=[name for name, _ in RIGHT])
def test_what_is_right_is_not_rejected(name, path, look):
    assert not rejections(look(path.read_text(), name)), name


@pytest.mark.parametrize("policy", WRONG, ids=lambda policy: policy.name)
def test_a_planted_bug_is_found_at_its_line(policy, look):
    stage = look(policy.path.read_text(), policy.path.name)
    first = next(finding for finding in stage.findings if finding.level == "suspicion")
    assert stage.ok and first.bug == policy.bug and policy.reason in first.reason and first.advice
    name, _, line = first.place.partition(":")
    assert name == policy.path.name and 0 < int(line) <= len(policy.path.read_text().splitlines())
    assert policy.path.read_text().splitlines()[int(line) - 1].strip() in stage.evidence


@pytest.mark.parametrize(
    "policy", [policy for policy in planted() if policy.stage != "source"], ids=lambda policy: policy.name
)
def test_what_other_stages_find_is_left_to_them(policy, look):
    assert not rejections(look(policy.path.read_text(), policy.path.name))


HARMFUL = {
    "sum": "int x = " + "1+" * 100_000 + "1;",
    "ifs": "void f(int a) {" + "if (a) " * 50_000 + ";}",
    "macros": "#define X0 int f(int);\n" + "\n".join(
        f"#define X{i} X{i - 1} X{i - 1} X{i - 1} X{i - 1}" for i in range(1, 20)) + "\nX19\n",
    "large": "/*" + "x" * (5 << 20) + "*/",
}  # fmt: skip


@pytest.mark.parametrize("source", HARMFUL.values(), ids=HARMFUL)
def test_what_makes_the_parser_crash_or_work_without_end_is_rejected_and_the_next_is_not(source, look):
    rejected = rejections(look(source))
    assert [finding.bug for finding in rejected] == ["compiler"]
    assert look("int x;\n").ok


@pytest.mark.parametrize(
    "source",
    ["", "\n\n", "int x = nowhere;", "int x;\0int y;", "int x; // \udc80", '#include "sx/sx.h"\nvoid SX_OP(a, ',
     "{" * 9000, "int x; " + " " * (1 << 20) + "int y;", "#include __FILE__\n", '??=include "/etc/passwd"\n'],
)  # fmt: skip
def test_what_does_not_compile_or_is_odd_is_left_to_build(source, look):
    stage = look(source)
    assert stage.ok and all(finding.level == "note" for finding in stage.findings)


def test_damaged_policies_give_an_answer(look):
    dice = random.Random(4)
    texts = [path.read_text() for _, path in RIGHT] + [policy.path.read_text() for policy in WRONG]
    for _ in range(60):
        text = dice.choice(texts)
        begin = dice.randrange(len(text))
        end = begin + dice.choice((1, 2, 9, 90, 900))
        put = dice.choice(("", "(", "}", "*", "\\", "\x7f", "0", "sx_insert(p, 0, 0, 0);", text[:300], "\ufeff\u00e9"))
        stage = look(text[:begin] + put + text[end:])
        assert stage.name == "source" and stage.seconds < 60


def test_a_line_directive_does_not_change_the_place(look):
    source = '#include "sx/sx.h"\n#line 900 "/etc/passwd"\nint f(void)\n{\n\tsx_create_dsq(1);\n\treturn 0;\n}\n'
    assert look(source).findings[0].place == "mine.bpf.c:5"


def test_without_a_launcher_a_note_says_that_nothing_confines_the_parser(vmlinux_dir):
    source = "int x;\n"
    stage = lint_source(source, name="a", flags=front_end_flags(source, vmlinux_dir=vmlinux_dir))
    assert [(finding.bug, finding.level) for finding in stage.findings] == [("confine", "note")]


def test_a_parser_that_is_lost_is_started_again(look):
    look("int x;\n")
    (kept,) = parser_process._KEPT.values()
    kept.process.kill()
    kept.process.wait()
    assert look("int x;\n").ok


def test_a_parser_that_does_not_start_or_answer_is_our_failure(vmlinux_dir):
    with pytest.raises(InfraError, match="does not start"):
        lint_source("int x;\n", name="a", flags=[], launcher=["/bin/false"])
    with pytest.raises(InfraError, match="cannot start the parser"):
        lint_source("int x;\n", name="a", flags=[], launcher=["/nowhere/python"])
    with pytest.raises(InfraError, match="gave no answer within 0 s"):
        lint_source("int x;\n", name="a", flags=front_end_flags("", vmlinux_dir=vmlinux_dir), timeout_s=0)


def test_what_is_missing_is_told_with_the_mending_command(monkeypatch):
    monkeypatch.setattr(parser_process, "MIN_LIBCLANG", 39)
    with pytest.raises(InfraError, match="libclang 39 or newer is not installed: run `make setup`"):
        parser_process.find_libclang()
    monkeypatch.setattr(parser_process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InfraError, match="bindings are not installed: run `make setup`"):
        parser_process.find_bindings()


@pytest.mark.parametrize(
    "answer",
    [{}, {"found": 3, "errors": []}, {"found": [["F01", "maybe", "", 1, ""]], "errors": []},
     {"found": [["F01"]], "errors": []}, {"failed": "KeyError()"}, {"ended": "otherwise"}],
)  # fmt: skip
def test_an_answer_of_another_form_is_our_failure(answer, monkeypatch):
    monkeypatch.setattr(lint, "ask_parser", lambda *_: answer)
    with pytest.raises(InfraError):
        lint_source("int x;\n", name="a", flags=[])


ENDS = [
    (-signal.SIGXCPU, ENDLESS_S, "cpu"), (-signal.SIGXCPU, ENDLESS_S - 0.1, "lost"), (-signal.SIGSEGV, 0.1, "crash"),
    (-signal.SIGABRT, 0.1, "crash"), (-signal.SIGKILL, ENDLESS_S, "lost"), (-signal.SIGTERM, 0.1, "lost"),
    (0, 0.1, "lost"), (1, ENDLESS_S, "lost"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "cpu_s", "how"), ENDS)
def test_only_counted_cpu_time_and_signals_of_its_own_are_the_sources_doing(status, cpu_s, how):
    assert how_it_ended(status, cpu_s)["ended"] == how


FINE = {"found": [], "errors": []}
SEGV, ABRT, LOST = ({"ended": how, "detail": detail} for how, detail in (
    ("crash", "SIGSEGV"), ("crash", "SIGABRT"), ("lost", "status -9")))  # fmt: skip
CPU, NESTING = {"ended": "cpu", "detail": "3.0 s"}, {"ended": "nesting"}


def lint_answered(monkeypatch, answers):
    """The stage when the parser gives these answers, and how many it gave."""
    left = list(answers)
    monkeypatch.setattr(lint, "ask_parser", lambda *_: left.pop(0))
    return lint_source("int x;\n", name="a", flags=[], launcher=["confined"]), len(answers) - len(left)


@pytest.mark.parametrize(
    ("answers", "ok"),
    [([FINE], True), ([CPU], False), ([NESTING], False), ([SEGV, SEGV], False), ([SEGV, FINE], True),
     ([LOST, FINE], True), ([LOST, CPU], False), ([SEGV, NESTING], False)],
)  # fmt: skip
def test_a_source_is_rejected_on_evidence_and_after_a_crash_only_if_it_crashes_again(answers, ok, monkeypatch):
    stage, asked = lint_answered(monkeypatch, answers)
    assert stage.ok is ok and asked == len(answers)
    assert [finding.bug for finding in rejections(stage)] == ([] if ok else ["compiler"])


@pytest.mark.parametrize("answers", [[LOST, LOST], [SEGV, ABRT], [SEGV, LOST], [LOST, SEGV]])
def test_a_parser_lost_for_no_known_reason_is_our_failure(answers, monkeypatch):
    with pytest.raises(InfraError, match="the parser was lost on 'a'"):
        lint_answered(monkeypatch, answers)


def test_a_child_killed_from_outside_says_nothing_of_the_source(look):
    look("int x;\n")
    (kept,) = parser_process._KEPT.values()
    children = Path(f"/proc/{kept.process.pid}/task/{kept.process.pid}/children")
    over = threading.Event()

    def kill_children():
        while not over.is_set():
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_children)
    killer.start()
    try:
        with pytest.raises(InfraError, match="the parser was lost"):
            look(HARMFUL["macros"])
    finally:
        over.set()
        killer.join()
    assert look("int x;\n").ok


@pytest.mark.parametrize("late", [1, 2])
def test_a_time_out_by_the_wall_clock_is_tried_once_more_and_then_ours(late, monkeypatch):
    class Parser:
        asked = 0

        def ask(self, request, timeout_s):
            Parser.asked += 1
            if Parser.asked <= late:
                raise parser_process.ParserTimeoutError("the parser gave no answer within 60 s")
            return b'{"found": [], "errors": []}\n'

    monkeypatch.setattr(parser_process, "_kept", lambda launcher: Parser())
    if late == 1:
        assert lint_source("int x;\n", name="a", flags=[], launcher=["confined"]).ok and Parser.asked == 2
    else:
        with pytest.raises(InfraError, match="gave no answer within 60 s"):
            lint_source("int x;\n", name="a", flags=[], launcher=["confined"])
        assert Parser.asked == 2


@pytest.mark.parametrize("spoil", ["removed", "empty", "half"])
def test_a_precompiled_header_that_another_process_removes_is_not_the_sources_fault(spoil, vmlinux_dir, tmp_path):
    source = policies()[0].source
    flags = front_end_flags(source, vmlinux_dir=vmlinux_dir)
    at, header = flags.index("-include-pch") + 1, tmp_path / "header.pch"
    if spoil != "removed":
        header.write_bytes(Path(flags[at]).read_bytes()[: 0 if spoil == "empty" else 1 << 20])
    flags[at] = str(header)
    stage = lint_source(source, name="a", flags=flags)
    assert [finding.bug for finding in stage.findings] == ["confine"], stage.evidence
