# SPDX-License-Identifier: Apache-2.0
"""Decisions round a token that no other test notices when they are turned round; `make mutants` found them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from token_cases import issue, revoke, sha, trust

from policy_lake.model import InputError
from verifier_vm.tokens.dsse import canonical_json, strict_json
from verifier_vm.tokens.files import SIZE_LIMIT
from verifier_vm.tokens.revocation import REVOCATIONS, Revoked, check_revocation
from verifier_vm.tokens.terms import LONGEST_TEXT


def test_signed_json_is_sorted_short_and_as_it_is_spelt():
    assert canonical_json({"b": [1, 2], "a": "ü"}) == '{"a":"ü","b":[1,2]}'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_not_signed(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": number})


def test_json_may_be_as_large_as_the_limit_and_no_larger():
    content = b'"' + b"x" * (SIZE_LIMIT - 2) + b'"'
    assert len(strict_json(content)) == SIZE_LIMIT - 2
    with pytest.raises(ValueError, match="larger than"):
        strict_json(content + b" ")


def test_a_reason_may_be_as_long_as_the_limit_and_no_longer():
    def revoked(length):
        return Revoked("object", sha("bad"), "x" * length, datetime(2026, 1, 1, tzinfo=UTC))

    check_revocation(revoked(LONGEST_TEXT))
    with pytest.raises(InputError, match="needs a reason"):
        check_revocation(revoked(LONGEST_TEXT + 1))


def test_everybody_can_read_the_revocation_list_and_only_the_signer_can_write_it(tmp_path):
    keys = tmp_path / "keys"
    issue(keys)
    revoke(keys, "object", sha("bad"), "it starves kworkers")
    assert (keys / REVOCATIONS).stat().st_mode & 0o777 == 0o644
    assert trust(keys)["revocations"].version == 2
