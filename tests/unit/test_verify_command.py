# SPDX-License-Identifier: Apache-2.0
"""What `schedcp verify` tells when something fails behind the verdict: the verdict, and what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract_cases import contract
from trial_cases import spec

from control_plane import verify as command
from control_plane.again import HINT, command_for, hint
from policy_lake.coverage import Coverage
from policy_lake.errors import InfraError, InputError, SchedcpError
from policy_lake.model import Finding
from tasks.tokens import issue
from tasks.tokens.issue import Answer
from tasks.tokens.work import Work
from tasks.trial.kept import object_path
from tasks.verify import Verified, VerifyOptions
from verifier_vm.judge.case import parse_case
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.request import Says
from verifier_vm.verdict import rejection_of, stage_of, verdict_of

STAGES = ("source", "build", "object", "kernel", "survive", "fair", "score")
REVOKED = TokenError("the object is revoked", Code.REVOKED)


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`schedcp verify` of a policy that is accepted unless `bad`, when signing ends so; status and what it printed."""

    def run(
        ending: Any,
        *,
        bad: bool = False,
        as_json: bool = False,
        warning: str = "",
        workload: str = "",
        machine: str = "",
        asked: list[tuple[Work, Says]] | None = None,
        **more: Any,
    ) -> tuple[int, str]:
        findings = [Finding("F01", "reject", "it stalled")] if bad else []
        verdict = verdict_of([stage_of("survive", 0.1, findings)], ops="mine", data=b"o", kernel="7",
                             coverage=Coverage("only a test says so"))  # fmt: skip
        done = Verified(verdict, "/* C */", b"o", warning=warning, machine=machine)

        def answer(*_: Any, on_stage: Any, on_done: Any, **__: Any) -> Verified:
            on_done("source", True)
            on_stage("boot")
            if isinstance(ending, KeyboardInterrupt):
                raise ending
            return done

        def ask(*given: Any, **heard: Any) -> Answer:
            if asked is not None:
                asked.append(given[-2:])
            if bad or more.get("only"):
                return Answer(answer(**heard))
            refused = ending if isinstance(ending, SchedcpError) else None
            return Answer(
                answer(**heard), None if refused or isinstance(ending, BaseException) else Path(ending), refused
            )

        monkeypatch.setattr(command, "verify", answer)
        monkeypatch.setattr(issue, "ask_verifier", ask)
        monkeypatch.setattr(issue, "check_key_store", lambda settings: None)
        status = command.verify_command(
            tmp_path / "mine.bpf.c", spec(tmp_path).settings, [], [], VerifyOptions(**more), workload,
            sets={}, linked=(), sources=False, as_json=as_json,
        )  # fmt: skip
        return status, capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("workload", "tier", "farthest"),
    [("", "short", "canary"), ("", "full", "canary"), ("schbench", "short", "canary"), ("schbench", "full", "fleet")],
)
def test_a_token_beyond_the_canary_is_asked_for_only_with_the_whole_suite_and_a_score(
    verify: Any, workload: str, tier: str, farthest: str
) -> None:
    asked: list[tuple[Work, Says]] = []
    verify("/t.dsse.json", workload=workload, tier=tier, asked=asked)
    [(work, says)] = asked
    assert (says.rollout_limit, says.at_most) == (farthest, True)
    assert bool(work.measure and work.measure.pairs) == (farthest == "fleet"), "no score, no stage beyond the canary"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(InfraError("/keys: No space\nleft"), 4, ""), (KeyFileError("/keys: No space left"), 4, ""),
     (InputError("/keys: No space left"), 4, ""), (REVOKED, 3, "revoked")],
)  # fmt: skip
def test_a_verdict_that_cannot_be_signed_is_told_with_the_reason(
    verify: Any, error: SchedcpError, status: int, code: str
) -> None:
    reason = " ".join(str(error).split())
    ended, text = verify(error)
    assert ended == status and text.splitlines()[-1] == f"token: none: {reason}" and "accepted: mine.bpf.c" in text
    ended, text = verify(error, as_json=True)
    printed = contract(text)
    assert ended == status and printed["accepted"] and printed["ops"] == "mine" and printed["token"] is None
    assert printed["no_token"] == {"reason": reason, "code": code}


@pytest.mark.parametrize("as_json", [False, True])
def test_a_verification_that_is_interrupted_says_what_had_ended(
    verify: Any, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    with pytest.raises(KeyboardInterrupt):
        verify(KeyboardInterrupt(), as_json=as_json)
    printed = capsys.readouterr()
    told, other = (printed.err, printed.out) if as_json else (printed.out, printed.err)
    assert "ok   source" in told and "not ended: starting a guest; no verdict, no token" in told
    assert "no verdict" not in other and "accepted" not in told


def test_where_there_is_a_token_or_none_was_to_be_there_is_no_reason(verify: Any) -> None:
    ended, text = verify("/tokens/t.dsse.json")
    assert ended == 0 and text.splitlines()[-1] == "token: /tokens/t.dsse.json"
    printed = contract(verify("/tokens/t.dsse.json", as_json=True)[1])
    assert (printed["token"], printed["no_token"]) == ("/tokens/t.dsse.json", None)
    ended, text = verify(REVOKED, bad=True)
    assert ended == 3 and "token" not in text and text.splitlines()[-1] == HINT
    ended, text = verify(REVOKED, only=parse_case("W1", "x"))
    assert ended == 0 and "no token: one situation alone" in text and "revoked" not in text


def test_a_machine_keeps_the_token_at_the_canary_and_that_is_said(verify: Any) -> None:
    told = "no token beyond the canary: its CPUs were taken for a machine (pi, 2 of 4 CPUs)"
    assert told in verify("/t.dsse.json", machine="pi, 2 of 4 CPUs")[1].replace("\n", " ")
    assert "taken for a machine" not in verify("/t.dsse.json")[1]
    assert "taken for a machine" not in verify(REVOKED, bad=True, machine="pi")[1], (
        "of a rejected one there is none anyway"
    )


def test_the_object_that_a_token_is_for_is_told_beside_it(verify: Any, tmp_path: Path) -> None:
    kept = object_path(contract(verify("/t.dsse.json", as_json=True)[1])["object_sha256"], spec(tmp_path).settings)
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert verify("/t.dsse.json")[1].splitlines()[-2:] == [f"object: {kept}", "token: /t.dsse.json"]


def test_how_to_see_a_failure_again_is_told_where_a_guest_showed_it(verify: Any) -> None:
    assert HINT not in verify(REVOKED, bad=True, only=parse_case("W1", "x"))[1], "that is what repeats it"
    assert HINT not in verify(REVOKED, bad=True, minimize=True)[1]
    stages = {name: hint(rejection_of(stage_of(name, 0.1, [Finding("F01", "reject", "x")]))) for name in STAGES}
    assert [name for name, told in stages.items() if told] == ["survive", "fair"] and not hint(None)


def test_the_command_for_a_situation_has_all_that_the_policy_was_given_with(tmp_path: Path) -> None:
    given = {"limit": "5", "ops.use": "two", "ops.flag": "SCX_OPS_A,SCX_OPS_B"}
    text = command_for(
        Path("my file.bpf.c"),
        "W1 seconds=1",
        include=[Path("inc")],
        linked=[Path("b.bpf.o")],
        knobs=["k=1"],
        sets=given,
        machine="flat",
    )
    assert text == (
        "schedcp verify 'my file.bpf.c' -I inc -l b.bpf.o --knob k=1 --set limit=5 --ops two --ops-flag SCX_OPS_A"
        " --ops-flag SCX_OPS_B --machine flat --only 'W1 seconds=1'"
    )


def test_why_nothing_was_to_be_signed_is_in_json_and_no_failure_to_sign(verify: Any) -> None:
    ended, text = verify(REVOKED, bad=True, as_json=True)
    printed = contract(text)
    assert ended == 3 and printed["no_token"]["code"] == "rejected"
    assert printed["rejection"]["reason"] in printed["no_token"]["reason"]
    assert printed["rejection"]["stage"] in printed["no_token"]["reason"]
    ended, text = verify(REVOKED, only=parse_case("W1", "x"), as_json=True)
    assert ended == 0 and contract(text)["no_token"]["code"] == "one_situation"


def test_a_page_that_cannot_be_written_is_a_warning_and_takes_neither_verdict_nor_token(
    verify: Any, tmp_path: Path
) -> None:
    (tmp_path / "plots").write_text("a file")
    ended, text = verify("/tokens/t", plots=tmp_path / "plots", warning="the clock")
    assert ended == 0 and "token: /tokens/t\n" in text and text.count("the clock") == 1
    assert text.splitlines()[-1].startswith("warning: --plots: ") and "coverage.html" in text
    printed = contract(verify("/tokens/t", plots=tmp_path / "plots", as_json=True)[1])
    assert printed["token"] == "/tokens/t" and "--plots" in printed["warnings"][0] and not printed["pictures"]
    ended, text = verify("/tokens/t", plots=tmp_path / "there")
    assert (tmp_path / "there" / "coverage.html").is_file() and "coverage: " in text and "warning" not in text
