# SPDX-License-Identifier: Apache-2.0
"""Records read and written without pydantic: as with it, and a whole check of a token in a process that has none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_cases import REQUEST, history, issue, payload, trust

from policy_lake.model import from_json, to_json
from policy_lake.plain import from_plain, to_plain
from verifier_vm.tokens.audit_log import Entry, Head
from verifier_vm.tokens.host_state import HostState
from verifier_vm.tokens.revocation import RevocationList
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import Token

ROOT = Path(__file__).parents[2]
TIMES = st.datetimes(timezones=st.just(UTC))
RECORDS = st.one_of(
    *(st.from_type(kind) for kind in (Entry, Head, RevocationList, HostState)),
)
st.register_type_strategy(datetime, TIMES)


@given(RECORDS)
def test_each_record_of_a_hosts_is_written_and_read_as_by_pydantic(record: Any) -> None:
    written = to_json(record)
    assert to_plain(record) == written
    assert from_plain(type(record), json.loads(json.dumps(written))) == record == from_json(type(record), written)


def test_a_token_is_written_and_read_as_by_pydantic(tmp_path: Path) -> None:
    token = parse_payload(payload(issue(tmp_path / "keys")))
    written = to_json(token)
    assert to_plain(token) == written and json.dumps(to_plain(token)) == json.dumps(written)
    assert from_plain(Token, written) == token
    assert to_plain(REQUEST) == to_json(REQUEST)


DAMAGED: list[tuple[str, Any]] = [
    ("version", "1"), ("version", 1.0), ("version", True), ("version", None), ("nonce", 7), ("tier", "long"),
    ("issued", "yesterday"), ("issued", 7), ("arguments", "ab"), ("arguments", [1]), ("stages", {}), ("log", []),
    ("breaker", {"stall_ms": "5"}), ("coverage", 7), ("ratio", {"value": 1}), ("stages", [{"name": "x"}]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), DAMAGED)
def test_what_is_of_another_type_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    written = to_json(parse_payload(payload(issue(tmp_path / "keys"))))
    with pytest.raises(ValueError, match=name):
        from_plain(Token, {**written, name: value})


def test_what_is_missing_is_refused_and_what_is_unknown_dropped() -> None:
    with pytest.raises(ValueError, match="version is missing"):
        from_plain(RevocationList, {})
    assert from_plain(RevocationList, {"version": 1, "more": 2}) == RevocationList(1)
    for data in (None, 7, "x", []):
        with pytest.raises(ValueError, match="not a RevocationList"):
            from_plain(RevocationList, data)


WITHOUT = """
import json, sys
sys.modules["pydantic"] = None
from datetime import UTC, datetime
from pathlib import Path
from policy_lake.topology import HostCpus
from verifier_vm.tokens.audit_log import read_log
from verifier_vm.tokens.check import Attachment
from verifier_vm.tokens.consume import consume_token
from verifier_vm.tokens.errors import TokenError
from verifier_vm.tokens.host_state import create_host_state
from verifier_vm.tokens.public_key import read_public_key
from verifier_vm.tokens.revocation import read_revocations
keys, host, given = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
what = Attachment(**{**given["what"], "arguments": tuple(given["what"]["arguments"]), "cpus": HostCpus(2)})
key = read_public_key(keys / "signing.pub")
create_host_state(host)
for attempt in range(2):
    try:
        token = consume_token(
            host, json.dumps(given["envelope"]).encode(), what, now=datetime.now(UTC), public_key=key,
            revocations=read_revocations(keys / "revoked.dsse.json", key), log=read_log(keys, key))
        print(token.nonce)
    except TokenError as error:
        print(error.code)
print([name for name in sys.modules if name.startswith("pydantic") and sys.modules[name]])
"""


def test_a_host_without_pydantic_consumes_a_token_once(tmp_path: Path) -> None:
    keys = history(tmp_path / "keys")
    envelope = issue(keys)
    what = {name: getattr(REQUEST, name) for name in ("object_sha256", "arguments", "kernel", "btf_sha256", "audience")}
    given_ = json.dumps({"envelope": envelope, "what": what})
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, keys, tmp_path / "host", given_],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    nonce = parse_payload(payload(envelope)).nonce
    assert done.stdout.splitlines() == [nonce, "used", "[]"], done.stderr
    assert trust(keys)["log"].entries[-1].nonce == nonce
