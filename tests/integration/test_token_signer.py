# SPDX-License-Identifier: Apache-2.0
"""The signer: only a complete, accepted verdict gets a token, and its key stays in its own process."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from token_cases import COVERAGE, SCORE, STAGES, check, issue, payload, refusal, revoke, sha, tell, trust

from policy_lake.coverage import Branch, Coverage, Share, counted
from policy_lake.errors import InfraError, InputError
from policy_lake.model import Finding, Stage
from policy_lake.scores import Ratio
from verifier_vm.tokens import client, signer
from verifier_vm.tokens.client import request_revocation
from verifier_vm.tokens.errors import Code, KeyFileError
from verifier_vm.tokens.private_key import PRIVATE
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import REQUIRED_STAGES, BreakerLimits, Provenance

HALF = counted([], [], [Branch("f", "ljf.bpf.c", 1, 1, 0, "ran", "not tried")])
REJECT = Finding("F01", "reject", "a task is lost")
OPEN = Finding("F03", "unknown", "who knows")
REFUSALS = [
    ({"stages": ()}, Code.INCOMPLETE),
    ({"stages": STAGES[1:]}, Code.INCOMPLETE),
    ({"stages": (*STAGES, STAGES[0])}, Code.INCOMPLETE),
    ({"stages": (*STAGES[:-1], replace(STAGES[-1], ok=False))}, Code.INCOMPLETE),
    ({"stages": (*STAGES, Stage("score", False, 1.0))}, Code.INCOMPLETE),
    ({"stages": (*STAGES, Stage("object", True, 1.0, (REJECT,)))}, Code.REJECTED),
    ({"stages": (*STAGES, Stage("fair", True, 1.0, (OPEN,)))}, Code.REJECTED),
    ({"stages": (*STAGES, Stage("a\nb", True, 1.0))}, Code.TERMS),
    ({"object_sha256": "abc", "score": None}, Code.TERMS),
    ({"btf_sha256": ""}, Code.TERMS),
    ({"kernel": "", "score": None}, Code.TERMS),
    ({"audience": ""}, Code.TERMS),
    ({"policy": "\x1b[2J"}, Code.TERMS),
    ({"policy": "x" * 301}, Code.TERMS),
    ({"valid_for_s": 0}, Code.TERMS),
    ({"valid_for_s": 31 * 86400}, Code.TERMS),
    ({"rollout_limit": "fleet"}, Code.TERMS),
    ({"rollout_limit": "fleet", "tier": "full", "score": None}, Code.TERMS),
    (
        {"rollout_limit": "host", "tier": "full", "score": replace(SCORE, ratio=Ratio(1.1, (0.9, 1.2)))},
        Code.TERMS,
    ),
    (
        {"rollout_limit": "host", "tier": "full", "score": replace(SCORE, ratio=Ratio(1.1, (1.0, 1.2)))},
        Code.TERMS,
    ),
    ({"rollout_limit": "host", "tier": "full", "coverage": None}, Code.TERMS),
    ({"rollout_limit": "host", "tier": "full", "coverage": Coverage("by the wall clock")}, Code.TERMS),
    ({"rollout_limit": "host", "tier": "full", "coverage": HALF}, Code.TERMS),
    ({"rollout_limit": "fleet", "tier": "full", "coverage": HALF, "min_coverage": 51}, Code.TERMS),
    ({"rollout_limit": "host", "tier": "full", "coverage": replace(HALF, branches=Share(2, 2))}, Code.TERMS),
    ({"coverage": replace(COVERAGE, lines=Share(9, 9))}, Code.TERMS),
    ({"min_coverage": 101}, Code.TERMS),
    ({"min_coverage": -1}, Code.TERMS),
    ({"breaker": BreakerLimits(stall_ms=10**6)}, Code.TERMS),
    ({"breaker": BreakerLimits(p99_ratio=50.0)}, Code.TERMS),
    ({"last_known_good": "the one before"}, Code.TERMS),
    ({"provenance": Provenance("model", "m", "prompt")}, Code.TERMS),
    ({"provenance": Provenance(cost_usd=-1.0)}, Code.TERMS),
    ({"score": replace(SCORE, attached=False)}, Code.SCORE),
    ({"score": replace(SCORE, kernel="6.12")}, Code.SCORE),
    ({"score": replace(SCORE, provenance=None)}, Code.SCORE),
    ({"score": replace(SCORE, workload="other")}, Code.SCORE),
    ({"ratio": Ratio(9.0, (8.0, 10.0))}, Code.SCORE),
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("signer") / "keys"


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_no_other_verdict_gets_a_token_and_the_refusal_is_logged(keys, number):
    changes, code = REFUSALS[number]
    before = [e for e in trust(keys)["log"].entries if e.event == "issued"] if keys.exists() else []
    with refusal(code):
        issue(keys, **changes)
    entries = trust(keys)["log"].entries
    assert entries[-1].event == "refused" and entries[-1].reason
    assert [e for e in entries if e.event == "issued"] == before


@pytest.mark.parametrize("required", REQUIRED_STAGES)
def test_every_required_stage_is_required(keys, required):
    with refusal(Code.INCOMPLETE):
        issue(keys, stages=tuple(stage for stage in STAGES if stage.name != required))


@pytest.mark.parametrize("more", [{"nonce": "00" * 16}, {"version": 1}, {"expires": "2099-01-01"}, {"log": {}}])
def test_what_only_the_signer_may_say_cannot_be_asked_for(keys, more):
    with pytest.raises(InputError, match=f"unknown: {next(iter(more))}"):
        tell(keys, "verify", {"work": {"file": "x.bpf.c"}, "says": {"audience": "host-1", **more}})


def test_versions_grow_and_nonces_differ_though_the_clock_goes_back(keys, monkeypatch):
    tokens = [check(keys, issue(keys)) for _ in range(3)]

    class Earlier(signer.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - timedelta(days=3)

    monkeypatch.setattr(signer, "datetime", Earlier)
    tokens += [parse_payload(payload(issue(keys))) for _ in range(2)]
    versions = [token.version for token in tokens]
    assert versions == sorted(set(versions)) and len({token.nonce for token in tokens}) == 5
    assert parse_payload(payload(issue(keys, audience="host-2"))).version < versions[-1]


def test_a_request_gets_what_it_may_ask_for(keys):
    wanted = {
        "rollout_limit": "host", "tier": "full", "breaker": BreakerLimits(1000, 1.1), "last_known_good": sha("before"),
        "limits": ("needs 2 CPUs",), "provenance": Provenance("model", "some-model", sha("prompt"), 0.02),
        "valid_for_s": 3600,
    }  # fmt: skip
    token = check(keys, issue(keys, **wanted), stage="host")
    assert token.expires - token.issued == timedelta(hours=1) and token.breaker == wanted["breaker"]
    assert token.limits[1:] == ("needs 2 CPUs",) and token.provenance == wanted["provenance"]


def test_too_little_coverage_is_said_in_a_canarys_token_and_enough_is_not(keys):
    token = check(keys, issue(keys, coverage=HALF))
    assert (
        "no rollout beyond the canary: 50 % of the branches outside error paths were tried (1 of 2)" in token.limits[-1]
    )
    assert (token.coverage.branches, token.coverage.min_percent) == (Share(1, 2), 95)
    token = check(keys, issue(keys, coverage=Coverage("the guest did not tell")))
    assert token.coverage is None and "not known: the guest did not tell" in token.limits[-1]
    token = check(keys, issue(keys, coverage=HALF, min_coverage=50, rollout_limit="host", tier="full"), stage="host")
    assert len(token.limits) == 1 and token.coverage.min_percent == 50


def test_what_a_stage_leaves_open_is_settled_by_a_later_one(keys):
    assert check(keys, issue(keys, stages=(replace(STAGES[0], findings=(OPEN,)), *STAGES[1:])))


def test_a_revoked_object_gets_no_new_token(keys):
    revoke(keys, "object", sha("evil"), "it kills the host")
    with refusal(Code.REVOKED):
        issue(keys, object_sha256=sha("evil"), score=None)


def test_through_the_door_errors_keep_their_kind(tmp_path):
    directory = tmp_path / "keys"
    made = request_revocation(directory, "nonce", "ab" * 16, "why")
    assert made["version"] == 2 and trust(directory)["log"].entries[-1].event == "revoked"
    with pytest.raises(InputError, match="'xyz' is no nonce"):
        request_revocation(directory, "nonce", "xyz", "why")
    (directory / PRIVATE).chmod(0o640)
    with pytest.raises(KeyFileError, match=r"others may use it .*`chmod 600") as caught:
        request_revocation(directory, "nonce", "cd" * 16, "why")
    assert caught.value.exit_status == 4


def test_a_signer_that_cannot_start_is_a_failure_of_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "ROOT", tmp_path)
    monkeypatch.setattr(client, "START", "raise SystemExit('no such thing')")
    with pytest.raises(InfraError, match="the signer ended without an answer: no such thing"):
        request_revocation(tmp_path / "keys", "nonce", "ab" * 16, "why")
    monkeypatch.setattr(client, "START", "import time; time.sleep(60)")
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(client, "ENDING_S", 0.2)
    with pytest.raises(InfraError, match="the signer gave no answer"):
        request_revocation(tmp_path / "keys", "nonce", "ab" * 16, "why")


def test_the_environment_cannot_put_code_into_the_signer(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n")
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    request_revocation(tmp_path / "keys", "nonce", "ab" * 16, "why")
    assert not (tmp_path / "ran").exists()


CALLER = """
import os, sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from tasks.host.settings import load_settings
from tasks.tokens import issue
from tasks.planners import choose
from verifier_vm.tokens.client import request_revocation
request_revocation(load_settings().key_dir, "nonce", "ab" * 16, "why")
path = load_settings().key_dir / "log.jsonl"
secret = [name for name in sys.modules if name.split(".")[-1] in ("private_key", "key_store", "signer")]
fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
links = [os.readlink(fd) for fd in fds if os.path.exists(fd)]
touched = [name for name in opened + links if "signing.key" in name]
print(path, secret, touched, flush=True)
sys.stdin.read()
"""


def test_the_caller_never_holds_the_private_key(tmp_path):
    """Not as a module, not as an open file, and not one byte of it in memory (looked for from outside)."""
    directory = tmp_path / "elsewhere" / "keys"
    env = {**os.environ, "SCHEDCP_KEY_STORE": str(directory), "SCHEDCP_DATA_DIR": str(tmp_path / "data")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", CALLER], env=env, cwd=client.ROOT, **pipes) as caller:
        try:
            path, rest = caller.stdout.readline().strip().split(" ", 1)
            assert Path(path).is_file() and rest == "[] []"
            pem = (directory / PRIVATE).read_bytes()
            seed = load_pem_private_key(pem, None).private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            public = (directory / PUBLIC).read_bytes().splitlines()[1]
            needles = {"raw": seed, "base64": base64.b64encode(seed), "pem": pem.splitlines()[1]}
            memory = _memory(caller.pid)
            assert len(memory) > 1 << 20 and b"verifier_vm.tokens.client" in memory  # that we can read it at all
            assert [name for name, needle in needles.items() if needle in memory] == []
            assert public != pem.splitlines()[1]
        finally:
            caller.stdin.close()


def _memory(pid: int) -> bytes:
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            bounds, permissions, *_ = line.split()
            low, high = (int(number, 16) for number in bounds.split("-"))
            if permissions.startswith("rw") and high - low < 1 << 28:
                try:
                    memory.seek(low)
                    parts.append(memory.read(high - low))
                except (OSError, ValueError):
                    continue
    return b"".join(parts)


def test_the_signer_leaves_no_core_file_and_cannot_be_traced(tmp_path):
    code = (
        "import ctypes, os, resource; from verifier_vm.tokens import signer; import io\n"
        "signer.main(['/none'], io.BytesIO(b''), io.BytesIO())\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=client.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "0 (0, 0) 0o77"
