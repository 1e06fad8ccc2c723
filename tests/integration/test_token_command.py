# SPDX-License-Identifier: Apache-2.0
"""`schedcp token …` as a user meets it: what is printed, the exit statuses, one line on errors."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from pathlib import Path

import pytest
from contract_cases import contract
from object_cases import object_bytes
from token_cases import SCORE, STAGES, expired, kept_token, payload, sha

from control_plane import cli
from policy_lake.model import Verdict
from policy_lake.topology import HostCpus
from tasks.host import audience as audiences
from tasks.host.settings import Settings
from tasks.tokens.check import HOST_BTF
from tasks.tokens.issue import report_path
from verifier_vm.tokens.audit_log import LOG
from verifier_vm.tokens.check import Attachment
from verifier_vm.tokens.consume import consume_token
from verifier_vm.tokens.errors import Code
from verifier_vm.tokens.host_state import create_host_state
from verifier_vm.tokens.private_key import PRIVATE
from verifier_vm.tokens.public_key import PUBLIC
from verifier_vm.tokens.revocation import REVOCATIONS
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import Provenance

KNOBS = ("slice_us=500", "long_comms=transcode")
THERE = ("--kernel", SCORE.kernel, "--btf", sha("btf"), "--topology", "cpus=2")  # whatever host tests run on
VERDICT = Verdict(True, None, STAGES, "ljf", sha("object"), SCORE.kernel)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data = tmp_path_factory.mktemp("data") / "schedcp"
    settings = Settings(data_dir=data, key_store=None, audience="host-1")
    kept_token(
        VERDICT, "source", settings, arguments=KNOBS, btf_sha256=sha("btf"), score=SCORE,
        provenance=Provenance("model", "some-model", sha("prompt"), 0.0213),
    )  # fmt: skip
    return data


@pytest.fixture
def data(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDCP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SCHEDCP_AUDIENCE", "host-1")
    monkeypatch.delenv("SCHEDCP_KEY_STORE", raising=False)
    return shutil.copytree(made, tmp_path / "data", copy_function=shutil.copy2)


@pytest.fixture
def token(data):
    (path,) = (data / "tokens").glob("*.dsse.json")
    return path


@pytest.fixture
def schedcp(monkeypatch, capsys):
    """Runs a command; its exit status, what it printed, and what it complained of."""

    def call(*args):
        monkeypatch.setattr("sys.argv", ["schedcp", *map(str, args)])
        status: object = 0  # of a command that returns, which the interpreter makes its exit status
        try:
            cli.main()
        except SystemExit as ending:
            status = ending.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def refused(schedcp):
    """Runs a command that is to be refused with this code, or to be bad input with these words."""

    def call(why, *args):
        status = 3 if isinstance(why, Code) else 2
        code, out, err = schedcp(*args)
        assert (code, out) == (status, "") and err.startswith("schedcp: ") and err.count("\n") == 1, (code, out, err)
        if isinstance(why, Code):
            assert json.loads(schedcp(*args, "--json")[1])["code"] == why, err
        else:
            assert why in err

    return call


def test_show_says_what_is_allowed_and_what_is_not(schedcp, token):
    code, out, _ = schedcp("token", "show", token)
    assert code == 0
    for words in (
        "allows: to load ljf", "with slice_us=500, long_comms=transcode", "host host-1", "does not allow: any other",
        "once, up to the rollout stage canary", "beware: cgroup weights and quotas", "SCHEDCP_SURVIVES",
        "waits at most 5000 ms", "limits by which a host's agent takes it off",
        "last known good: the scheduler of the kernel",
        "1.22x", "model some-model", "cost 0.0213 USD",
        "report beside it: as signed",
    ):  # fmt: skip
        assert words in out, words
    code, out, _ = schedcp("token", "show", token, "--json")
    answer = contract(out)
    assert code == 0 and answer["trusted"] is True and answer["token"]["audience"] == "host-1"
    assert [stage["name"] for stage in answer["token"]["stages"]] == [stage.name for stage in STAGES]


def test_show_of_a_token_that_is_not_ours_says_so_first(schedcp, token, data, tmp_path):
    envelope = json.loads(token.read_text())
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    token.write_text(json.dumps(envelope))
    code, out, _ = schedcp("token", "show", token)
    assert code == 3 and out.startswith("not to be trusted: the token's signature is wrong") and "what it claims" in out
    shutil.rmtree(data / "keys")
    code, out, _ = schedcp("token", "show", token, "--json")
    assert code == 3 and json.loads(out)["code"] == Code.NO_KEY


def test_check_holds_where_it_was_made_for(schedcp, token, tmp_path):
    code, out, _ = schedcp("token", "check", token, *THERE)
    assert code == 0 and out.startswith("holds: ljf may be loaded here until") and "not compared: the object" in out
    (tmp_path / "o.bpf.o").write_bytes(b"object")
    with_object = ("--object", tmp_path / "o.bpf.o", *(word for knob in KNOBS for word in ("--knob", knob)))
    code, out, _ = schedcp("token", "check", token, *THERE, *with_object, "--json")
    assert code == 0 and contract(out)["object_compared"] is True and contract(out)["report"] == "as_signed"


def test_a_knob_may_be_written_in_any_form_and_order_where_the_object_is_known(schedcp, refused, data, tmp_path):
    data_of_object = object_bytes("ljf")
    sha256 = hashlib.sha256(data_of_object).hexdigest()
    verdict = Verdict(True, None, STAGES, "ljf", sha256, SCORE.kernel)
    words = ("job_comm=Isolated Web Co,a=b", "slice_ns=5000000")
    path = kept_token(verdict, "source", Settings(), arguments=words, btf_sha256=sha("btf"))
    (tmp_path / "ljf.bpf.o").write_bytes(data_of_object)
    alike = ("--knob", "slice_ns=0x4C4B40", "--knob", "job_comm= Isolated Web Co, a=b")
    there = ("token", "check", path, "--kernel", SCORE.kernel, "--btf", sha("btf"))
    refused(Code.OTHER_ARGUMENTS, *there, *alike)  # nobody knows the types: 0x4C4B40 might be a name
    assert schedcp(*there, "--object", tmp_path / "ljf.bpf.o", *alike)[0] == 0
    (data / "objects").mkdir()
    (data / "objects" / f"{sha256}.bpf.o").write_bytes(data_of_object)
    assert schedcp(*there, *alike)[0] == 0
    refused(Code.OTHER_ARGUMENTS, *there, "--knob", "slice_ns=0x4C4B41", "--knob", "job_comm=a=b")
    refused("'slice_ns' is a whole number, not 'soon'", *there, "--knob", "slice_ns=soon")
    refused("no variable 'slice'", *there, "--knob", "slice=5")


def test_check_refuses_everything_else_with_the_reason(refused, token, tmp_path, monkeypatch):
    (tmp_path / "o.bpf.o").write_bytes(b"tampered")
    (tmp_path / "good.bpf.o").write_bytes(b"object")
    refused(Code.OTHER_OBJECT, "token", "check", token, *THERE, "--object", tmp_path / "o.bpf.o")
    refused(Code.OTHER_ARGUMENTS, "token", "check", token, *THERE, "--object", tmp_path / "good.bpf.o")
    refused(Code.OTHER_ARGUMENTS, "token", "check", token, *THERE, "--knob", "slice_us=501")
    refused(Code.LATER_STAGE, "token", "check", token, *THERE, "--stage", "fleet")
    refused(Code.OTHER_KERNEL, "token", "check", token, "--btf", sha("btf"))
    refused(Code.OTHER_BTF, "token", "check", token, "--kernel", SCORE.kernel, "--btf", sha("other"))
    monkeypatch.setenv("SCHEDCP_AUDIENCE", "host-2")
    refused(Code.OTHER_AUDIENCE, "token", "check", token, *THERE)


def test_an_expired_token_is_told_before_what_else_is_wrong_with_it(refused, schedcp, token, data):
    token.write_text(json.dumps(expired(data / "keys", json.loads(token.read_text()))))
    refused(Code.EXPIRED, "token", "check", token, *THERE)
    refused(Code.EXPIRED, "token", "check", token, "--kernel", "7.9")
    assert "again for a new one (schedcp verify)" in schedcp("token", "check", token)[2]


def test_the_hosts_own_types_are_what_counts_unless_said(refused, schedcp, token, monkeypatch, tmp_path):
    (tmp_path / "btf").write_bytes(b"btf")
    monkeypatch.setattr("tasks.tokens.check.HOST_BTF", tmp_path / "btf")
    assert schedcp("token", "check", token, "--kernel", SCORE.kernel)[0] == 0
    monkeypatch.setattr("tasks.tokens.check.HOST_BTF", tmp_path / "none")
    refused(Code.UNREADABLE, "token", "check", token, "--kernel", SCORE.kernel)
    assert Path("/sys/kernel/btf/vmlinux") == HOST_BTF


def test_what_can_not_be_known_is_a_refusal(refused, schedcp, token, data):
    for name, code in ((REVOCATIONS, Code.UNREADABLE), (LOG, Code.LOG_GONE), (PUBLIC, Code.NO_KEY)):
        content = (data / "keys" / name).read_bytes()
        (data / "keys" / name).unlink()
        refused(code, "token", "check", token, *THERE)
        (data / "keys" / name).write_bytes(content)
    report_path(token).write_bytes(report_path(token).read_bytes().replace(b'"seconds":1.5', b'"seconds":9.5'))
    refused(Code.REPORT_CHANGED, "token", "check", token, *THERE)
    report_path(token).unlink()
    code, out, _ = schedcp("token", "check", token, *THERE)
    assert code == 0 and "report beside it: missing" in out


def test_bad_input_is_told_in_one_line(refused, schedcp, token, tmp_path):
    refused("/none: no such file", "token", "check", "/none")
    refused("/: no plain file", "token", "show", "/")
    refused("/dev/null: no plain file", "token", "check", token, *THERE, "--object", "/dev/null")
    refused("/none.o: no such file", "token", "check", token, *THERE, "--object", "/none.o")
    refused("--knob 'slice': not NAME=VALUE", "token", "check", token, "--knob", "slice")
    refused("--stage moon: not one of canary, host, fleet", "token", "check", token, "--stage", "moon")
    refused("--btf abc: no SHA-256", "token", "check", token, "--btf", "abc")
    refused("'nonsense' is no file, no nonce", "token", "revoke", "nonsense", "--reason", "x")
    refused("a revocation needs a reason", "token", "revoke", token, "--reason", " ")
    for content in (b"", b"\xff", b"{}", b"[" * 100_000, b" " * (2 << 20)):
        (tmp_path / "x").write_bytes(content)
        for command in ("show", "check"):
            code, out, err = schedcp("token", command, tmp_path / "x")
            assert code == 2 and out == "" and err.count("\n") == 1, err
            assert err.count(str(tmp_path / "x")) == 1, err
        code, _, err = schedcp("token", "revoke", tmp_path / "x", "--reason", "x")
        assert code == 2 and err.count(str(tmp_path / "x")) == 1, err
    assert contract(schedcp("token", "check", "/none", "--json")[1])["exit_status"] == 2


def test_revoke_by_file_nonce_and_object(refused, schedcp, token, data):
    nonce = parse_payload(payload(json.loads(token.read_text()))).nonce
    code, out, _ = schedcp("token", "revoke", token, "--reason", "p99 went up", "--json")
    assert code == 0 and contract(out) == {
        "schema": "schedcp/token-revoke/1", "kind": "nonce", "value": nonce, "reason": "p99 went up", "version": 2,
        "already": False,
    }  # fmt: skip
    refused(Code.REVOKED, "token", "check", token, *THERE)
    code, out, _ = schedcp("token", "show", token)
    assert code == 3 and out.startswith("not to be trusted: the token was revoked: p99 went up")
    assert contract(schedcp("token", "show", token, "--json")[1])["code"] == Code.REVOKED
    code, out, _ = schedcp("token", "revoke", nonce, "--reason", "again")
    assert code == 0 and "revoked already: nonce" in out and "the list is still version 2, with 1 on it" in out
    code, out, _ = schedcp("token", "revoke", sha("object"), "--reason", "F01")
    assert code == 0 and "the list is now version 3, with 2 on it" in out
    code, out, _ = schedcp("token", "log")
    assert code == 0 and out.count("revoked") == 2 and "4 entries, the chain holds, revocation list version 3" in out
    answer = contract(schedcp("token", "log", "--check", "--json")[1])
    assert answer["holds"] is True and (answer["count"], answer["entries"]) == (4, [])
    (data / "keys" / REVOCATIONS).unlink()
    refused(Code.UNREADABLE, "token", "log", "--check")
    code, out, _ = schedcp("token", "restore")
    assert code == 0 and "restored: the list is version 4, with 2 on it" in out
    assert len(contract(schedcp("token", "log", "--json")[1])["entries"]) == 5
    (data / "keys" / REVOCATIONS).unlink()
    assert len(contract(schedcp("token", "restore", "--json")[1])["revoked"]) == 2
    refused(Code.REVOKED, "token", "check", token, *THERE)


def test_a_nonce_that_no_token_has_is_bad_input_and_nothing_is_written(refused, data, token):
    before = {path.name: path.read_bytes() for path in (data / "keys").iterdir()}
    refused("the log has no token with it", "token", "revoke", "ab" * 16, "--reason", "x")
    assert {path.name: path.read_bytes() for path in (data / "keys").iterdir()} == before


def test_where_a_service_signs_it_is_the_one_that_is_asked(schedcp, data, token, monkeypatch, tmp_path):
    monkeypatch.setenv("SCHEDCP_VERIFIER", str(tmp_path / "no.socket"))
    before = {path.name: path.read_bytes() for path in (data / "keys").iterdir()}
    for words in (("revoke", token, "--reason", "x"), ("restore",)):
        code, out, err = schedcp("token", *words)
        assert (code, out) == (4, "") and "the verifier service at" in err and err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in (data / "keys").iterdir()} == before


def test_a_log_that_was_cut_off_shows(refused, data, token):
    path = data / "keys" / LOG
    path.write_bytes(path.read_bytes()[:-1])
    refused(Code.LOG_BROKEN, "token", "log", "--check")
    refused(Code.LOG_BROKEN, "token", "check", token, *THERE)
    refused(Code.LOG_BROKEN, "token", "revoke", "ab" * 16, "--reason", "x")


def test_check_tells_of_what_this_host_has_admitted(refused, schedcp, data, token):
    from tasks.tokens.check import host_state_dir, read_signed_log
    from verifier_vm.tokens.public_key import read_public_key
    from verifier_vm.tokens.revocation import read_revocations

    settings = Settings()
    key = read_public_key(settings.key_dir / PUBLIC)
    what = Attachment(sha("object"), KNOBS, SCORE.kernel, sha("btf"), "host-1", HostCpus(2))
    create_host_state(host_state_dir(settings))
    assert schedcp("token", "check", token, *THERE)[0] == 0
    known = {"revocations": read_revocations(settings.key_dir / REVOCATIONS, key), "log": read_signed_log(settings)}
    known["allowed_lab"] = {key.id}
    now = parse_payload(payload(json.loads(token.read_text()))).issued
    consume_token(host_state_dir(settings), token.read_bytes(), what, now=now, public_key=key, **known)
    refused(Code.USED, "token", "check", token, *THERE)


def test_a_list_older_than_the_log_beside_it_is_refused(refused, schedcp, data, token):
    path = data / "keys" / REVOCATIONS
    before = path.read_bytes()
    schedcp("token", "revoke", token, "--reason", "p99 went up")
    path.write_bytes(before)
    refused(Code.OLD_REVOCATIONS, "token", "check", token, *THERE)
    refused(Code.OLD_REVOCATIONS, "token", "log", "--check")


@pytest.mark.parametrize("content", ["", "uninitialized\n", None])
def test_a_host_without_a_machine_id_is_known_by_its_name(content, tmp_path, monkeypatch):
    monkeypatch.setattr(audiences, "MACHINE_ID", tmp_path / "machine-id")
    if content is not None:
        (tmp_path / "machine-id").write_text(content)
    assert audiences.audience(Settings(audience="")) == f"host:{platform.node()}"
    (tmp_path / "machine-id").write_text("ab" * 16 + "\n")
    known = audiences.audience(Settings(audience=""))
    assert known.startswith("machine:") and "ab" * 16 not in known
    assert audiences.audience(Settings(audience="mine")) == "mine"


def test_a_policys_name_stays_inside_the_token_directory(data):
    verdict = Verdict(True, None, STAGES, "../../../x y", sha("o"), "7")
    path = kept_token(verdict, "", Settings(), btf_sha256=sha("btf"))
    assert path.parent == data / "tokens" and path.name.startswith(".._.._.._x_y-")


def test_a_key_that_is_a_link_signs_nothing(data, tmp_path):
    (data / "keys" / PRIVATE).rename(tmp_path / "key")
    (data / "keys" / PRIVATE).symlink_to(tmp_path / "key")
    before = sorted((data / "tokens").iterdir())
    with pytest.raises(Exception, match="symbolic links") as caught:
        kept_token(VERDICT, "", Settings(), btf_sha256=sha("btf"))
    assert caught.value.exit_status == 4 and sorted((data / "tokens").iterdir()) == before
    assert hashlib.sha256(b"object").hexdigest() == VERDICT.object_sha256
