# SPDX-License-Identifier: Apache-2.0
"""The generator of `make fuzz-policies`: what it makes is the same for a seed, compiles, and is labelled."""

from __future__ import annotations

import json
from dataclasses import asdict

import fuzz_policies
import pytest
from corpus import BUGS
from fuzz_policies import EXPLAINED, main, tomllib
from policy_fuzz import mutation as mutations
from policy_fuzz.compose import compose
from policy_fuzz.designs import DIMENSIONS, some_designs
from policy_fuzz.faults import MUTATIONS
from policy_fuzz.judging import Judged, Work, read_kept
from policy_fuzz.mutation import REFUSED, mutate, some_mutants
from policy_fuzz.page import Explanation, Fate, Run, document, figures
from policy_fuzz.program import NoSuchLineError, line
from skipping import skip_or_fail

from bpf.build import compile_policy
from policy_lake.errors import SchedcpError
from tasks.host.settings import load_settings
from verifier_vm.machine.kernel import installed_kernel

DESIGNS = some_designs(220, 1)


@pytest.fixture(scope="module")
def kernel():
    try:
        return installed_kernel(load_settings().cache_dir)
    except SchedcpError as error:
        return skip_or_fail(str(error))


def source_of(design):
    return compose(design).source(str(design))


def test_a_seed_gives_the_same_policies_and_another_one_others():
    assert some_designs(220, 1) == DESIGNS and some_designs(220, 2) != DESIGNS
    made = [(one.mutation.kind, one.source) for one in some_mutants(DESIGNS, 300, 1)]
    assert made == [(one.mutation.kind, one.source) for one in some_mutants(DESIGNS, 300, 1)]
    assert made != [(one.mutation.kind, one.source) for one in some_mutants(DESIGNS, 300, 2)]


def test_no_two_policies_are_equal_and_all_are_sound_by_the_rules():
    assert len({source_of(design) for design in DESIGNS}) == len(DESIGNS) == 220
    assert [str(design) for design in DESIGNS if design.objection()] == []
    for name, values in DIMENSIONS.items():
        assert {getattr(design, name) for design in DESIGNS} == set(values), name


@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_mutation_changes_what_it_applies_to_and_has_a_label_of_the_list(kind):
    change = MUTATIONS[kind]
    made = [one for one in (mutate(change, design) for design in DESIGNS) if one is not None]
    assert made and [one for one in made if one.source == source_of(one.design)] == []
    assert change.breaks in (*BUGS, REFUSED) and change.shows


def test_a_kind_cannot_be_labelled_twice_nor_as_a_bug_that_is_not_in_the_list(monkeypatch):
    monkeypatch.setattr(mutations, "MUTATIONS", dict(MUTATIONS))
    with pytest.raises(ValueError, match="drop-insert is labelled twice"):
        mutations.mutation("drop-insert", "F02", "")(lambda program, design: program)
    with pytest.raises(ValueError, match="F99 is no bug"):
        mutations.mutation("new", "F99", "")(lambda program, design: program)


def test_what_a_long_run_cannot_show_is_not_among_the_mutants():
    chosen = some_mutants(DESIGNS, 10_000, 1)
    hidden = {kind for kind, change in MUTATIONS.items() if all(map(change.unseen, DESIGNS))}
    assert hidden and not [one for one in chosen if one.unseen or one.mutation.kind in hidden]
    assert {one.mutation.kind for one in chosen} == MUTATIONS.keys() - hidden


def test_an_edit_of_what_is_not_there_is_told_and_a_block_that_is_emptied_goes():
    program = compose(DESIGNS[0])
    with pytest.raises(NoSuchLineError):
        program.drop("enqueue", "nothing")
    with pytest.raises(NoSuchLineError):
        program.change("dispatch", "move", nothing="1")
    guarded = program.first("exit", line("if", "if (ei)", line("inner", "return;")))
    assert "if (ei)" in guarded.source("") and "if (ei)" not in guarded.drop("exit", "inner").source("")


def test_a_sample_compiles(kernel):
    sound = [next(one for one in DESIGNS if one.queues == queues) for queues in DIMENSIONS["queues"]]
    sources = [source_of(design) for design in (*sound, DESIGNS[-1])]
    sources += [one.source for one in some_mutants(DESIGNS, 120, 1)][::15]
    for source in sources:
        assert compile_policy(source, name="fuzz.bpf.c", vmlinux_dir=kernel.headers).data


def test_what_is_known_is_read_by_verifier_and_a_torn_line_is_not(tmp_path):
    kept = tmp_path / "results.jsonl"
    known = [Judged("a", "now", True), Judged("b", "before", True), Judged("c", "now", False, infra="lost")]
    kept.write_text("".join(json.dumps(asdict(one)) + "\n" for one in known) + '{"digest": "d", "veri')
    assert set(read_kept(kept, "now")) == {"a"}
    assert len({Work("x", need, tier).digest for need in ("", "nice") for tier in ("short", "full")}) == 4


def test_the_page_counts_and_tells_what_was_accepted():
    one, other = some_mutants(DESIGNS, 2, 1)
    explained = [Explanation(one.mutation.kind, "for a reason", {"queues": one.design.queues})]
    short = Judged("a", "v", True)
    fates = (Fate.of(one, short, Judged("b", "v", False, "survive", "F01", "a | stall"), explained),
             Fate.of(other, short, None, explained))  # fmt: skip
    run = Run(1, "v", {one.design: Judged("c", "v", False, "fair", "F21", "idle")}, fates, {})
    said = "2 mutants: 0.0 % rejected by the short tier, at least 50.0 % with the full one; 1 sound"
    assert said in figures(run)
    page = document(run)
    assert "for a reason" in page and "**Unexplained.**" in page and "fair, F21: idle" in page and "a / stall" in page


def test_the_page_of_a_run_that_was_not_judged_to_its_end_says_so(tmp_path, monkeypatch):
    designs = fuzz_policies.some_designs(6, 1)
    mutants = some_mutants(designs, 8, 1)
    works = [fuzz_policies._mutated(one, "short") for one in mutants[:3]]
    known = [Judged(fuzz_policies._sound(one).digest, "v", True) for one in designs[:4]]
    known.append(Judged(fuzz_policies._sound(designs[0], tier="full").digest, "v", False, "survive", "F13", "stalled"))
    known += [Judged(work.digest, "v", False, "object", "F01", "x") for work in works]
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(asdict(one)) + "\n" for one in known))
    monkeypatch.setattr(fuzz_policies, "verifier_digest", lambda: "v")
    words = ["--known", "--count", "8", "--sound", "6", "--full-sound", "2", "--results", str(results)]
    page = document(fuzz_policies.judged_run(fuzz_policies.parse(words)))
    assert "| generated, and not judged in this run | 5 mutants, 2 sound policies |" in page
    assert "| sound policies, short tier | 4, rejected 0 |" in page
    assert "| sound policies, full tier | 1, rejected 1 |" in page and "full tier: survive, F13: stalled" in page


@pytest.mark.parametrize("words", [["--only", "nothing"], ["--count", "0"], ["--jobs", "0"], ["--tier", "long"]])
def test_bad_input_ends_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()[-1]) < 200


def test_every_explanation_is_of_a_kind_that_there_is():
    for entry in tomllib.loads(EXPLAINED.read_text()).get("accepted", []):
        explanation = Explanation(**entry)
        assert explanation.kind in MUTATIONS and explanation.why and explanation.where.keys() <= DIMENSIONS.keys()
