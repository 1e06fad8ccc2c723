# SPDX-License-Identifier: Apache-2.0
"""A rollout over hosts: each way to its end, and that it leaves the policy nowhere but where it was promoted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rollout_cases import PLAN, STEPS, FakeHost, run_here

from policy_lake.rollout import Decision, End, Why
from tasks.rollout.drive import Rollout
from tasks.rollout.hosts import HostError, HostLostError, RefusedError, TakenBackError, hosts_of

KINDS = {RefusedError: End.REFUSED, TakenBackError: End.ROLLED_BACK, HostLostError: End.LOST}


def three(**bad) -> list[FakeHost]:
    """Three hosts, of which the first is otherwise."""
    return [FakeHost("a", **bad), FakeHost("b"), FakeHost("c")]


def never(question):
    raise AssertionError(f"asked: {question}")


def rolled(hosts, plan=PLAN, ask=never):
    told = []
    done = run_here(Rollout(plan, hosts, lambda *what: told.append(what)), ask)
    return done, told


def test_a_good_policy_is_promoted_from_host_to_host_and_stays_on_all():
    hosts = three()
    done, told = rolled(hosts)
    assert (done.end, done.at, done.host) == (End.PROMOTED, "all", "")
    assert [(one.step, one.hosts) for one in done.steps] == [
        ("shadow", ("a",)), ("one", ("a",)), ("some", ("a", "b")), ("all", ("a", "b", "c")),
    ]  # fmt: skip
    assert [host.attached for host in hosts] == ["candidate"] * 3
    assert all(host.log[-1] == "keep" for host in hosts)
    assert {step.name for step, _, _ in told} == {"one", "some", "all"}
    first = next(seen for _, seen, _ in told)
    assert [window.arm for window in first] in (["policy", "baseline"], ["baseline", "policy"])


def test_a_policy_that_is_bad_for_the_first_host_never_reaches_a_second():
    hosts = three(p99=2.0)
    done, _ = rolled(hosts)
    assert (done.end, done.at) == (End.ROLLED_BACK, "one")
    judgement = done.steps[-1].judgement
    assert judgement and (judgement.decision, judgement.why) == (Decision.ROLL_BACK, Why.HARM)
    assert not any(
        "policy" in entry or entry.startswith(("try", "keep"))
        for host in hosts[1:]
        for entry in host.log
        if host.attached
    )
    assert all(host.seq == 0 for host in hosts[1:]), "the policy was attached there"
    assert not any(host.attached for host in hosts) and hosts[0].log[-1] == "take back"


def test_one_that_is_bad_on_a_later_host_alone_leaves_all_of_them():
    hosts = [FakeHost("a"), FakeHost("b", p99=3.0), FakeHost("c")]
    done, _ = rolled(hosts)
    assert done.end is not End.PROMOTED and done.at == "some"
    assert not any(host.attached for host in hosts) and hosts[2].seq == 0


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("at", ["try_out", 1, 8, "keep"])
def test_whatever_a_host_says_ends_it_everywhere(kind, at):
    error = kind("it says no", host="b", code="expired")
    hosts = [FakeHost("a"), FakeHost("b", fails=(at, error)), FakeHost("c")]
    plan = replace(PLAN, steps=tuple(replace(step, hosts="all") for step in STEPS))
    done, _ = rolled(hosts, plan)
    assert (done.end, done.host, done.why) == (KINDS[kind], "b", "expired: it says no")
    assert not any(host.attached for host in hosts if host.name != "b")
    assert all(host.log[-1] == "take back" for host in hosts)


def test_a_host_that_cannot_be_reached_keeps_nobody_from_being_taken_back():
    lost = HostLostError("no answer", host="a", code="silent")
    hosts = [FakeHost("a", p99=2.0, fails=("take_back", lost)), FakeHost("b"), FakeHost("c")]
    plan = replace(PLAN, steps=tuple(replace(step, hosts="all") for step in STEPS))
    rolled(hosts, plan)
    assert [host.attached for host in hosts[1:]] == ["", ""]


def test_what_is_no_word_of_a_host_is_no_end_and_takes_it_back_all_the_same():
    hosts = three()
    with pytest.raises(KeyboardInterrupt):
        run_here(Rollout(PLAN, hosts, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)), never)
    assert not any(host.attached for host in hosts) and hosts[0].log[-1] == "take back"


def test_who_doubts_is_asked_and_may_go_on_measure_again_or_stop():
    answers = iter(["again", "go on", "stop"])
    hosts = three(noise=1.5)
    asked = []

    def ask(question):
        asked.append((question.step.name, question.judgement.why, hosts[0].attached))
        return next(answers)

    done, _ = rolled(hosts, ask=ask)
    assert (done.end, done.at) == (End.STOPPED, "some")
    assert [name for name, *_ in asked] == ["one", "one", "some"]
    assert {why for _, why, _ in asked} <= {Why.WINDOWS, Why.BEYOND} and not any(on for *_, on in asked), (
        "held on EEVDF"
    )


def test_a_step_that_pauses_asks_before_anything_is_attached():
    steps = (replace(STEPS[0], pause=True), *STEPS[1:])
    hosts = three()
    done, _ = rolled(hosts, replace(PLAN, steps=steps), lambda question: "stop")
    assert (done.end, done.at, done.steps) == (End.STOPPED, "shadow", ()) and not any(host.log for host in hosts)


def test_some_are_two_at_least_and_not_all_where_there_are_three():
    many = [FakeHost(str(number)) for number in range(10)]
    some = replace(STEPS[2], hosts="some")
    assert [len(hosts_of(some, many[:count], PLAN)) for count in (1, 2, 3, 10)] == [1, 2, 2, 4]
    assert len(hosts_of(replace(some, hosts="all"), many, PLAN)) == 10


def test_the_errors_say_which_host_and_why():
    assert issubclass(RefusedError, HostError) and RefusedError("x", host="a", code="b").code == "b"


@pytest.mark.parametrize("steps", [STEPS[:1], STEPS[:2]])
def test_a_plan_that_ends_with_a_canary_leaves_the_policy_nowhere(steps):
    hosts = three()
    done, _ = rolled(hosts, replace(PLAN, steps=steps))
    assert done.end is End.PROMOTED and not any(host.attached for host in hosts)
    assert not any("keep" in host.log for host in hosts) and all(host.seq == 0 for host in hosts[1:])


def test_it_stays_where_the_last_step_was_and_nowhere_else():
    hosts = three()
    done, _ = rolled(hosts, replace(PLAN, steps=STEPS[:3]))
    assert done.end is End.PROMOTED and [host.attached for host in hosts] == ["candidate", "candidate", ""]
    assert hosts[2].seq == 0
