# SPDX-License-Identifier: Apache-2.0
"""Tokens, object and plan of a rollout, held against each other before anything is started."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rollout_cases import P99, PLAN
from token_cases import expired, issue, payload, refusal, revoke

from control_plane.rollout import _spec, rollout_command
from policy_lake.errors import InputError
from policy_lake.rollout import End, RolloutDone, RolloutPlan, Step
from tasks.hosts.reach import Answer, UnreachableError
from tasks.rollout.fit import check_fit
from tasks.rollout.ready import SilentHostsError
from tasks.rollout.spec import RolloutSpec
from verifier_vm.tokens.errors import Code, TokenError

ONE, ALL = Step("one", "full"), Step("all", "full", "all")
PART = Step("part", "partial", cgroups=("work.slice",))
CANARY = RolloutPlan("canary", (Step("shadow", "shadow"), ONE), (P99,))


class Case:
    """A signer's directory, its tokens and the object that they are for."""

    def __init__(self, root: Path) -> None:
        self.root, self.keys = root, root / "keys"
        (root / "a.bpf.o").write_bytes(b"object")
        (root / "other.bpf.o").write_bytes(b"another")

    def token(self, name: str, **changes: Any) -> str:
        path = self.root / f"{name}.dsse.json"
        path.write_text(json.dumps(issue(self.keys, **changes)))
        return str(path)

    def spec(self, plan: RolloutPlan, *tokens: str, hosts: int = 3, **changes: Any) -> RolloutSpec:
        names = tuple(f"h-{number}" for number in range(hosts))
        made = RolloutSpec("r", plan, tokens, str(self.root / "a.bpf.o"), names, "ljf", trust=str(self.keys))
        return replace(made, **changes)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_token_that_is_for_object_and_plan_fits(case: Case) -> None:
    far = case.token("far", rollout_limit="fleet", tier="full")
    check_fit(case.spec(PLAN, far))
    check_fit(case.spec(CANARY, case.token("near")))
    check_fit(case.spec(replace(CANARY, steps=(ALL,)), case.token("alone", rollout_limit="fleet", tier="full")))


def test_another_object_and_a_token_that_is_revoked_or_not_logged_are_refused(case: Case, tmp_path: Path) -> None:
    token = case.token("a")
    with refusal(Code.OTHER_OBJECT):
        check_fit(case.spec(CANARY, token, object=str(case.root / "other.bpf.o")))
    issue(tmp_path / "stranger")
    with refusal(Code.OTHER_KEY):
        check_fit(case.spec(CANARY, token, trust=str(tmp_path / "stranger")))
    revoke(
        case.keys, "nonce", json.loads(payload(json.loads(Path(token).read_text())))["predicate"]["schedcp"]["nonce"]
    )
    with refusal(Code.REVOKED):
        check_fit(case.spec(CANARY, token))
    check_fit(case.spec(CANARY, token, trust=""))  # nobody here knows


@pytest.mark.parametrize("trust", [True, False])
def test_an_expired_token_is_refused_with_its_name_the_time_and_what_to_do(case: Case, trust: bool) -> None:
    good, old = case.token("good"), Path(case.token("old"))
    old.write_text(json.dumps(expired(case.keys, json.loads(old.read_text()))))
    spec = case.spec(replace(CANARY, steps=(PART, ONE)), good, str(old))
    with pytest.raises(TokenError) as caught:
        check_fit(spec if trust else replace(spec, trust=""))
    assert caught.value.code is Code.EXPIRED and caught.value.exit_status == 3
    words = (
        r".*/old\.dsse\.json: the token expired at 2\S+ \S+ UTC: verify 'ljf' again for a new one \(schedcp verify\)"
    )
    assert re.fullmatch(words, str(caught.value))


def test_the_same_token_twice_is_bad_input_whatever_it_is_called(case: Case) -> None:
    token = case.token("a")
    again = case.root / "b.dsse.json"
    again.write_bytes(Path(token).read_bytes() + b"\n")
    for second in (token, str(again)):
        with pytest.raises(InputError, match="named twice"):
            check_fit(case.spec(CANARY, token, second))


@pytest.mark.parametrize("steps", [(ONE, ALL), (ALL,), (Step("shadow", "shadow", "all"),)])
def test_a_token_for_the_canary_is_not_for_a_step_of_several_hosts(case: Case, steps: tuple[Step, ...]) -> None:
    with pytest.raises(TokenError, match=f"step '{steps[-1].name}' of the plan") as told:
        check_fit(case.spec(replace(CANARY, steps=steps), case.token("near")))
    assert told.value.code is Code.LATER_STAGE and "near.dsse.json" in str(told.value)


def test_each_attachment_is_held_against_the_token_that_it_uses_up(case: Case) -> None:
    near, far = case.token("near"), case.token("far", rollout_limit="fleet", tier="full")
    plan = replace(CANARY, steps=(PART, ALL))
    with pytest.raises(InputError, match="step 'all' of the plan needs token number 2 of 1"):
        check_fit(case.spec(plan, far))
    with refusal(Code.LATER_STAGE):  # the first host's second is far enough, the others' first is not
        check_fit(case.spec(plan, near, far))
    check_fit(case.spec(plan, far, case.token("further", rollout_limit="fleet", tier="full")))
    check_fit(case.spec(replace(plan, steps=(PART, ONE)), near, far))


def test_the_command_refuses_it_before_anything_is_started(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_plane.rollout.channel_of", lambda host, settings: None)
    (case.root / "plan.toml").write_text(
        'id = "p"\nwindow_s = 10\nsettle_s = 1\n[[steps]]\nname = "one"\nkind = "full"\n[[metrics]]\nname = "p99_us"\n'
    )
    token, settings = Path(case.token("a")), type("Here", (), {"key_dir": case.keys})
    given: dict[str, Any] = {"on_doubt": "ask", "seed": 0, "trust": None}
    _spec([token], case.root / "a.bpf.o", case.root / "plan.toml", ["h-1"], settings, **given)
    with refusal(Code.OTHER_OBJECT):
        _spec([token], case.root / "other.bpf.o", case.root / "plan.toml", ["h-1"], settings, **given)
    with pytest.raises(InputError, match=r"plan\.toml"):
        _spec([case.root / "plan.toml"], case.root / "a.bpf.o", case.root / "plan.toml", ["h-1"], settings, **given)


def test_a_silent_host_is_told_before_anything_is_started_and_may_be_left_out(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def channel_of(host: str, settings: Any) -> Any:
        def ask(request: str, **fields: Any) -> Answer:
            if host == "h-2":
                raise UnreachableError("host h-2: no answer within 20 s")
            return Answer(True, "", "", {})

        return host, ask

    for module in ("control_plane.rollout", "tasks.rollout.open"):
        monkeypatch.setattr(f"{module}.channel_of", channel_of)
    began: list[RolloutSpec] = []

    def run_rollout(spec: RolloutSpec) -> RolloutDone:
        began.append(spec)
        return RolloutDone(End.PROMOTED, ())

    monkeypatch.setattr("flows.local_rollout.run_rollout", run_rollout)
    (case.root / "plan.toml").write_text(
        'id = "p"\nwindow_s = 10\nsettle_s = 1\n[[steps]]\nname = "one"\nkind = "full"\n[[metrics]]\nname = "p99_us"\n'
    )
    settings: Any = type("Here", (), {"key_dir": case.keys})
    given: Any = ([Path(case.token("a"))], case.root / "a.bpf.o", case.root / "plan.toml", ["h-1", "h-2"], settings)
    options: Any = {"on_doubt": "stop", "seed": 0, "trust": None, "as_json": True}
    with pytest.raises(SilentHostsError, match=r"h-2: no answer within 20 s: nothing was attached; .* --without h-2"):
        rollout_command(*given, **options)
    assert not began
    assert rollout_command(*given, **options, without=["h-2"]) == 0
    assert (began[0].hosts, began[0].without) == (("h-1",), ("h-2",))
