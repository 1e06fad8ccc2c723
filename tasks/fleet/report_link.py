# SPDX-License-Identifier: Apache-2.0
"""A link from Prefect's artifacts to the pages of `schedcp report --html`, where somebody serves them."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from tasks.host.settings import Settings

_WORDS = re.compile(r"[^a-z0-9]+")


def slug(id: str) -> str:
    """A file's name for an id from outside: two ids never share one, and it leads nowhere."""
    words = _WORDS.sub("-", id.lower())[:60].strip("-")
    return f"{words or 'x'}-{hashlib.sha256(id.encode(errors='surrogatepass')).hexdigest()[:8]}"


def report_link(settings: Settings, folder: Literal["runs", "rollouts"], id: str) -> str:
    """A paragraph of Markdown that leads to the id's page; empty where no setting says where the report is."""
    if not settings.report_url:
        return ""
    return f"\n[Its page among all others]({settings.report_url.rstrip('/')}/{folder}/{slug(id)}.html)\n"
