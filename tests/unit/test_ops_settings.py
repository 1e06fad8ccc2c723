# SPDX-License-Identifier: Apache-2.0
"""Settings of the ops beside a policy's knobs: one form, wherever they come from."""

from __future__ import annotations

import pytest

from bpf.library import policy
from policy_lake.knobs import OPS_FLAG, OPS_USE, KnobError, settle


@pytest.mark.parametrize(
    "given", [{OPS_FLAG: "a flag"}, {OPS_FLAG: "A,b"}, {OPS_USE: "1x"}, {OPS_FLAG: 3}, {OPS_USE: ["a"]}]
)
def test_a_setting_of_the_ops_is_held_to_its_form_wherever_it_comes_from(given: dict[str, object]) -> None:
    with pytest.raises(KnobError):
        settle(policy("fifo"), given)


def test_settings_of_the_ops_that_are_alike_are_equal() -> None:
    flags = settle(policy("fifo"), {OPS_FLAG: "SCX_OPS_BB,SCX_OPS_AA,SCX_OPS_BB", OPS_USE: "mine"})
    assert flags == {OPS_USE: "mine", OPS_FLAG: "SCX_OPS_AA,SCX_OPS_BB"}
