# SPDX-License-Identifier: Apache-2.0
"""Compositions: which are refused and why, and what the C of the others looks like."""

import pickle

import pytest
from compositions import compositions
from hypothesis import given, settings
from named_mechanisms import differences

from bpf import compose as composer
from bpf.compose import compose
from bpf.composing.layout import width, wrapped
from bpf.composition import CHOICES, RULES, Composition, CompositionError, Essay, Preset
from bpf.library import LIBRARY_DIR, SUFFIX, policies, read_policy
from bpf.library_compositions import COMPOSITIONS
from policy_lake.errors import InputError

# What breaks each rule, in their order.
BREAKS = (
    {"steal": "empty"},
    {"queues": "cpu"},
    {"queues": "cpu", "steal": "overdue"},
    {"place": "two", "queues": "llc", "steal": "empty"},
    {"preempt": "woken"},
    {"preempt": "woken", "order": "deadline"},
    {"preempt": "earlier", "order": "woken"},
    {"slice": "weight", "order": "vtime"},
    {"slice": "burst", "order": "woken"},
    {"classes": "nice", "order": "deadline"},
    {"classes": "burst", "order": "shortest"},
    {"guard": "short"},
)


@pytest.mark.parametrize(
    ("rule", "choices"), list(zip(RULES, BREAKS, strict=True)), ids=lambda one: getattr(one, "code", "")
)
def test_what_cannot_work_is_refused_with_the_reason(rule, choices):
    with pytest.raises(CompositionError) as refused:
        Composition("mine", **choices)
    assert refused.value.code == rule.code and str(refused.value) == f"policy 'mine': {rule.reason}"
    assert isinstance(refused.value, InputError) and refused.value.exit_status == 2
    assert pickle.loads(pickle.dumps(refused.value)).code == rule.code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"name": "mine", "order": "best"}, "value"),
        ({"name": "Mine"}, "name"),
        ({"name": "a" * 16}, "name"),
        ({"name": "x; int y"}, "name"),
        ({"name": "mine", "essay": Essay("t", "*/ int x; /*", "w")}, "text"),
        ({"name": "mine", "essay": Essay("t\nu", "g", "w")}, "text"),
        ({"name": "mine", "essay": Essay("t", "g", "w" * 3000)}, "text"),
        ({"name": "mine", "essay": Essay("t", "g", "w", ("batch\n*/",))}, "text"),
        ({"name": "mine", "presets": (Preset("wait_ns", "1 * SX_MS", 1, 2),)}, "preset"),
        ({"name": "mine", "presets": (Preset("slice_ns", "1; int x", 1, 2),)}, "preset"),
        ({"name": "mine", "presets": (Preset("slice_ns", "5 * SX_MS", 1, 2),)}, "preset"),
    ],
)
def test_what_is_no_choice_name_or_text_is_refused(given, code):
    with pytest.raises(CompositionError) as refused:
        compose(Composition(**given))
    assert refused.value.code == code


def test_the_library_is_what_its_compositions_render():
    assert len(COMPOSITIONS) >= 10 and len(COMPOSITIONS) * 2 >= len(policies())
    for one in COMPOSITIONS:
        assert (LIBRARY_DIR / f"{one.name}{SUFFIX}").read_text() == compose(one), f"{one.name}: run `make compose`"


def test_what_differs_is_said_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bpf.library.LIBRARY_DIR", tmp_path)
    assert composer.main([]) == 1 and list(tmp_path.iterdir()) == []
    assert f"differs from its composition: {tmp_path}/fifo.bpf.c" in capsys.readouterr().out
    assert composer.main(["--write"]) == 0 and composer.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{one.name}.bpf.c" for one in COMPOSITIONS}


@given(compositions)
@settings(max_examples=150, deadline=None)
def test_any_composition_says_what_it_holds_and_holds_nothing_else(made):
    source = compose(made)
    read = read_policy(source, "mine", "library")
    assert differences(read) == []
    assert read.mechanisms == made.mechanisms() and {name for name, _ in read.mechanisms} >= {"order", "class"}
    assert [line for line in source.splitlines() if width(line) > 120 and not line.startswith("const volatile")] == []
    for knob in read.knobs:
        assert knob.kind == "bool" or (knob.low <= int(knob.default) <= knob.high and knob.unit), knob


def test_every_choice_can_be_made():
    used = {(name, getattr(one, name)) for one in COMPOSITIONS for name in CHOICES}
    rest = {(name, value) for name, values in CHOICES.items() for value in values} - used
    together = {"slice": {}, "steal": {"queues": "cpu", "order": "woken"}, "classes": {}}
    for name, value in rest:
        assert compose(Composition("mine", **{**together[name], name: value}))


def test_a_long_line_is_broken_in_few_brackets():
    line = "\tif (" + " || ".join(f"condition_{n}(with, {n})" for n in range(6)) + ")"
    assert (
        wrapped(line)
        == line[:117].rsplit("condition", 1)[0].rstrip() + "\n\t    " + "condition_4(with, 4) || condition_5(with, 5))"
    )
    assert wrapped("\tshort(a, b);") == "\tshort(a, b);"
