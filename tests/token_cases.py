# SPDX-License-Identifier: Apache-2.0
"""Tokens made by the real signer's code in a temporary directory, for the tests of what may become of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from score_cases import provenance

from policy_lake.coverage import Branch, FileCoverage, counted
from policy_lake.errors import InfraError, InputError
from policy_lake.model import Finding, Stage, Verdict
from policy_lake.scores import Pair, Ratio, Score
from policy_lake.topology import HostCpus, Topology
from tasks.host.audience import audience
from tasks.tokens.issue import keep_token
from tasks.verify import Verified
from verifier_vm.tokens import signer
from verifier_vm.tokens.audit_log import read_log
from verifier_vm.tokens.check import Attachment, check_token
from verifier_vm.tokens.dsse import canonical_json, seal
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.key_store import open_key_store
from verifier_vm.tokens.public_key import PUBLIC, read_public_key
from verifier_vm.tokens.request import TokenRequest
from verifier_vm.tokens.revocation import REVOCATIONS, read_revocations
from verifier_vm.tokens.terms import REQUIRED_STAGES


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


NO_CGROUPS = Finding("F41", "note", "it has no cgroup ops, so weights and quotas of cgroups are void")
TRIED = (Topology(2), Topology(8, llcs=2, smt=2))
STAGES = tuple(
    Stage(name, True, 1.5, (NO_CGROUPS,) if name == "build" else (), topologies=TRIED if name == "survive" else ())
    for name in REQUIRED_STAGES
)
KERNEL = "7.3.4+deb13-cloud-amd64"
SCORE = Score(
    "score-1", "batch", "ljf", "eevdf", {}, "makespan_s", "s", "virtual", 2, (Pair(1.5, 1.2), Pair(1.5, 1.25)),
    Ratio(1.22, (1.2, 1.25)), 1.33, True, "win", kernel=KERNEL, provenance=provenance(object_sha256=sha("object")),
)  # fmt: skip
COVERAGE = counted(
    ("ljf_enqueue",), [FileCoverage("source/ljf.bpf.c", (60, 61), (62,), (63,))],
    [Branch("ljf_enqueue", "source/ljf.bpf.c", 60, 6, number, "ran", "ran") for number in range(10)],
)  # fmt: skip
REQUEST = TokenRequest(
    "ljf", sha("object"), sha("source"), ("slice_us=500", "long_comms=transcode"), KERNEL, sha("btf"), "host-1", STAGES,
    workload="batch", score=SCORE, coverage=COVERAGE,
)  # fmt: skip
HERE = Attachment(
    REQUEST.object_sha256, REQUEST.arguments, REQUEST.kernel, REQUEST.btf_sha256, REQUEST.audience, HostCpus(2)
)
ERRORS = {2: InputError, 4: InfraError}


def tell(directory: Path, do: str, data: Any) -> Any:
    """The signer's answer, in this process; its error, raised."""
    reply = signer.answer(signer.Place(directory), json.dumps({"do": do, "data": data}).encode())
    if "code" in reply:
        raise TokenError(reply["error"], Code(reply["code"]))
    if not reply["ok"]:
        raise ERRORS[reply["exit_status"]](reply["error"])
    return reply["answer"]


def issue(directory: Path, **changes: Any) -> dict[str, Any]:
    """The envelope of a token for the request with these changes."""
    return dict(signer.issue(directory, replace(REQUEST, **changes))["envelope"])


def kept_token(verdict: Verdict, source: str, settings: Any, **terms: Any) -> Path:
    """Where the token and report of a verdict lie, signed and written as if a verifier had seen it."""
    made = Verified(verdict, source, b"", terms.pop("arguments", ()), score=terms.get("score"))
    types = terms.pop("btf_sha256", sha("btf"))
    request = TokenRequest(
        verdict.ops, verdict.object_sha256, sha(source), made.arguments, verdict.kernel, types,
        audience(settings), verdict.stages, coverage=verdict.coverage, **terms,
    )  # fmt: skip
    return keep_token(signer.issue(settings.key_dir, request), made, settings)


def revoke(directory: Path, kind: str, value: str, reason: str = "it stalls under load") -> dict[str, Any]:
    return dict(tell(directory, "revoke", {"kind": kind, "value": value, "reason": reason}))


def payload(envelope: dict[str, Any]) -> bytes:
    return base64.b64decode(envelope["payload"])


def trust(directory: Path) -> dict[str, Any]:
    """What a check needs to know of the signer."""
    key = read_public_key(directory / PUBLIC)
    lists = read_revocations(directory / REVOCATIONS, key)
    return {"public_key": key, "revocations": lists, "log": read_log(directory, key), "allowed_lab": {key.id}}


def check(directory: Path, envelope: Any, *, now: datetime | None = None, **changes: Any) -> Any:
    """The check of a token where it was made; `changes` are of the attachment or of what the check is given."""
    here = {name: changes.pop(name) for name in HERE.__slots__ if name in changes}
    given = {**trust(directory), **changes}
    return check_token(envelope, replace(HERE, **here), now=now or datetime.now(UTC), **given)


def resigned(directory: Path, envelope: dict[str, Any], change: Any) -> dict[str, Any]:
    """A rightly signed envelope round the statement as `change` leaves it: what a stolen key could make."""
    statement = json.loads(payload(envelope))
    change(statement)
    with open_key_store(directory) as store:
        return seal(canonical_json(statement), store.key)


def expired(directory: Path, envelope: dict[str, Any]) -> dict[str, Any]:
    """The same token, issued eight days sooner, for as long."""

    def earlier(statement: Any) -> None:
        for said, name in ((statement["predicate"], "timeVerified"), (statement["predicate"]["schedcp"], "expires")):
            said[name] = (datetime.fromisoformat(said[name]) - 8 * DAY).isoformat().replace("+00:00", "Z")

    return resigned(directory, envelope, earlier)


@contextmanager
def refusal(*codes: Code) -> Iterator[None]:
    """What is done inside is refused with one of these codes, in one line."""
    with pytest.raises(TokenError) as caught:
        yield
    assert caught.value.code in codes, caught.value
    assert caught.value.exit_status == 3 and "\n" not in str(caught.value)


DAY = timedelta(days=1)


def history(directory: Path) -> Path:
    """A signer's directory in which things have happened, made there."""
    for number in range(3):
        issue(directory, audience=f"host-{number}")
    revoke(directory, "object", sha("bad"))
    return directory
