# SPDX-License-Identifier: Apache-2.0
"""Hosts asked before a rollout begins: who is silent is named, who may take nothing is refused, within one limit."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from control_plane.rollout import _left_in
from policy_lake.errors import InputError
from policy_lake.policy_key import object_of, policy_key
from tasks.hosts.reach import Answer, UnreachableError
from tasks.rollout import ready
from tasks.rollout.ready import AGAIN_S, READY_S, Patient, SilentHostsError, UnfitHostsError, check_ready

KEY = policy_key("a" * 64, ("slice_us=5",))


def host(name: str, **status: Any) -> ready.Named:
    return name, lambda request, **fields: Answer(True, "", "", {"forbidden": "", "breakers": {}, **status})


def silent(name: str) -> ready.Named:
    def ask(request: str, **fields: Any) -> Answer:
        assert (request, fields) == ("status", {"timeout_s": READY_S})
        raise UnreachableError(f"host {name}: cannot be reached (Connection refused)")

    return name, ask


def test_who_answers_and_forbids_nothing_is_ready() -> None:
    check_ready([host("a"), host("b", breakers={KEY: "open", "b" * 64: "quarantined"})], KEY)
    check_ready([host("a", breakers=7)], KEY)


def test_every_silent_host_is_named_with_what_to_type() -> None:
    refusing = ("d", lambda request, **fields: Answer(False, "not_allowed", "not you", {}))
    with pytest.raises(SilentHostsError) as told:
        check_ready([silent("b"), host("a"), silent("c"), refusing], KEY)
    said = str(told.value)
    assert "host b: cannot be reached" in said and "host d: not_allowed: not you" in said and "host a" not in said
    assert said.endswith("to go on without: --without b --without c --without d") and told.value.exit_status == 4


def test_all_are_asked_at_once_and_one_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "READY_S", 0.2)
    over = threading.Event()

    def hangs(request: str, **fields: Any) -> Answer:
        over.wait(20)
        raise UnreachableError("late")

    began = time.monotonic()
    with pytest.raises(SilentHostsError) as told:
        check_ready([(f"h-{number}", hangs) for number in range(8)], KEY)
    over.set()
    assert time.monotonic() - began < 5 and str(told.value).count("no answer within 0 s") == 8


def test_a_kill_switch_is_told_before_anything_is_started() -> None:
    with pytest.raises(UnfitHostsError, match=r"host b: nothing may be attached there: /etc/schedcp/stop") as told:
        check_ready([host("a"), host("b", forbidden="/etc/schedcp/stop is there")], KEY)
    assert told.value.exit_status == 3


@pytest.mark.parametrize("kept", [KEY, object_of(KEY)])
def test_a_quarantine_holds_for_its_host_s_class_and_no_other(kept: str) -> None:
    bad = host("a", breakers={kept: "quarantined"}, host_class="web")
    web, db = host("b", host_class="web"), host("c", host_class="db")
    with pytest.raises(UnfitHostsError, match=r"host a has .* the class 'web'.*--without a --without b$"):
        check_ready([bad, web, db], KEY)
    with pytest.raises(UnfitHostsError, match=r"leave out: --without b$"):
        check_ready([web, db], KEY, without=[bad])
    check_ready([db], KEY, without=[bad, web, silent("d")])
    if kept == KEY:
        check_ready([bad, web, db], policy_key("a" * 64, ("slice_us=6",)))


def test_hosts_of_no_class_are_each_for_itself() -> None:
    bad = host("a", breakers={KEY: "quarantined"}, host_class="")
    with pytest.raises(UnfitHostsError, match=r"leave out: --without a$"):
        check_ready([bad, host("b", host_class="")], KEY)
    check_ready([host("b", host_class="")], KEY, without=[bad])


def test_a_key_is_of_the_knobs_in_any_order_and_form() -> None:
    same = [("a=1", "b=0x10,2"), ("b=16,2", "a=1"), ("b=+16,0x2", "a=0x1")]
    assert len({policy_key("a" * 64, words) for words in same}) == 1
    others = [("a=1",), ("a=1", "b=16"), ("a=1", "b=2,16"), ("b=1", "a=16,2"), ("a=1 b=16,2",), ("a", "b"), ("ab",)]
    assert len({policy_key("a" * 64, words) for words in [*others, same[0]]}) == len(others) + 1
    assert policy_key("a" * 64, ()) != policy_key("b" * 64, ()) and object_of(KEY) == object_of("a" * 64) == "a" * 64


def test_who_was_silent_once_is_waited_for_a_moment_until_it_answers() -> None:
    seen: list[float | None] = []
    fails = [False, True, True, False, False]

    def ask(request: str, *, timeout_s: float | None = None, **fields: Any) -> Answer:
        seen.append(timeout_s)
        if fails[len(seen) - 1]:
            raise UnreachableError("gone")
        return Answer(True, "", "", fields)

    patient = Patient(ask)
    for failing in fails:
        if failing:
            with pytest.raises(UnreachableError):
                patient("status")
        else:
            assert patient("status", since=3).fields == {"since": 3}
    assert seen == [None, None, AGAIN_S, AGAIN_S, None]
    fails[:] = [False] * 5 + [True, False]
    with pytest.raises(UnreachableError):
        patient("detach", timeout_s=60.0)
    patient("detach", timeout_s=60.0)
    assert seen[5:] == [60.0, 60.0]


def test_who_is_left_out_is_one_of_the_hosts_by_name_or_by_the_whole_word() -> None:
    hosts = ["fleet-1", "web-1@10.0.0.7:7373", "fleet-2"]
    assert _left_in(hosts, []) == hosts
    assert _left_in(hosts, ["web-1", "fleet-1"]) == _left_in(hosts, [hosts[1], "fleet-1"]) == ["fleet-2"]
    with pytest.raises(InputError, match="--without fleet-3: it is none of the hosts"):
        _left_in(hosts, ["fleet-3"])
    with pytest.raises(InputError, match="no host is left"):
        _left_in(hosts, ["fleet-1", "fleet-2", "web-1"])
