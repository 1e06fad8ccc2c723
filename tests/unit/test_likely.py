# SPDX-License-Identifier: Apache-2.0
"""A guess at a stall's cause: it stays where nothing is against it, and is never what is proven not to be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_events import told
from test_cause import MS, scene, stuck, waiter

from verifier_vm.judge import cause
from verifier_vm.judge import kernel_words as words
from verifier_vm.judge.cause import explain, heads_go_first, last_go_first
from verifier_vm.judge.likely import likely
from verifier_vm.judge.stages import Reader
from verifier_vm.judge.suite import SHORT
from verifier_vm.object.proven import NOTHING, Proven
from verifier_vm.object.record import SOME_QUEUE

LOOKED = frozenset({"F03", "F13"})


def guessed(which):
    return replace(which, basis="guess")


@pytest.mark.parametrize(
    ("given", "refuted", "at_head", "idled", "bug"),
    [
        (words.PINNED, set(), set(), False, "F13"),
        (words.PINNED, set(), {1}, False, "F18"),
        (words.NOT_EMPTIED, set(), {1}, False, "F18"),
        (words.ENDLESS, set(), {1}, False, "F18"),
        (words.LOST, set(), {1}, False, "F01"),
        (words.LOST, {"F01"}, {1}, False, "F18"),
        (words.LOST, {"F01"}, set(), False, "F03"),
        (words.PINNED, {"F13"}, set(), False, "F01"),
        (words.ENDLESS, {"F01", "F19"}, set(), False, "F03"),
        (words.LOST, {"F01", "F03"}, set(), False, "F18"),
        (words.LOST, {"F01", "F03", "F18"}, set(), False, "F43"),
        (words.LOST, {"F01", "F03", "F18", "F43"}, set(), False, "kernel"),
        (words.LAST_IDLES, set(), set(), True, "F24"),
        (words.LAST_IDLES, set(), set(), False, "F01"),
        (words.CROWDED, {"F01", "F03"}, {1}, False, "F26"),
    ],
)
def test_a_guess_gives_way_to_the_next_that_is_possible(given, refuted, at_head, idled, bug):
    found = likely(guessed(given), Proven(frozenset(refuted), frozenset(at_head)), one_idled=idled)
    assert (found.bug, found.basis) == (bug, "guess")
    other_way = Proven(frozenset(refuted), backwards=frozenset(at_head))  # from the end it is the same
    assert likely(guessed(given), other_way, one_idled=idled) == found


def test_evidence_is_no_guess():
    assert likely(words.LAST_IDLES, Proven(frozenset({"F24"}), frozenset({1})), one_idled=False) == words.LAST_IDLES


@pytest.mark.parametrize(
    ("task", "at_head", "holds"),
    [
        (stuck(), {7}, True), (stuck(), {8}, False), (stuck(), {SOME_QUEUE}, True), (stuck(), set(), False),
        (stuck(by_vtime=True), {7}, False),
    ],
)  # fmt: skip
def test_in_a_queue_whose_head_the_policy_uses_the_head_goes_first(task, at_head, holds):
    served = waiter(20, dsq=6)
    given = scene(task, served, proven=Proven(at_head=frozenset(at_head)))
    given = replace(given, stuck=replace(task, cpus=3))
    assert (heads_go_first(given) is not None) is holds
    others = scene(task, waiter(1900), served, running=[replace(r, cpus=3) for r in given.running],
                   proven=given.proven)  # fmt: skip
    assert explain(others).cause.bug == ("F18" if holds else "F03")


@pytest.mark.parametrize(
    ("backwards", "beside", "holds"),
    [({7}, 20, True), ({SOME_QUEUE}, 20, True), ({8}, 20, False), ({7}, 2100, False), (set(), 20, False)],
)
def test_in_a_queue_that_is_taken_from_backwards_the_last_goes_first(backwards, beside, holds):
    given = scene(stuck(), waiter(beside), proven=Proven(backwards=frozenset(backwards)))
    assert (last_go_first(given) is not None) is holds


def test_what_the_object_looks_into_is_not_passed_by():
    """A free CPU shows F13 and F03, but not of a policy every dispatch of which looks there."""
    for task, bug in ((stuck(cpus=1), "F13"), (stuck(), "F03")):
        given = scene(task, running=[cause_runner()], idle=[0])
        assert explain(given).cause.bug == bug
        assert explain(replace(given, proven=Proven(LOOKED))) is None


def cause_runner():
    return replace(waiter(4), comm="W6-pinned", cpu=1, running=True, cpus=2, slice_ns=5 * MS)


def test_who_is_seen_in_no_queue_is_lost_whatever_was_proven():
    lost = scene(stuck(dsq=None, in_custody=True), proven=Proven(frozenset({"F01"})))
    assert explain(lost).cause == cause.words.LOST


def rejection(changes, monkeypatch, proven=NOTHING):
    monkeypatch.setattr("verifier_vm.judge.stages.proven_of", lambda data, arguments: proven)
    return Reader(b"object", SHORT, 2000).read(told("policy:mix", changes), kernel="7.3.4").rejection


def test_a_gap_is_told_by_what_is_proven_of_the_object(monkeypatch):
    pinned, hog = {"W6-pinned.gap_ms": 2500.0}, {"W1-hog.gap_ms": 2000.5}
    assert rejection(pinned, monkeypatch).bug == "F13"
    assert rejection(pinned, monkeypatch, Proven(LOOKED, frozenset({1}))).bug == "F18"
    assert rejection(hog, monkeypatch).bug == "F01"
    assert rejection(hog, monkeypatch, Proven(frozenset({"F01"}))).bug == "F03"
