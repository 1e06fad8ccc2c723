# SPDX-License-Identifier: Apache-2.0
"""A signer's directory with tokens of a real object, and the OCI layouts that are written and changed there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from object_cases import object_bytes
from token_cases import issue

from tasks.tokens import export
from tasks.tokens.export import export_token

OBJECT = object_bytes("vtime")
SHA = hashlib.sha256(OBJECT).hexdigest()


class Place:
    """A signer's directory with tokens, and where layouts are written."""

    def __init__(self, root: Path) -> None:
        self.root, self.dir = root, root / "layout"
        self.settings: Any = SimpleNamespace(key_dir=root / "keys", object_dir=root)
        (root / f"{SHA}.bpf.o").write_bytes(OBJECT)

    def token(self, name: str = "a", **changes: Any) -> Path:
        made = issue(self.settings.key_dir, object_sha256=SHA, score=None, policy="vtime", **changes)
        path = self.root / f"{name}.dsse.json"
        path.write_text(json.dumps(made))
        return path

    def export(self, token: Path, to: Path | None = None, **more: Any) -> export.Exported:
        return export_token(token, to or self.dir, self.settings, **more)

    def blob(self, descriptor: dict[str, Any]) -> Any:
        content = (self.dir / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
        assert len(content) == descriptor["size"]
        return content if "json" not in descriptor["mediaType"] else json.loads(content)

    def put(self, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self.dir / "blobs/sha256" / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def change(self, change: Any) -> None:
        data = json.loads((self.dir / "index.json").read_text())
        change(data["manifests"])
        (self.dir / "index.json").write_text(json.dumps(data))

    def relayer(self, layer: bytes, **changes: Any) -> None:
        """The image with this layer in its place, its digests all right."""

        def change(listed: list[dict[str, Any]]) -> None:
            manifest = self.blob(listed[0])
            manifest["layers"] = [{**manifest["layers"][0], **self.put(layer), **changes}]
            listed[0].update(self.put(json.dumps(manifest).encode()))

        self.change(change)
