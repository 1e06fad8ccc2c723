# SPDX-License-Identifier: Apache-2.0
"""A call to a model as the lake keeps it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from policy_lake.calls import CallStatus, Message, ModelCall
from policy_lake.errors import InputError
from policy_lake.show import for_prompt
from tasks.planners.cassette import load
from tasks.planners.endpoint import ModelEndpoint
from tasks.planners.protocol import PlanContext

if TYPE_CHECKING:
    from tasks.planners.ask import Reply


def call_record(
    endpoint: ModelEndpoint, context: PlanContext, messages: Sequence[Message], reply: Reply, *, began: float,
    turn: int, prompt: str, program: str,
) -> ModelCall:  # fmt: skip
    """What is known of a call when its answer came, or did not; what becomes of the answer's parts is added later."""
    used_in, used_out = reply.used
    return ModelCall(
        id=f"call-{secrets.token_hex(8)}",
        run_id=context.run_id,
        workload=context.profile.workload,
        iteration=context.iteration,
        turn=turn,
        started=datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds"),
        model=endpoint.model,
        url=endpoint.url,
        prompt=prompt,
        program=program,
        messages=tuple(messages),
        answer=reply.said,
        status=_status(reply),
        tokens_in=used_in,
        tokens_out=used_out,
        counted=reply.counted,
        usd=endpoint.cost_usd(used_in, used_out) if endpoint.priced else None,
        latency_s=round(time.time() - began, 3),
        reason=for_prompt(reply.error) if reply.error is not None else "",
        answered_by=load(endpoint.cassette).answered_by if endpoint.cassette is not None else "",
    )


def _status(reply: Reply) -> CallStatus:
    if reply.error is None:
        return "answered"
    if reply.again == "reword":
        return "malformed"
    return "refused" if isinstance(reply.error, InputError) else "failed"
