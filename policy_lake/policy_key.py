# SPDX-License-Identifier: Apache-2.0
"""The name by which a host's circuit breaker knows a policy: its object with its knobs.

A leaf: the agent counts trips by it, and a rollout asks before it begins whether a host has quarantined the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from policy_lake.knobs import INTEGER, split_word


def policy_key(object_sha256: str, words: Iterable[str]) -> str:
    """`OBJECT_SHA256:KNOBS_SHA256`, the same for knobs in another order and for numbers that are written otherwise.

    A knob that is set to what the object has anyway counts as another than one that is not set: only who reads the
    object could tell, and a host reads no stranger's object.
    """
    settled = sorted(map(_settled, words))
    return f"{object_sha256}:{hashlib.sha256(json.dumps(settled).encode()).hexdigest()}"


def object_of(key: str) -> str:
    """The object of a policy's key; an agent before this one had nothing else in it."""
    return key.partition(":")[0]


def _settled(word: str) -> str:
    pair = split_word(word)
    if pair is None:
        return word
    return f"{pair[0]}={','.join(str(int(one, 0)) if INTEGER.fullmatch(one) else one for one in pair[1].split(','))}"
