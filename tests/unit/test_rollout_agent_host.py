# SPDX-License-Identifier: Apache-2.0
"""A host behind its agent: what is asked of it in each window, and what its answers come to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from rollout_cases import OPS, PLAN

from policy_lake.errors import InfraError
from policy_lake.rollout import Attached, Step
from tasks.rollout.agent_host import FEW_FACTOR, LEASE_S, MANY_READINGS, AgentHost, Order
from tasks.rollout.hosts import HostLostError, RefusedError, TakenBackError
from tasks.rollout.windows import unfit

FULL, PART = Step("one", "full"), Step("part", "partial", cgroups=("work.slice",))
SHORT = replace(PLAN, window_s=6.0, settle_s=2.0)


@dataclass
class FakeAgent:
    """An agent in this process: one attachment a token, a sample a second of a clock that waiting moves."""

    now: float = 0.0
    attached: str = ""
    paused: bool = False
    used: set = field(default_factory=set)
    seq: int = 0
    enabled: int = 0
    asked: list = field(default_factory=list)
    said: dict = field(default_factory=dict)  # request: (code, message), or an error to raise
    ejected: bool = False
    why: tuple = ("task_waits", "a task has waited for 6 s")
    asked_why: int = 0
    metrics: dict = field(default_factory=lambda: {"p99_us": 900.0, "requests": 5.0})
    _told: float = 0.0

    @dataclass
    class Answer:
        ok: bool
        code: str = ""
        message: str = ""
        fields: dict = field(default_factory=dict)

    def wait(self, seconds):
        self.now += seconds

    def __call__(self, request, *, timeout_s=10.0, **fields):
        self.asked.append((request, fields))
        told = self.said.get(request)
        if isinstance(told, Exception):
            raise told
        if told:
            return self.Answer(False, *told)
        return self.Answer(True, fields=getattr(self, f"on_{request}")(**fields))

    def on_attach(self, token, object, knobs, stage, mode="full", lease=0, cgroup="", p99_base_s=0, p99_metric=""):
        if mode == "shadow":
            return {"ops": OPS}
        assert token not in self.used and not self.attached and not self.paused
        self.used.add(token)
        self.attached, self.enabled = OPS, self.enabled + 1
        return {"ops": OPS}

    def on_pause(self):
        self.attached, self.paused = "", True
        return {}

    def on_unpause(self, p99_base_s=0, p99_metric=""):
        assert self.paused
        self.attached, self.paused, self.enabled = OPS, False, self.enabled + 1
        return {}

    def on_detach(self, reason):
        self.attached, self.paused = "", False
        return {"was_attached": True}

    def on_lease(self, lease, stage="canary"):
        assert self.attached
        return {"lease": lease, "stage": stage}

    def on_status(self):
        if self.attached and not self.ejected:
            return {"status": "running", "reason": "so it is", "ended": {"why": "", "reason": ""}}
        self.asked_why += 1
        why = self.why if self.asked_why > 2 else ("", "")  # a moment after the kernel has none of it any more
        return {"status": "managed-detached", "reason": "so it is", "ended": {"why": why[0], "reason": why[1]}}

    def on_feedback(self, since):
        seconds, self._told = int(self.now - self._told), self.now
        samples = []
        for _ in range(seconds):
            self.seq += 1
            state = "enabled" if self.attached and not self.ejected else "disabled"
            samples.append(
                {
                    "seq": self.seq,
                    "state": state,
                    "ops": self.attached,
                    "enable_seq": self.enabled,
                    "metrics": self.metrics,
                    "counters": {"nr_kicks": 100 + 3 * self.seq} if state == "enabled" else {},
                }
            )
        return {"samples": samples}


def a_host(agent, tokens=(b"one", b"two")) -> AgentHost:
    return AgentHost("a", agent, Order(tokens, b"\x7fELF", ("slice_us=3",)), agent.wait, lambda: agent.now)


def requests(agent) -> list[str]:
    return [name for name, _ in agent.asked if name not in ("status", "feedback")]


def test_it_is_attached_once_and_paused_and_resumed_in_turns():
    agent = FakeAgent()
    host = a_host(agent)
    assert host.try_out(FULL, SHORT) == OPS
    seen = [host.window(arm, block, FULL, SHORT) for block in range(2) for arm in ("policy", "baseline")]
    assert requests(agent) == ["attach", "attach", "pause", "unpause", "pause"] and len(agent.used) == 1
    assert [unfit(window, OPS, SHORT) for window in seen] == [None] * 4
    assert [window.begin.enabled for window in seen] == [True, False, True, False]
    assert seen[0].values == agent.metrics and seen[0].seconds == pytest.approx(4.0)
    assert host.try_out(FULL, SHORT) == OPS and len(agent.used) == 1, "a later step tries nothing anew"


def test_the_policy_s_own_counters_are_in_its_windows():
    agent = FakeAgent()
    host = a_host(agent)
    assert host.window("policy", 0, FULL, SHORT).counters == {"nr_kicks": 9}  # 4 samples, 3 between them
    assert host.window("baseline", 0, FULL, SHORT).counters == {}


def told_bases(agent) -> list:
    asked = [fields for name, fields in agent.asked if name in ("attach", "unpause") and fields.get("mode") != "shadow"]
    return [(fields.get("p99_base_s"), fields.get("p99_metric")) for fields in asked]


def test_the_agent_is_told_the_p99_that_the_host_had_without_the_policy():
    agent = FakeAgent()
    host = a_host(agent)
    host.try_out(FULL, SHORT)
    host.window("baseline", 0, FULL, SHORT)
    agent.metrics = {"p99_us": 90.0, "requests": 5.0}
    host.window("policy", 0, FULL, SHORT)  # what it is under the policy is no base
    host.window("policy", 1, FULL, SHORT)
    agent.metrics = {"p99_us": 2500.0, "requests": 5.0}
    host.window("baseline", 1, FULL, SHORT)
    host.window("policy", 2, FULL, SHORT)
    few = FEW_FACTOR
    assert told_bases(agent) == [(pytest.approx(few * 900e-6), "p99_us"), (pytest.approx(few * 2500e-6), "p99_us")]


def test_the_highest_of_many_readings_counts_as_it_is():
    agent = FakeAgent()
    host = a_host(agent)
    told = []
    for block in range(MANY_READINGS):
        agent.metrics = {"p99_us": 900.0 + block, "requests": 5.0}
        host.window("baseline", block, FULL, SHORT)
        host.window("policy", block, FULL, SHORT)
        told.append(told_bases(agent)[-1][0] / (900e-6 + block * 1e-6))
    assert told == pytest.approx([FEW_FACTOR] * (MANY_READINGS - 1) + [1.0])


def test_where_the_policy_comes_first_the_host_s_own_is_measured_before_once():
    agent = FakeAgent()
    host = a_host(agent)
    seen = host.window("policy", 0, FULL, SHORT)
    assert told_bases(agent) == [(pytest.approx(FEW_FACTOR * 900e-6), "p99_us")] and agent.now == 2 * SHORT.window_s
    assert unfit(seen, OPS, SHORT) is None
    host.window("policy", 1, FULL, SHORT)
    assert agent.now == 3 * SHORT.window_s


def test_a_control_s_windows_are_of_its_own_scheduler_and_a_plan_without_a_p99_tells_none():
    agent = FakeAgent()
    host = a_host(agent)
    host.window("policy", 0, FULL, SHORT, beside=True)
    host.window("policy", 1, FULL, SHORT)
    assert told_bases(agent) == [(pytest.approx(FEW_FACTOR * 900e-6), "p99_us")]
    agent = FakeAgent()
    a_host(agent).window("policy", 0, FULL, replace(SHORT, metrics=SHORT.metrics[1:]))
    assert told_bases(agent) == [(None, None)] and agent.now == SHORT.window_s


def test_a_later_step_of_more_hosts_goes_on_under_the_same_token_at_its_own_stage():
    agent = FakeAgent()
    host = a_host(agent)
    on_all = replace(FULL, name="all", hosts="all")
    for step in (FULL, on_all):
        for arm in ("baseline", "policy"):
            host.window(arm, 0, step, SHORT)
    host.keep(on_all)
    leases = [fields for name, fields in agent.asked if name == "lease"]
    assert leases == [{"lease": LEASE_S, "stage": "fleet"}, {"lease": 0}] and len(agent.used) == 1


def test_a_baseline_window_first_attaches_nothing():
    agent = FakeAgent()
    window = a_host(agent).window("baseline", 0, FULL, SHORT)
    assert requests(agent) == [] and unfit(window, OPS, SHORT) is None


def test_a_control_is_never_attached_to():
    agent = FakeAgent()
    window = a_host(agent).window("policy", 0, FULL, SHORT, beside=True)
    assert requests(agent) == [] and window.begin == Attached(False, "", 0)


def test_another_mode_takes_another_token_and_without_one_it_says_so():
    agent = FakeAgent()
    host = a_host(agent)
    host.window("policy", 0, PART, SHORT)
    host.window("policy", 0, FULL, SHORT)
    modes = [fields["mode"] for name, fields in agent.asked if name == "attach"]
    assert modes == ["partial", "full"] and len(agent.used) == 2
    with pytest.raises(RefusedError, match="number 3") as told:
        host.window("policy", 0, PART, SHORT)
    assert told.value.code == "no_token"


@pytest.mark.parametrize(("hosts", "stage"), [("one", "canary"), ("some", "host"), ("all", "fleet")])
def test_a_token_must_let_it_go_as_far_as_the_step(hosts, stage):
    agent = FakeAgent()
    a_host(agent).window("policy", 0, replace(FULL, hosts=hosts), SHORT)
    assert next(fields for name, fields in agent.asked if name == "attach")["stage"] == stage


def test_kept_means_without_a_lease():
    agent = FakeAgent()
    host = a_host(agent)
    host.window("baseline", 0, FULL, SHORT)
    host.keep(FULL)
    assert agent.attached == OPS and agent.asked[-1] == ("lease", {"lease": 0})


def test_somebody_is_heard_at_least_every_second_or_two():
    agent = FakeAgent()
    a_host(agent).window("policy", 0, FULL, replace(SHORT, window_s=60.0, settle_s=20.0))
    assert len(agent.asked) >= 60


def test_a_policy_that_the_host_took_back_is_no_window():
    agent = FakeAgent()
    host = a_host(agent)
    host.window("policy", 0, FULL, SHORT)
    agent.ejected = True
    with pytest.raises(TakenBackError) as told:
        host.window("policy", 1, FULL, SHORT)
    assert (told.value.host, told.value.code, str(told.value)) == ("a", "task_waits", "a task has waited for 6 s")


def test_one_that_never_says_why_is_told_by_its_state():
    agent = FakeAgent()
    host = a_host(agent)
    host.window("policy", 0, FULL, SHORT)
    agent.ejected, agent.why = True, ("", "")
    with pytest.raises(TakenBackError) as told:
        host.window("policy", 1, FULL, SHORT)
    assert (told.value.code, str(told.value)) == ("managed-detached", "so it is")


def test_a_metric_that_the_host_does_not_measure_is_refused_before_anything_is_attached_and_says_what_there_is():
    agent = FakeAgent()
    agent.metrics = {"rps": 3.0, "other": 1.0}
    plan = replace(SHORT, metrics=(replace(SHORT.metrics[0], name="p99_s"),))
    with pytest.raises(RefusedError, match=r"no metric p99_s within .* what it measures: other, rps") as told:
        a_host(agent).try_out(FULL, plan)
    assert told.value.code == "no_metric" and not requests(agent)


def test_a_metric_that_comes_late_is_waited_for():
    agent = FakeAgent()
    agent.metrics, measured = {}, dict(agent.metrics)
    host = a_host(agent)
    host.wait = lambda seconds: (agent.wait(seconds), setattr(agent, "metrics", measured))
    assert host.try_out(FULL, SHORT) == OPS


@pytest.mark.parametrize(
    ("request_name", "code", "kind"),
    [
        ("attach", "expired", RefusedError), ("attach", "breaker", RefusedError),
        ("pause", "not_attached", TakenBackError),
        ("unpause", "breaker", TakenBackError), ("unpause", "not_paused", TakenBackError),
        ("unpause", "stopped", TakenBackError),
        ("unpause", "revoked", RefusedError), ("feedback", "busy", RefusedError),
    ],
)  # fmt: skip
def test_each_refusal_has_its_kind(request_name, code, kind):
    agent = FakeAgent(said={request_name: (code, "no")}, why=("", ""))
    host = a_host(agent)
    with pytest.raises(kind) as told:
        for block in range(2):
            host.window("policy", block, FULL, SHORT)
            host.window("baseline", block, FULL, SHORT)
    assert told.value.code == code


def test_a_host_that_does_not_answer_is_lost():
    agent = FakeAgent(said={"feedback": InfraError("cannot be reached")})
    with pytest.raises(HostLostError, match="cannot be reached"):
        a_host(agent).window("policy", 0, FULL, SHORT)


@pytest.mark.parametrize(
    "samples", [None, "x", [1], [{"seq": "1"}], [{"seq": True}], [{"seq": 0}], [{"seq": 2}, {"seq": 2}]]
)
def test_samples_that_are_none_are_not_believed(samples):
    agent = FakeAgent()
    agent.on_feedback = lambda since: {"samples": samples}
    with pytest.raises(HostLostError) as told:
        a_host(agent).window("baseline", 0, FULL, SHORT)
    assert told.value.code == "bad_answer"


def test_a_window_without_a_sample_counts_for_nothing():
    agent = FakeAgent()
    agent.on_feedback = lambda since: {"samples": []}
    window = a_host(agent).window("policy", 0, FULL, SHORT)
    assert unfit(window, OPS, SHORT) is not None


@pytest.mark.parametrize("value", [float("nan"), "7", None, [1]])
def test_what_is_no_number_is_no_metric(value):
    agent = FakeAgent(metrics={"p99_us": 900.0, "odd": value})
    assert a_host(agent).window("baseline", 0, FULL, SHORT).values == {"p99_us": 900.0}


def test_a_host_is_told_of_log_and_revocations_before_it_is_asked_to_take_a_token():
    agent = FakeAgent()
    agent.on_trust = lambda **given: {"revocations": 1}
    told = {"log": "bG9n", "head": {"a": 1}, "revocations": {"b": 2}}
    host = a_host(agent)
    host.order = replace(host.order, trust=told)
    host.try_out(FULL, SHORT)
    asked = [one for one in agent.asked if one[0] not in ("feedback", "status")]
    assert asked[0] == ("trust", told) and asked[1][0] == "attach"


def test_a_host_that_was_never_reached_is_not_told_as_one_with_a_policy():
    agent = FakeAgent(said={"feedback": InfraError("host a: cannot be reached"), "detach": InfraError("gone")})
    host = a_host(agent)
    with pytest.raises(HostLostError):
        host.try_out(FULL, SHORT)
    host.take_back()
    assert "detach" not in [request for request, _ in agent.asked]


@pytest.mark.parametrize(
    ("lost", "words"), [("attach", "goes with its lease"), ("lease", "it stays there: on the host, touch")]
)
def test_what_may_be_there_is_told_with_what_becomes_of_it(lost, words):
    agent = FakeAgent()
    host = a_host(agent)
    agent.said = {lost: InfraError("gone"), "detach": InfraError("gone")}
    with pytest.raises(HostLostError):
        host.keep(FULL)
    with pytest.raises(HostLostError, match=words) as told:
        host.take_back()
    assert told.value.host == "a" and told.value.code == "silent"
    agent.said = {}
    host.take_back()
    assert not agent.attached
