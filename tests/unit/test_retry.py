# SPDX-License-Identifier: Apache-2.0
"""When a task is tried again; tests/e2e counts real attempts."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from policy_lake.errors import BuildError, InfraError, InputError, LostVMError
from tasks.fleet.retry import failed_by_infrastructure


@pytest.mark.parametrize(
    ("data", "again"),
    [
        (InfraError("x"), True),
        (LostVMError("x"), True),
        (InputError("x"), False),
        (BuildError("x"), False),
        (OSError("x"), False),
        (KeyError("x"), False),
        (None, False),
    ],
)
def test_only_the_infrastructure_s_failures_are_tried_again(data: Any, again: bool) -> None:
    assert failed_by_infrastructure(SimpleNamespace(), SimpleNamespace(), SimpleNamespace(data=data)) is again  # type: ignore[arg-type]


def test_the_condition_is_what_prefect_takes_for_one() -> None:
    """Prefect 3.8 asks inspect.isfunction, and takes every other callable for "never"."""
    assert inspect.isfunction(failed_by_infrastructure)


def test_prefect_is_imported_with_the_first_task() -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; import tasks.fleet.retry; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *sys.path], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
