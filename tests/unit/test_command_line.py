# SPDX-License-Identifier: Apache-2.0
"""What the command line makes of its words before any work is begun."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from flow_cases import score
from trial_cases import guest_in, spec

from benchmarks.workloads import outside
from bpf.build import PolicyObject
from control_plane import cli, ending
from control_plane.options import chosen
from policy_lake.errors import SETUP, InputError
from policy_lake.lake import Lake
from policy_lake.limits import most_pairs
from tasks import score as scoring
from tasks.host.settings import load_settings
from tasks.run.spec import define_run
from tasks.score import AGAINST_ITSELF, ScoreRequest
from tasks.trial import given
from tasks.trial.spec import Trial
from tasks.trial.static import Checked
from verifier_vm.verdict import verdict_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def asked(monkeypatch):
    """The requests of `score` that got as far as being measured."""
    requests = []
    monkeypatch.setattr("control_plane.score.score_command", lambda request, *_, **__: requests.append(request) or 0)
    monkeypatch.setattr(sys, "argv", ["schedcp", "score", "fifo", "-w", "batch"])
    return requests


def test_score_takes_the_files_that_verify_takes(asked):
    sys.argv[2] = "a/mine.bpf.o"
    sys.argv += ["-l", "x.bpf.c", "-l", "y.bpf.o", "-I", "h", "--set", "n=1"]
    sys.argv += ["--ops", "mine", "--ops-flag", "SCX_OPS_A"]
    cli.main()
    (request,) = asked
    assert (request.policy, request.linked) == ("a/mine.bpf.o", (Path("x.bpf.c"), Path("y.bpf.o")))
    assert request.include_dirs == (Path("h"),)
    assert request.sets == {"n": "1", "ops.use": "mine", "ops.flag": "SCX_OPS_A"}


@pytest.mark.parametrize("by", ["option", "environment"])
def test_in_tier_smoke_no_more_pairs_than_were_asked_for(asked, monkeypatch, by):
    if by == "option":
        sys.argv += ["--tier", "smoke"]
    else:
        monkeypatch.setenv("SCHEDCP_TIER", "smoke")
    cli.main()
    assert [(request.pairs, request.most_pairs) for request in asked] == [(5, 5)]


def test_in_another_tier_more_where_they_settle_it(asked, monkeypatch):
    monkeypatch.setenv("SCHEDCP_TIER", "smoke")
    sys.argv += ["--tier", "standard"]
    cli.main()
    assert asked[0].most_pairs == most_pairs(5)


@pytest.mark.parametrize(
    ("words", "as_json"),
    [(["--json"], True), ([], False), (["--", "x", "--json"], False), (["--json", "--", "x"], True)],
)
def test_words_behind_two_dashes_are_the_recorded_command_s(monkeypatch, capsys, words, as_json):
    monkeypatch.setattr(sys, "argv", ["schedcp", "record", "-o", "f", *words])
    with pytest.raises(SystemExit):
        ending._fail("it failed", 2)
    out, err = capsys.readouterr()
    assert err == "schedcp: it failed\n"
    assert (json.loads(out)["error"] == "it failed") if as_json else out == ""


@pytest.mark.parametrize(("control", "knobs", "remark"), [("fifo", {}, True), ("fifo", {"slice_ns": 5_000_000}, False)])
def test_a_policy_that_is_its_own_control_is_remarked_upon(tmp_path, monkeypatch, control, knobs, remark):
    def measured(_, asked, *__, **___):
        return Trial(asked.candidate, verdict_of(()), score(asked.candidate))

    monkeypatch.setattr(scoring, "run_here", measured)
    monkeypatch.setattr(scoring, "floor_for", lambda *_: None)
    monkeypatch.setattr(scoring, "prepare_guest", lambda *_: guest_in(tmp_path))
    monkeypatch.setattr(given, "check_parts", lambda *_, **__: Checked((), PolicyObject(b"object", "", 0.1, True)))
    settings = spec(tmp_path).settings
    request = ScoreRequest("fifo", "batch", knobs=knobs, control=control)
    trial = scoring.score(request, settings, Lake(tmp_path / "lake")).trial
    assert (AGAINST_ITSELF in trial.warning) == remark


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        ("tcg", "'{work}' has no number under tcg in tier 'smoke': give work in work.all, or in work.tcg"),
        ("kvm", "'{work}' has no number under kvm in tier 'smoke': give work in work.all, or in work.kvm"),
    ],
)
def test_a_placeholder_without_a_number_says_where_to_give_one(tmp_path, taken, words):
    text = (ROOT / "benchmarks/workloads/wakeup.toml").read_text().replace('id = "wakeup"', 'id = "mine"')
    path = tmp_path / "mine.toml"
    path.write_text(re.sub(rf"\[work\.{taken}\]\nwork = \d+\n", "", text))
    with pytest.raises(InputError, match=re.escape(words)):
        outside(path)


@pytest.mark.parametrize(
    ("lost", "ends"),
    [([], (130, "interrupted; what it had started is ended")), (["the server ended"], (4, "the server ended"))],
)
def test_what_a_run_cannot_do_without_is_no_interrupt_of_the_user_s(monkeypatch, lost, ends):
    told = []
    monkeypatch.setattr("tasks.fleet.lost._reasons", lost)

    def end(*how):
        told.append(how)
        raise SystemExit

    monkeypatch.setattr(ending, "_end", end)
    monkeypatch.setattr(ending, "guard_streams", lambda: None)

    def interrupted(**_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        ending.run(interrupted, "schedcp")
    assert told == [ends]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lake", "search", "\udcff"], "TEXT"),
        (["lake", "show", "\udcff", "--json"], "ID"),
        (["token", "revoke", "a" * 32, "--reason", "\udcff"], "--reason"),
        (["score", "fifo", "-w", "batch", "--knob", "a=\udcff"], "--knob"),
        (["verify", "x.bpf.c", "--ops", "\udcff"], "--ops"),
        (["workloads", "show", "no/\udcff.toml"], "WORKLOAD"),
    ],
)
def test_text_that_is_not_utf_8_is_told_at_once(monkeypatch, capsys, words, told):
    monkeypatch.setattr(sys, "argv", ["schedcp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert re.fullmatch(rf"schedcp: {told} '.*\\udcff.*': not UTF-8\n", captured.err)
    assert ("--json" in words) == bool(captured.out)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["token", "show", ""], "FILE"),
        (["fidelity", ""], "FILE"),
        (["verify", "x.bpf.c", "-I", "include", "-I", ""], "-I"),
        (["score", "fifo", "-w", "batch", "--plots="], "--plots"),
        (["tune", "batch", "--schbench", ""], "--schbench"),
        (["record", "-o", "", "--", "true", ""], "-o"),
    ],
)
def test_an_empty_path_is_not_the_directory(monkeypatch, capsys, words, told):
    monkeypatch.setattr(sys, "argv", ["schedcp", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (2, f"schedcp: {told} '': the path is empty\n")


def test_a_path_has_whatever_bytes_its_file_has(monkeypatch, capsys, tmp_path):
    path = tmp_path / "\udcff.toml"
    text = (ROOT / "benchmarks/workloads/batch.toml").read_text()
    path.write_text(text.replace('id = "batch"', 'id = "mine"'))
    monkeypatch.setattr(sys, "argv", ["schedcp", "workloads", "show", str(path)])
    cli.main()
    assert r"\udcff.toml" in capsys.readouterr().out
    with pytest.raises(InputError, match="its path is not UTF-8"):
        define_run(str(path), load_settings(data_dir=tmp_path / "data"))
    (tmp_path / "\udcfe").mkdir()
    monkeypatch.chdir(tmp_path / "\udcfe")
    with pytest.raises(InputError, match="the current directory's path is not UTF-8"):
        define_run("batch", load_settings(data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_library_that_cannot_be_loaded_is_one_line(monkeypatch, capsys):
    def broken(**_):
        raise ImportError("/x/_a.so: undefined symbol: PyX", name="a.b")

    monkeypatch.setattr("control_plane.lake.policies_command", broken)
    monkeypatch.setattr(sys, "argv", ["schedcp", "policies"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    told = f"schedcp: a cannot be loaded (/x/_a.so: undefined symbol: PyX): run `{SETUP}`\n"
    assert capsys.readouterr().err == told


def test_an_empty_machine_is_no_machine_by_mistake():
    with pytest.raises(InputError, match="--machine: an empty name"):
        chosen(machine="")
    assert chosen(machine=None).machine == ""
