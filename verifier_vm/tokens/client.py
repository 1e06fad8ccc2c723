# SPDX-License-Identifier: Apache-2.0
"""The signer's client: what all others call, and all that they see of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError
from policy_lake.model import to_json
from policy_lake.secrets import child_environment
from verifier_vm.tokens.errors import Code, KeyFileError, TokenError
from verifier_vm.tokens.request import TokenRequest

TIMEOUT_S = 60.0
# What our packages are imported from: the checkout, or where the wheel that has them is installed.
ROOT = Path(__file__).resolve().parents[__name__.count(".")]
SIGNER = f"{__package__}.signer"
# The interpreter is isolated from what the environment or the working directory would have it import; ours is added
# last, so that nothing in it stands before the standard library.
START = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"


def request_token(directory: Path, request: TokenRequest) -> tuple[dict[str, Any], str]:
    """The signed envelope and the token's digest; TokenError with the reason when the signer says no.

    `directory` is the key's. InfraError if the signer could not work, for example as the disk is full.
    """
    answer = _ask(directory, "issue", to_json(request))
    return answer["envelope"], answer["token_sha256"]


def request_revocation(directory: Path, kind: str, value: str, reason: str) -> dict[str, Any]:
    """Has a nonce or an object revoked, and returns the list as it then is."""
    return _ask(directory, "revoke", {"kind": kind, "value": value, "reason": reason})


def request_restoration(directory: Path) -> dict[str, Any]:
    """Has a lost revocation list made anew from the log."""
    return _ask(directory, "restore", {})


def _ask(directory: Path, do: str, data: dict[str, Any]) -> dict[str, Any]:
    try:
        message = json.dumps({"do": do, "data": data}, allow_nan=False).encode()
    except ValueError as error:
        raise InputError(f"not to be signed: {error}") from error
    command = [sys.executable, "-I", "-c", START, str(ROOT), SIGNER, str(directory)]
    try:
        # In a session of its own: an interrupt at the terminal is not to cut a line of the log short.
        done = subprocess.run(
            command, input=message, capture_output=True, timeout=TIMEOUT_S, check=False, start_new_session=True,
            env=child_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"the signer gave no answer: {error}") from error
    try:
        reply = json.loads(done.stdout)
    except ValueError:
        last_line = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        reason = last_line[0][:200] if last_line else f"exit status {done.returncode}"
        raise InfraError(f"the signer ended without an answer: {reason}") from None
    if reply["ok"]:
        return dict(reply["answer"])
    if "code" in reply:
        raise TokenError(reply["error"], Code(reply["code"]))
    raise InputError(reply["error"]) if reply["exit_status"] == InputError.exit_status else KeyFileError(reply["error"])
