# SPDX-License-Identifier: Apache-2.0
"""What a host trusts: its directory, the kind of the key, and a log that only grows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from token_cases import HERE, issue, payload, refusal, resigned, revoke

from policy_lake.model import to_json
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.consume import consume_token
from verifier_vm.tokens.errors import Code
from verifier_vm.tokens.host_state import create_host_state, read_host_state
from verifier_vm.tokens.key_store import open_key_store
from verifier_vm.tokens.public_key import PUBLIC, SERVICE_LINE
from verifier_vm.tokens.records import from_plain, to_plain
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import Token
from verifier_vm.tokens.trust import ALLOW_LAB, read_trust

ROOT = Path(__file__).parents[2]
COPIED = (PUBLIC, REVOCATIONS, HEAD, LOG)


class Host:
    """A host with copies of what a verifier in `keys` has, and a state of its own."""

    def __init__(self, tmp_path: Path) -> None:
        self.keys, self.trust, self.state = tmp_path / "keys", tmp_path / "trust", tmp_path / "state"
        create_host_state(self.state)
        self.trust.mkdir(mode=0o755)

    def take(self, *names: str) -> None:
        for name in names or COPIED:
            shutil.copy2(self.keys / name, self.trust / name)

    def allow(self) -> None:
        (self.trust / ALLOW_LAB).write_text(f"# ours\n{read_trust(self.trust).key.id}  # the laptop\n")

    def consume(self, envelope: Any) -> Token:
        given = read_trust(self.trust).given()
        return consume_token(self.state, envelope, HERE, now=datetime.now(UTC), **given)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_lab_token_is_refused_unless_its_key_is_allowed_by_name(host: Host) -> None:
    envelope = issue(host.keys)
    host.take()
    with refusal(Code.LAB_KEY):
        host.consume(envelope)
    for text in ("", "all\n", "# " + read_trust(host.trust).key.id, "ab" * 32):
        (host.trust / ALLOW_LAB).write_text(text)
        with refusal(Code.LAB_KEY):
            host.consume(envelope)
    host.allow()
    assert host.consume(envelope).signed_by == "lab"


def test_the_mark_of_a_lab_key_cannot_be_dropped(host: Host) -> None:
    """Neither by who holds the lab key and says another thing in the token, nor by a change of the signed token."""

    def say_service(statement: Any) -> None:
        statement["predicate"]["schedcp"]["signed_by"] = "service"

    envelope = resigned(host.keys, issue(host.keys), say_service)
    host.take()
    for _ in range(2):
        with refusal(Code.LAB_KEY):
            host.consume(envelope)
        host.allow()


def test_a_service_s_token_holds_without_a_name_and_not_where_the_key_s_mark_was_dropped(host: Host) -> None:
    with open_key_store(host.keys, service=True):
        pass
    envelope = issue(host.keys)
    host.take()
    public = (host.trust / PUBLIC).read_bytes()
    (host.trust / PUBLIC).write_bytes(public.removeprefix(SERVICE_LINE))
    with refusal(Code.LAB_KEY):
        host.consume(envelope)
    (host.trust / PUBLIC).write_bytes(public)
    assert host.consume(envelope).signed_by == "service"


@pytest.mark.parametrize("name", ["", *COPIED, ALLOW_LAB])
def test_what_others_may_write_to_is_trusted_in_nothing(host: Host, name: str) -> None:
    envelope = issue(host.keys)
    host.take()
    host.allow()
    path = host.trust / name if name else host.trust
    mode = path.stat().st_mode
    for loose in (0o020, 0o002):
        path.chmod(mode | loose)
        with refusal(Code.OPEN_STORE):
            host.consume(envelope)
    path.chmod(mode)
    assert host.consume(envelope)


def test_what_is_a_link_or_another_user_s_is_trusted_in_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    issue(host.keys)
    host.take()
    (host.trust / LOG).rename(host.trust / "other")
    (host.trust / LOG).symlink_to("other")
    with refusal(Code.OPEN_STORE):
        read_trust(host.trust)
    (host.trust / LOG).unlink()
    (host.trust / "other").rename(host.trust / LOG)
    os.chown(host.trust / HEAD, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with refusal(Code.OPEN_STORE):
        read_trust(host.trust)


@pytest.mark.parametrize("names", [COPIED, (PUBLIC, REVOCATIONS, HEAD)], ids=["log", "head alone"])
def test_a_log_and_list_rolled_back_or_deleted_show_on_a_host_that_saw_them(host: Host, names: Any) -> None:
    first, before = issue(host.keys), host.trust.parent / "before"
    shutil.copytree(host.keys, before)
    revoke(host.keys, "nonce", "cd" * 16)
    second, third = issue(host.keys), issue(host.keys)
    host.take(*names)
    host.allow()
    host.consume(second)
    assert read_host_state(host.state).log_seq == 5
    shutil.copytree(before, host.keys, dirs_exist_ok=True)  # the whole store as it was
    host.take(*names)
    unknown = Code.NOT_LOGGED if LOG in names else Code.OLD_REVOCATIONS
    for envelope, code in ((first, Code.OLD_VERSION), (third, unknown)):
        with refusal(code):
            host.consume(envelope)
    later = issue(host.keys)  # the rolled-back signer signs on
    host.take(*names)
    with refusal(Code.OLD_REVOCATIONS):
        host.consume(later)
    revoke(host.keys, "nonce", "ef" * 16)  # and its list is as long again
    latest = issue(host.keys)
    host.take(*names)
    if LOG in names:
        with refusal(Code.OTHER_LOG):
            host.consume(latest)
    for name in (LOG, HEAD):
        (host.trust / name).unlink(missing_ok=True)
    with refusal(Code.LOG_GONE):
        host.consume(latest)


def test_a_head_alone_that_is_older_or_another_shows(host: Host) -> None:
    envelope = issue(host.keys)
    host.take(PUBLIC, REVOCATIONS, HEAD)
    host.allow()
    head = read_trust(host.trust).head
    assert head is not None
    host.consume(envelope)
    given, later = read_trust(host.trust).given(), issue(host.keys)
    for other in (replace(head, seq=head.seq - 1), replace(head, sha256="ab" * 32)):
        with refusal(Code.OTHER_LOG):
            consume_token(host.state, later, HERE, now=datetime.now(UTC), **{**given, "head": other})
    assert consume_token(host.state, later, HERE, now=datetime.now(UTC), **given)


def test_a_trust_directory_is_read_as_a_whole(host: Host) -> None:
    issue(host.keys)
    revoke(host.keys, "nonce", "cd" * 16)
    host.take()
    (host.trust / HEAD).unlink()
    with refusal(Code.LOG_GONE):
        read_trust(host.trust)
    host.take()
    older = (host.keys / REVOCATIONS).read_bytes()
    revoke(host.keys, "nonce", "ef" * 16)
    host.take()
    (host.trust / REVOCATIONS).write_bytes(older)
    for name in (LOG, ""):
        (host.trust / name).unlink() if name else None
        with refusal(Code.OLD_REVOCATIONS):
            read_trust(host.trust)
    (host.trust / PUBLIC).unlink()
    with refusal(Code.NO_KEY):
        read_trust(host.trust)
    with refusal(Code.UNREADABLE):
        read_trust(host.trust / "none")


def test_records_are_written_as_they_always_were_and_read_strictly(host: Host) -> None:
    token = parse_payload(payload(issue(host.keys)))
    assert to_plain(token) == to_json(token) and from_plain(Token, to_json(token)) == token
    for name, wrong in (
        ("version", "7"), ("version", True), ("version", 7.0), ("policy", 5), ("limits", "x"), ("ratio", []),
        ("rollout_limit", "moon"), ("issued", 5), ("issued", "soon"), ("topologies", [{"cpus": 0}]), ("log", None),
        ("breaker", {"p99_ratio": "1"}), ("ratio", {"median": 1.0, "ci95": [1.0]}), ("coverage", 1),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            from_plain(Token, {**to_json(token), name: wrong})
    lacking = {name: value for name, value in to_json(token).items() if name != "nonce"}
    with pytest.raises(ValueError, match="the member 'nonce' is missing"):
        from_plain(Token, lacking)
    ratio = from_plain(Token, {**to_json(token), "ratio": {"median": 2, "ci95": [1, 3]}}).ratio
    assert ratio and isinstance(ratio.median, float), "a whole number is a float where one is asked for"


CONSUMES = """
import sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(1, sys.argv[2])
for name in ("pydantic", "pydantic_core", "numpy", "rich", "typer"): sys.modules[name] = None
import json
from datetime import UTC, datetime
from pathlib import Path
from policy_lake.topology import HostCpus
from verifier_vm.tokens.check import Attachment
from verifier_vm.tokens.consume import consume_token
from verifier_vm.tokens.trust import read_trust
what = json.loads(sys.argv[5])
here = Attachment(**{**what, "arguments": tuple(what["arguments"]), "cpus": HostCpus(2)})
envelope = Path(sys.argv[6]).read_bytes()
given = read_trust(Path(sys.argv[3])).given()
print(consume_token(Path(sys.argv[4]), envelope, here, now=datetime.now(UTC), **given).policy)
"""


@pytest.mark.parametrize("python", [sys.executable, "/usr/bin/python3"])
def test_a_host_needs_the_standard_library_and_cryptography_alone(host: Host, python: str, tmp_path: Path) -> None:
    if not Path(python).exists() or subprocess.run([python, "-c", "import cryptography"], check=False).returncode:
        pytest.skip(f"{python} has no cryptography")
    (tmp_path / "token").write_text(json.dumps(issue(host.keys)))
    host.take()
    host.allow()
    what = json.dumps({**to_json(HERE), "cpus": None})
    words = [str(ROOT), str(ROOT), str(host.trust), str(host.state), what, str(tmp_path / "token")]
    command = [python, "-c", CONSUMES, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "ljf\n", done.stderr
