# SPDX-License-Identifier: Apache-2.0
"""A rollout's files and hosts by name: what is read, and what is wrong with the rest in one line."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from rollout_cases import PLAN

from policy_lake.errors import InfraError, InputError
from tasks.host.settings import load_settings
from tasks.hosts import describe
from tasks.hosts.reach import Address, Answer
from tasks.rollout.open import address_of_host
from tasks.rollout.spec import RolloutSpec, order_of


@pytest.fixture
def spec(tmp_path) -> RolloutSpec:
    (tmp_path / "a.token.json").write_bytes(b"token")
    (tmp_path / "a.bpf.o").write_bytes(b"\x7fELF")
    (tmp_path / "log.jsonl").write_bytes(b"line\n")
    (tmp_path / "log.head.json").write_text('{"head": 1}')
    (tmp_path / "revoked.dsse.json").write_text('{"revoked": 1}')
    tokens = (str(tmp_path / "a.token.json"),)
    return RolloutSpec("r", PLAN, tokens, str(tmp_path / "a.bpf.o"), ("fleet-1",), "fifo", trust=str(tmp_path))


def test_tokens_object_and_trust_are_read_when_it_begins(spec):
    order = order_of(spec)
    assert (order.tokens, order.image) == ((b"token",), b"\x7fELF")
    assert order.trust == {
        "log": base64.b64encode(b"line\n").decode(), "head": {"head": 1}, "revocations": {"revoked": 1}
    }  # fmt: skip
    assert order_of(replace(spec, trust="")).trust == {}


@pytest.mark.parametrize("name", ["a.token.json", "a.bpf.o", "log.jsonl", "log.head.json", "revoked.dsse.json"])
def test_a_file_that_is_gone_is_named(spec, tmp_path, name):
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        order_of(spec)


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff"])
def test_a_head_that_is_no_json_is_named(spec, tmp_path, content):
    (tmp_path / "log.head.json").write_bytes(content)
    with pytest.raises(InputError, match=r"log\.head\.json: not JSON"):
        order_of(spec)


def test_without_a_token_there_is_no_rollout(spec):
    with pytest.raises(InputError, match="0 tokens"):
        order_of(replace(spec, tokens=()))


def test_a_host_elsewhere_needs_our_certificates(tmp_path, monkeypatch):
    monkeypatch.delenv("SCHEDCP_CERTIFICATES", raising=False)
    with pytest.raises(InputError, match="SCHEDCP_CERTIFICATES"):
        address_of_host("web-1@10.0.0.7:7373", load_settings())
    monkeypatch.setenv("SCHEDCP_CERTIFICATES", str(tmp_path))
    found = address_of_host("web-1@10.0.0.7:7373", load_settings())
    assert found == Address("web-1", 7373, tmp_path, "10.0.0.7")


@pytest.mark.parametrize(
    "host", ["web-1@10.0.0.7", "@10.0.0.7:1", "a@b:0", "a@b:65536", "a@b:1 ", "a@b c:1", "a@\x1b:1", "nofleet", "x-1"]
)
def test_a_host_that_is_none_is_told_in_one_line(host, tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError) as told:
        address_of_host(host, load_settings())
    assert "\n" not in str(told.value)


TOLD = {
    "audience": "fleet:web", "kernel": "7.3.4", "btf_sha256": "0" * 64, "sched_ext": True, "hotplug": False,
    "cpus": {"cpus": 2, "llcs": 1, "smt": 1, "nodes": 1, "unequal": False},
}  # fmt: skip


def described(monkeypatch, answer: Answer):
    monkeypatch.setattr(describe, "ask", lambda address, request, **limits: answer)
    return describe.describe_elsewhere(Address("web-1", 1, None))


def test_a_host_is_what_its_agent_says(monkeypatch):
    host = described(monkeypatch, Answer(True, "", "", TOLD))
    assert (host.audience, host.cpus.cpus, host.features, host.kernel_sha256) == ("fleet:web", 2, ("sched_ext",), "")
    assert described(monkeypatch, Answer(True, "", "", {**TOLD, "sched_ext": 1})).features == ()


@pytest.mark.parametrize(
    "change", [{"kernel": 7}, {"kernel": "a\nb"}, {"btf_sha256": "x"}, {"cpus": {}}, {"cpus": None}, {"audience": ""}]
)
def test_what_describes_no_host_is_not_believed(monkeypatch, change):
    with pytest.raises(InfraError, match="web-1"):
        described(monkeypatch, Answer(True, "", "", json.loads(json.dumps({**TOLD, **change}))))


def test_an_agent_that_refuses_is_told(monkeypatch):
    with pytest.raises(InfraError, match="busy: later"):
        described(monkeypatch, Answer(False, "busy", "later", {}))
