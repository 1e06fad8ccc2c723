# SPDX-License-Identifier: Apache-2.0
"""The parts of the fan-out that need no cluster; tests/e2e has the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from policy_lake.errors import BuildError, InfraError, InputError, LostVMError
from tasks.fleet.fan_out import Failure, ItemOutcome, _checked, _failure_of, fan_out


def test_no_items_need_no_ray() -> None:
    program = (
        "import sys; from tasks.fleet.fan_out import fan_out\n"
        "fan_out(print, [], deadline_s=1, label='x'); print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert fan_out(print, [], deadline_s=1, label="x") == []


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (InfraError("a"), Failure("infra", "a")),
        (LostVMError("b", "console"), Failure("infra", "b")),
        (BuildError("c", "diagnostics"), Failure("build", "c")),
        (InputError("d"), Failure("input", "d")),
        (ZeroDivisionError("division by zero"), Failure("bug", "ZeroDivisionError: division by zero")),
        (RuntimeError(), Failure("bug", "RuntimeError: ")),
    ],
)
def test_an_exception_keeps_its_kind_and_words(error: Exception, failure: Failure) -> None:
    class Wrapped(Exception):
        cause = error

    assert _failure_of(Wrapped()) == failure
    assert _failure_of(error) == failure


def test_one_value_is_enough_and_none_is_an_infra_error() -> None:
    bad: ItemOutcome[int] = ItemOutcome(1, failure=Failure("infra", "no disk"))
    good = ItemOutcome(0, 7)
    assert _checked([good, bad], "x") == [good, bad]
    with pytest.raises(InfraError, match="x: none of 1 ended well; the first: no disk"):
        _checked([bad], "x")
