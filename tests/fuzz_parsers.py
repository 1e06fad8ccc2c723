# SPDX-License-Identifier: Apache-2.0
"""Every parser of what comes from outside, with valid inputs to start from and what it may say of another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import fuzz_files as files
import fuzz_words as words
from fuzz_inputs import BYTES, JSON, TEXT, Change

from policy_lake.errors import InfraError, InputError, LostVMError, SchedcpError


@dataclass(frozen=True)
class Parser:
    """`opened` gives the parser and what its process is beside ours; `errors` is all that it may raise."""

    name: str
    errors: tuple[type[SchedcpError], ...]
    opened: Callable[[], Any]
    changes: Sequence[Change]
    most: int  # bytes of the largest monster
    seeds: Callable[[], list[bytes]]
    extra: dict[str, Any] = field(default_factory=dict)


def _encoded(texts: Sequence[str]) -> Callable[[], list[bytes]]:
    return lambda: [text.encode(errors="replace") for text in texts]


PARSERS = (
    Parser("descriptor", (InputError,), files.descriptor_parser, TEXT, 200_000, files.descriptors),
    Parser("machine", (InputError,), files.machine_parser, TEXT, 200_000, files.machines),
    Parser("trace", (InputError,), files.trace_parser, BYTES, 1 << 20, files.traces),
    Parser("perf data", (InfraError,), files.perf_parser, BYTES, 1 << 20, files.recordings),
    Parser("token", files.token_errors(), files.token_parser, JSON, 2 << 20, files.tokens),
    Parser("schbench output", (InputError,), words.schbench_parser, JSON, 5 << 20, words.outputs),
    Parser("model answer", (), words.answer_parser, JSON, 5 << 20, words.answers),
    Parser("guest event", (InfraError,), words.event_parser, JSON, 16 << 20, words.events),
    Parser("exit record", (InfraError,), words.exit_record_parser, TEXT, 1 << 20, _encoded(words.EXITS)),
    Parser("profile", (InfraError, InputError), words.profile_parser, JSON, 5 << 20, words.profiles),
    Parser("timeline", (InfraError,), words.timeline_parser, TEXT, 5 << 20, words.timelines),
    Parser("suite reading", (LostVMError,), words.reading_parser, JSON, 5 << 20, words.readings),
    Parser("lake rows", files.lake_errors(), files.lake_parser, JSON, 5 << 20, files.lines),
    Parser("object", (), files.object_parser, BYTES, 1 << 20, files.objects),
    Parser("knobs and numbers", (InputError,), words.numbers_parser, TEXT, 1 << 20, _encoded(words.KNOBS)),
)  # fmt: skip
