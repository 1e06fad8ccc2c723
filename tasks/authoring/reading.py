# SPDX-License-Identifier: Apache-2.0
"""What there is to read for who writes a policy: the authoring guide, and what each header offers, a line each."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import bpf
from bpf.composition import CHOICES, MECHANISM, RULES
from policy_lake.errors import InfraError

BPF = Path(bpf.__file__).parent
# Beside this file in a wheel, in docs/ of a checkout (control_plane/face/wheel_build.py).
PLACES = (Path(__file__).parent / "authoring.md", BPF.parent / "docs" / "authoring.md")
FUNCTION = re.compile(
    r"^static __always_inline (?P<type>[\w ]+?[ *]+)(?P<name>sx_\w+)\((?P<args>[^)]*)\)", re.MULTILINE
)
ABOUT = re.compile(r"/\*\s*\*?\s*(?P<text>.*?)\*/", re.DOTALL)
INNER = ("jobkey.h",)  # shared with a probe, and for nobody else


@functools.cache
def guide() -> str:
    """The authoring guide; InfraError when it is gone."""
    for place in PLACES:
        if place.is_file():
            return place.read_text()
    raise InfraError(f"{PLACES[-1]}: the authoring guide is not there: install schedcp anew")


@functools.cache
def choices() -> str:
    """Each of the composer's choices with its values, and the rules of what does not go together."""
    named = [f"{MECHANISM.get(name, name)}: {', '.join(values)}" for name, values in CHOICES.items()]
    return "\n".join([*named, *(f"not together: {rule.reason}" for rule in RULES)])


@functools.cache
def primitives() -> str:
    """Each header with what it is about, and its functions."""
    headers = sorted((BPF / "primitives").glob("*.h"))
    lines = []
    for path in [*sorted((BPF / "include" / "sx").glob("*.h")), *headers]:
        if path.name in INNER:
            continue
        text = path.read_text()
        functions = [f"{one['type']}{one['name']}({_plain(one['args'])})" for one in FUNCTION.finditer(text)]
        if functions:
            lines.append(f"{path.relative_to(path.parent.parent)}: {_about(text)}")
            lines += [f"  {function}" for function in functions]
    return "\n".join(lines)


def _about(text: str) -> str:
    """The header's first sentence behind the licence."""
    found = ABOUT.search(text, text.find("*/") + 2)
    said = " ".join(re.sub(r"\n\s*\*", " ", found["text"]).split()) if found else ""
    return re.split(r"(?<=[.])\s", said, maxsplit=1)[0][:160]


def _plain(arguments: str) -> str:
    """Parameters as they matter to a caller."""
    return re.sub(r"\bstruct (task_struct|cpumask) \*", r"\1 *", " ".join(arguments.split())).replace("const ", "")
