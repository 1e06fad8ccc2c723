# SPDX-License-Identifier: Apache-2.0
"""The output of a command with `--json`, held against the schema that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


def contract(stdout: str) -> dict[str, Any]:
    """The one JSON object on stdout, valid by the schema in docs/schemas/ that its field `schema` names."""
    printed = json.loads(stdout)
    project, name, version = printed["schema"].split("/")
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    assert project == "schedcp" and schema["$id"] == f"urn:schedcp:{name}:{version}"
    assert printed.keys() <= schema["properties"].keys(), "a field of which the contract says nothing"
    Draft202012Validator(schema).validate(printed)
    return dict(printed)
