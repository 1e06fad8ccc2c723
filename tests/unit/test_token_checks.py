# SPDX-License-Identifier: Apache-2.0
"""Which checks a verdict stands for, as a digest, and what may be asked of the signer at all."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from token_cases import REQUEST, SCORE

import verifier_vm
from policy_lake.errors import InputError
from policy_lake.model import to_json
from policy_lake.scores import Ratio
from verifier_vm.tokens import checks
from verifier_vm.tokens.checks import checks_digest
from verifier_vm.tokens.request import Observed, Says, read_observed, read_says


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


def test_what_was_seen_and_what_shall_be_said_make_the_request() -> None:
    seen = Observed(**{f.name: getattr(REQUEST, f.name) for f in fields(Observed) if f.name != "ops"}, ops="ljf")
    assert read_observed(to_json(seen)) == seen
    assert read_says(to_json(Says("host-1"))) == Says("host-1")
    assert seen.request(Says("host-1")) == REQUEST
    assert seen.request(Says("host-2", "mine", valid_for_s=60)).policy == "mine"


@pytest.mark.parametrize(
    ("changes", "limit"),
    [({}, "fleet"), ({"tier": "short"}, "canary"), ({"coverage": None}, "canary"), ({"score": None}, "canary"),
     ({"score": replace(SCORE, ratio=Ratio(1.1, (0.9, 1.3)))}, "canary")],
)  # fmt: skip
def test_a_token_goes_as_far_as_what_was_seen_allows_where_at_most_so_far_is_asked(
    changes: dict[str, Any], limit: str
) -> None:
    seen = Observed(**{f.name: getattr(REQUEST, f.name) for f in fields(Observed) if f.name != "ops"}, ops="ljf")
    seen = replace(seen, **{"tier": "full", **changes})
    assert seen.request(Says("h", rollout_limit="fleet", at_most=True)).rollout_limit == limit
    assert seen.request(Says("h", rollout_limit="fleet")).rollout_limit == "fleet", "else it is refused"


@pytest.mark.parametrize("data", [7, None, [], "x", {}, {"audience": 7}, {"audience": "h", "version": 9},
                                  {"audience": "h", "nonce": "ab" * 16}], ids=range(8))  # fmt: skip
def test_what_is_no_request_is_bad_input_in_one_line(data: Any) -> None:
    for read in (read_says, read_observed):
        with pytest.raises(InputError, match=r"^not what a ") as refused:
            read(data)
        assert "\n" not in str(refused.value)
