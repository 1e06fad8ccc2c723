# SPDX-License-Identifier: Apache-2.0
"""Which checks a verdict stands for, as a digest, and what may be asked of the signer at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from token_cases import REQUEST

import verifier_vm
from policy_lake.errors import InputError
from policy_lake.model import to_json
from verifier_vm.tokens import checks
from verifier_vm.tokens.checks import checks_digest
from verifier_vm.tokens.request import read_request


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "limits.py").write_text("MOST = 3\n")
    (tmp_path / "judge" / "generated.c").mkdir()
    (tmp_path / "README.md").write_text("# Judge\n")
    return tmp_path


def test_it_is_of_all_that_the_verifier_consists_of() -> None:
    assert checks_digest() == checks_digest(Path(verifier_vm.__file__).parent) != checks_digest(Path(__file__).parent)


@pytest.mark.parametrize("name", ["more.py", "judge/more.c", "more.h", "start.S", "limits.toml"])
def test_another_source_is_another_digest(tree: Path, name: str) -> None:
    before = checks_digest(tree)
    (tree / name).write_text("")
    added = checks_digest(tree)
    (tree / name).write_text("1")
    assert len({before, added, checks_digest(tree)}) == 3


def test_a_source_changed_or_moved_is_another_digest_and_a_word_for_people_is_none(tree: Path) -> None:
    before = checks_digest(tree)
    (tree / "README.md").write_text("# Court\n")
    (tree / "judge" / "generated.c" / "notes").touch()
    assert checks_digest(tree) == before
    (tree / "judge" / "limits.py").rename(tree / "limits.py")
    moved = checks_digest(tree)
    (tree / "limits.py").write_text("MOST = 4\n")
    assert len({before, moved, checks_digest(tree)}) == 3


@pytest.mark.parametrize(("name", "value"), [("VERIFIER_VERSION", "1000"), ("REQUIRED_STAGES", ("source",))])
def test_other_rules_are_another_digest(tree: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    before = checks_digest(tree)
    monkeypatch.setattr(checks, name, value)
    assert checks_digest(tree) != before


def test_a_request_is_read_as_it_was_written() -> None:
    assert read_request(to_json(REQUEST)) == REQUEST


@pytest.mark.parametrize(
    "data",
    [7, None, [], "policy", {}, {**to_json(REQUEST), "version": 9}, {**to_json(REQUEST), "nonce": "ab" * 16},
     {**to_json(REQUEST), "policy": 7}, {**to_json(REQUEST), "stages": 7}, {**to_json(REQUEST), "ratio": [1]}],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_request_is_bad_input_in_one_line(data: Any) -> None:
    with pytest.raises(InputError, match=r"^not a request for a token: .") as refused:
        read_request(data)
    assert "\n" not in str(refused.value)
