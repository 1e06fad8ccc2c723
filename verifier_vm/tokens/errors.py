# SPDX-License-Identifier: Apache-2.0
"""Why there is no token, or none that holds: a code that programs go by, and a line for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policy_lake.errors import SchedcpError


class Code(StrEnum):
    """What was wrong; each test of a refusal asks for one of these."""

    UNREADABLE = "unreadable"  # a file is missing, no plain file or too large
    MALFORMED = "malformed"  # not a token (list, head, log entry, report, host state), or one that we would not write
    NO_KEY = "no_key"
    OTHER_KEY = "other_key"  # signed, but not with the key that is trusted here
    BAD_SIGNATURE = "bad_signature"
    LAB_KEY = "lab_key"  # signed by a lab key, which this host's administrator has not allowed by name
    OTHER_OBJECT = "other_object"
    OTHER_ARGUMENTS = "other_arguments"
    OTHER_KERNEL = "other_kernel"
    OTHER_BTF = "other_btf"
    OTHER_AUDIENCE = "other_audience"
    OTHER_VERIFIER = "other_verifier"
    LATER_STAGE = "later_stage"  # beyond the token's rollout limit
    OTHER_TOPOLOGY = "other_topology"  # more CPUs than were tried, or another kind of machine
    ENDS_BY_HOTPLUG = "ends_by_hotplug"  # and the host takes no such policy
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    NOT_LOGGED = "not_logged"  # the audit log has no such entry
    USED = "used"  # this host has consumed the nonce
    OLD_VERSION = "old_version"  # of the policy's token, on this host
    OLD_REVOCATIONS = "old_revocations"  # a list older than one seen before
    OTHER_LOG = "other_log"  # not the log seen before
    LOG_BROKEN = "log_broken"  # cut off, changed, or not what its head says
    LOG_GONE = "log_gone"  # log, head or list is missing beside what is left of them, or on a host that has seen it
    OPEN_STORE = "open_store"  # others could have written what a check goes by
    HOST_STATE = "host_state"  # the host's own state cannot be trusted, or would grow too large
    INCOMPLETE = "incomplete"  # the verdict lacks a stage, or has one that is not passed
    REJECTED = "rejected"  # a finding speaks against the verdict, or is left open
    SCORE = "score"  # the score is of something else, or proves nothing
    MADE_UP = "made_up"  # a verdict that did not come from the verifier's own process
    TERMS = "terms"  # what was asked for is beyond the limits
    REPORT_OTHER = "report_other"  # the report beside the token belongs to another token
    REPORT_CHANGED = "report_changed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A code and its line."""

    code: Code
    reason: str


class TokenError(SchedcpError):
    """The token authorises nothing, or there is none; `code` says which way, the message is the reason."""

    exit_status = 3

    def __init__(self, message: str, code: Code) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:  # Ray pickles errors, and Exception's own reduce drops `code`
        return type(self), (str(self), self.code)


class KeyFileError(SchedcpError):
    """A key file that cannot be trusted or read; the message names it and the mending command."""


def in_one_line(error: object) -> str:
    """An error's text in one line of bounded length."""
    return " ".join(str(error).split())[:200]
