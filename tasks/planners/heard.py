# SPDX-License-Identifier: Apache-2.0
"""What a model's server answered instead of a plan, in our words, by the answer's status, kind and form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES = 1 << 16  # of a body, kept for what it says of an error
REDIRECTS = "it redirects, and redirects are not followed: give the address where it answers"
PAGE, EMPTY = "a page of HTML and no answer", "its answer is empty"
NO_JSON, NO_COMPLETION = "its answer is no JSON", "its answer has not the form of a chat completion"


@dataclass(slots=True)
class Heard:
    """The status of the last answer (0: none came), its content type, and how its body begins."""

    status: int = 0
    content_type: str = ""
    body: bytearray = field(default_factory=bytearray)

    def begin(self, status: int, content_type: str) -> None:
        """Another answer has come."""
        self.status, self.content_type = status, content_type.partition(";")[0].strip().lower()
        self.body.clear()

    def take(self, chunk: bytes) -> None:
        """A piece of its body, of which no more is kept than an error has."""
        self.body += chunk[: MOST_BYTES - len(self.body)]

    @property
    def redirects(self) -> bool:
        return 300 <= self.status < 400

    def reason(self) -> str:
        """Why it is no plan: the server's own words where it has some, which are not yet fit to be shown."""
        if self.redirects:
            return REDIRECTS
        if self.content_type == "text/html" or self.body.lstrip()[:1] == b"<":
            return PAGE
        text = self.body.decode(errors="replace").strip()
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return text if self.status >= 400 else NO_JSON if text else EMPTY
        return _words(said) or ("" if self.status >= 400 else NO_COMPLETION)


def _words(said: Any) -> str:
    """The message in an error's body, as OpenAI and those who follow it write one: `error.message`, or less of it."""
    for name in ("error", "message", "detail"):
        word = said.get(name) if isinstance(said, Mapping) else None
        if isinstance(word, Mapping):
            return _words(word)
        if isinstance(word, str) and word.strip():
            return word
    return ""
