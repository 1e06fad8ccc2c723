# SPDX-License-Identifier: Apache-2.0
"""The keys in this process's environment, and the environment of a child, which needs none of them: a leaf."""

from __future__ import annotations

import os

MODEL_KEY = "SCHEDCP_MODEL_API_KEY"
ENDING = "_API_KEY"  # of our own, of OpenAI's, and of whatever else the user's shell has and is no child's business


def is_secret(name: str) -> bool:
    """Whether a variable of that name holds a key; settings are read whatever the case of their names."""
    return name.upper().endswith(ENDING)


def secret_names() -> list[str]:
    """The variables of this process that hold keys."""
    return [name for name in os.environ if is_secret(name)]


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child that needs no secret: this process's own without keys, and `more`."""
    return {name: value for name, value in os.environ.items() if not is_secret(name)} | more
