# SPDX-License-Identifier: Apache-2.0
"""`schedcpd admit oci:DIR`: a policy out of an OCI layout, asked for over the agent's own socket as by anybody else.

Whoever runs it reads the layout with his own rights. Of its tokens those for this host's kernel and audience are tried,
the oldest version first, until the agent takes one; the agent checks each as it checks any, and keeps what it refused.
"""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any

from host_agent.protocol import LONGEST_LINE, VERSION
from policy_lake.errors import InfraError, InputError
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.dsse import open_unverified
from verifier_vm.tokens.errors import TokenError
from verifier_vm.tokens.oci_layout import Carried, place_of, read_carried
from verifier_vm.tokens.statement import parse_payload
from verifier_vm.tokens.terms import Token

ASK_S = 120.0  # an attachment takes some seconds, on a busy host many
DEEP = 16  # an answer of the agent's own
NEXT = ("used", "old_version", "expired", "not_yet_valid", "revoked", "later_stage")  # another token may still be good


class NotAdmittedError(TokenError):
    """The agent takes none of the tokens; `why` is its code for the last one."""

    def __init__(self, message: str, why: str) -> None:
        Exception.__init__(self, message)
        self.why = why


def admit(word: str, path: Path, **how: Any) -> dict[str, Any]:
    """What the agent at that socket says of the attachment; `how` is the request's further members.

    InputError for a layout that cannot be read or has no token for this host, NotAdmittedError where the agent
    refuses, InfraError where it does not answer.
    """
    place = place_of(word) or (Path(word), "")
    carried = read_carried(*place)
    here = _asked(path, "describe", {})
    last: dict[str, Any] = {}
    for token, envelope in _for_this_host(carried, here, str(place[0])):
        last = _asked(path, "attach", {
            "token": base64.b64encode(envelope).decode(), "object": base64.b64encode(carried.object).decode(),
            "knobs": list(token.arguments), **how,
        })  # fmt: skip
        if last["ok"]:
            return {"ref": carried.ref, "policy": token.policy, "nonce": token.nonce, **last}
        if last["code"] not in NEXT:
            break
    raise NotAdmittedError(f"{place[0]}: {carried.ref}: {last['code']}: {last['message']}", str(last["code"]))


def _for_this_host(carried: Carried, here: dict[str, Any], where: str) -> list[tuple[Token, bytes]]:
    tokens = []
    for envelope in carried.tokens:
        try:
            tokens.append((parse_payload(open_unverified(envelope)[0]), envelope))
        except TokenError as error:
            raise InputError(f"{where}: {carried.ref}: {error}") from None
    wanted = tuple(here.get(name) for name in ("audience", "kernel", "btf_sha256"))
    fit = [one for one in tokens if (one[0].audience, one[0].kernel, one[0].btf_sha256) == wanted]
    if not fit:
        raise InputError(f"{where}: {carried.ref}: none of its {len(tokens)} tokens is for {wanted[0]}, {wanted[1]}")
    return sorted(fit, key=lambda one: one[0].version)


def _asked(path: Path, request: str, given: dict[str, Any]) -> dict[str, Any]:
    line = json.dumps({"v": VERSION, "req": request, "id": request, **given}).encode() + b"\n"
    if len(line) > LONGEST_LINE:
        raise InputError(f"object and token take {len(line)} bytes in a request, which has {LONGEST_LINE} at most")
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(ASK_S)
            stream.connect(str(path))
            stream.sendall(line)
            with stream.makefile("rb") as lines:
                said = strict_object(lines.readline(LONGEST_LINE), most=LONGEST_LINE, deepest=DEEP)
        if said.get("ok") is True or (isinstance(said.get("code"), str) and isinstance(said.get("message"), str)):
            return {"ok": said.get("ok") is True, **said}
        raise ValueError("it neither takes nor refuses")
    except (OSError, ValueError) as error:
        raise InfraError(f"{path}: the agent does not answer: {getattr(error, 'strerror', None) or error}") from None
