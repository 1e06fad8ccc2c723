# SPDX-License-Identifier: Apache-2.0
"""Each case that others handed in has its kind in the corpus, which every CI run judges."""

from __future__ import annotations

import pytest
from corpus import good, planted
from given_cases import CASES, PLACE

CORPUS = {path.name.removesuffix(".bpf.c") for path in good()} | {policy.name for policy in planted()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_kind_is_in_the_corpus(case):
    assert case.kind and set(case.kind) <= CORPUS


@pytest.mark.skipif(not PLACE.is_dir(), reason="the cases are not on this machine")
def test_none_is_forgotten():
    assert {path.name.removesuffix(".bpf.c") for path in PLACE.glob("*/*.bpf.c")} == {case.name for case in CASES}
