# SPDX-License-Identifier: Apache-2.0
"""Steps of a score, and what is made of the events of a guest in which all went well."""

import json
from dataclasses import replace

import pytest
from score_runs import BATCH, PAIRS, changed, event_of, honest, out, read, steps_of

from benchmarks.rounds import Rounds
from benchmarks.scoring import pair_seed, score_steps
from policy_lake.errors import InfraError, InputError
from policy_lake.model import from_json, to_json
from policy_lake.scores import Score


def test_steps_warm_up_then_take_turns_with_one_seed_a_pair():
    steps = steps_of(seed=7, arguments=("slice_ns=5", "long=a,b"))
    order = ["warm-up", "baseline-0", "policy-0", "policy-1", "baseline-1", "baseline-2", "policy-2"]
    order += ["policy-3", "baseline-3", "baseline-4", "policy-4"]
    runs = [step for step in steps if step.verb == "run"]
    assert [step.label for step in runs] == order
    seeds = {step.label: step.args[step.args.index("--seed") + 1] for step in runs}
    assert all(seeds[f"baseline-{pair}"] == seeds[f"policy-{pair}"] == str(pair_seed(7, pair)) for pair in range(5))
    assert len(set(seeds.values())) == 5 and pair_seed(7, 99) < pair_seed(8, 0)
    for index, step in enumerate(steps):
        around = (steps[index - 1].verb, steps[(index + 1) % len(steps)].verb)
        assert (around == ("attach", "detach")) == step.label.startswith("policy")
        if step.verb == "attach":
            assert step.args == ("p.bpf.o", "slice_ns=5", "long=a,b")
        if step.verb == "run":
            assert step.timeout_s == BATCH.timeout_s


@pytest.mark.parametrize("pairs", [-1, 0, 101])
def test_too_few_or_too_many_pairs(pairs):
    with pytest.raises(InputError, match="pairs in a guest"):
        Rounds(pairs)


def test_an_a_a_run_attaches_nothing_and_a_baseline_is_asked_of_both_sides():
    steps = score_steps(BATCH, Rounds(PAIRS, attached=False), seed=1, accel="tcg", policy=None)
    assert {step.verb for step in steps} == {"run"} and len(steps) == 1 + 2 * PAIRS
    events = [event_of(step, 0) for step in steps]
    score = read(events, rounds=Rounds(PAIRS, attached=False), policy="eevdf")
    assert [(pair.baseline, pair.policy) for pair in score.pairs] == [(2000.0, 1600.0)] * PAIRS
    events = changed("policy-1", "sched.before.state", "enabled", events)
    with pytest.raises(InfraError, match="no baseline"):
        read(events, rounds=Rounds(PAIRS, attached=False))


def test_a_control_takes_turns_and_is_compared_in_the_same_rounds():
    rounds = Rounds(PAIRS, control=True)
    runs = [step.label for step in steps_of(rounds=rounds) if step.verb == "run"]
    assert runs[1:7] == ["baseline-0", "policy-0", "control-0", "policy-1", "control-1", "baseline-1"]
    score = read(honest(rounds=rounds), rounds=rounds, control="vtime")
    assert (score.control.policy, score.control.median, score.control.outcome) == ("vtime", 1800.0, "win")
    assert score.control.ratio.median == pytest.approx(1800 / 1600)
    assert read(honest()).control is None


def test_a_control_that_fails_says_nothing_of_the_policy():
    rounds = Rounds(PAIRS, control=True)
    events = changed("control-1", "exit", 1, honest(rounds=rounds))
    with pytest.raises(InfraError, match="the control failed"):
        read(events, rounds=rounds)


def test_later_rounds_have_seeds_of_their_own():
    first, later = (steps_of(rounds=Rounds(2, first=first)) for first in (0, 2))
    assert not {step.args for step in first if step.verb == "run"} & {step.args for step in later if step.verb == "run"}


def test_the_anytime_valid_interval_decides_and_not_the_narrower_one():
    noisy = honest()
    for pair, takes in enumerate((1500.0, 1900.0, 1700.0, 1650.0, 1850.0)):
        noisy = changed(f"policy-{pair}", "out", out(takes), noisy)
    score = read(noisy)
    assert score.ratio.ci95[0] > 1 > score.anytime95[0] and score.detectable > 1.05
    assert (score.outcome, score.doubt) == ("inconclusive", "interval")


def test_what_equal_runs_differ_by_is_no_win():
    assert (read(honest()).outcome, read(honest()).doubt) == ("win", "")
    assert read(honest(), floor=1.24).outcome == "win"
    assert (read(honest(), floor=1.26).outcome, read(honest(), floor=1.26).doubt) == ("inconclusive", "floor")


def test_guards_have_ratios_of_their_own():
    assert read(honest()).ratios["mean_end_ms"].median == pytest.approx(1.25)


def test_an_honest_report_gives_a_score():
    score = read(honest(), run_id="r1", candidate="c1", confirms="s0")
    assert isinstance(score, Score)
    assert [(pair.baseline, pair.policy, pair.seed) for pair in score.pairs] == [
        (2000.0, 1600.0, pair_seed(1, pair)) for pair in range(PAIRS)
    ]
    assert score.ratio.median == pytest.approx(1.25)
    assert score.bound == pytest.approx(2000 / (0.9 * 1600))  # of the two sides' bounds, the one that neither beat
    assert (score.outcome, score.attached, score.baseline, score.metric) == ("win", True, "eevdf", "makespan_ms")
    assert score.also == {
        "baseline_bound_ms": 1800, "policy_bound_ms": 1440, "baseline_mean_end_ms": 1000, "policy_mean_end_ms": 800,
    }  # fmt: skip
    assert from_json(Score, to_json(score)) == score


def test_no_ratio_is_above_its_bound_where_no_run_beat_its_own():
    """Seeds whose work differs: of the medians alone, 1500 / 1000, arithmetic would seem to be beaten by 1.6."""
    events = honest()
    for pair, (baseline, policy) in enumerate([(1500, 900), (1000, 1000), (1760, 1100), (1600, 1000), (1700, 1000)]):
        for label, takes in ((f"baseline-{pair}", baseline), (f"policy-{pair}", policy)):
            report = {"makespan_ms": takes, "mean_end_ms": takes, "bound_ms": policy, "ok": True}
            events = changed(label, "out", json.dumps(report), events)
    score = read(events)
    assert score.ratio.median == pytest.approx(1.6) == score.bound


def test_the_id_is_that_of_the_measurement():
    assert read(honest()).id == read(honest()).id != read(honest(), candidate="another").id
    assert read(honest()).id != read(changed("policy-1", "out", out(1599.0))).id


def test_steps_before_the_warm_up_and_events_after_the_end_do_not_disturb():
    attach, _, detach = honest()[2:5]
    before = [replace(attach, label="verify"), replace(detach, label="")]
    assert read([*before, *honest(), replace(detach, label="")]) == read(honest())


def test_a_metric_of_which_more_is_better():
    faster = replace(BATCH, direction="higher", bound="")
    score = read(honest(faster), faster)
    assert score.ratio.median == pytest.approx(0.8)
    assert (score.outcome, score.bound) == ("loss", None)
