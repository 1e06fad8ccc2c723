# SPDX-License-Identifier: Apache-2.0
"""The keys in this process's environment, and the environment of a child, which needs none of them: a leaf."""

from __future__ import annotations

import os

SECRETS = ("SCHEDCP_MODEL_API_KEY", "OPENAI_API_KEY")


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child that needs no secret: this process's own without keys, and `more`."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS} | more
