# SPDX-License-Identifier: Apache-2.0
"""`make schemas`: writes docs/schemas/, one JSON Schema for each command's `--json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from control_plane.contract import OUTPUTS, file_name, json_schema


def schema_files() -> dict[str, str]:
    """The files' texts by name."""
    return {f"{file_name(command)}.json": json.dumps(json_schema(command), indent=1) + "\n" for command in OUTPUTS}


def main(folder: Path) -> None:
    """Write the schemas into `folder`; one of a command that is gone is deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = schema_files()
    for path in folder.glob("*.json"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
