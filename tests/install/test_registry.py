# SPDX-License-Identifier: Apache-2.0
"""A layout that `schedcp export` writes goes through other people's tools: skopeo, and a real registry on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from object_cases import object_bytes
from skipping import skip_or_fail
from token_cases import issue

from tasks.tokens.export import Exported, export_token
from verifier_vm.tokens.oci_layout import read_carried

OBJECT = object_bytes("vtime")
SHA = hashlib.sha256(OBJECT).hexdigest()
PULL = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"}


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    """Two tokens of one object."""
    settings: Any = SimpleNamespace(key_dir=tmp_path / "keys", object_dir=tmp_path)
    (tmp_path / f"{SHA}.bpf.o").write_bytes(OBJECT)
    for audience in ("host-1", "host-2"):
        token = tmp_path / f"{audience}.dsse.json"
        made = issue(settings.key_dir, object_sha256=SHA, score=None, policy="vtime", audience=audience)
        token.write_text(json.dumps(made))
        done = export_token(token, tmp_path / "layout", settings)
    return done


def skopeo(*words: str) -> None:
    if not shutil.which("skopeo"):
        skip_or_fail("skopeo is not installed: run `apt-get install skopeo`")
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def copy(source: str, to: str, done: Exported, *options: str) -> None:
    """The image and the list of its tokens, as the command's own output says it is done."""
    skopeo("copy", *options, f"{source}:{done.ref}", f"{to}:{done.ref}")
    skopeo("copy", "--all", *options, f"{source}:{done.referrers}", f"{to}:{done.referrers}")


def same(directory: Path, done: Exported) -> None:
    carried, here = read_carried(directory, done.ref), read_carried(done.directory, done.ref)
    assert carried == here and len(here.tokens) == 2 and here.object == OBJECT


def test_a_copy_of_a_copy_has_the_same_digests_object_and_tokens(exported: Exported, tmp_path: Path) -> None:
    copy(f"oci:{exported.directory}", f"oci:{tmp_path}/second", exported)
    copy(f"oci:{tmp_path}/second", f"oci:{tmp_path}/third", exported)
    for name in ("second", "third"):
        same(tmp_path / name, exported)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of Debian's docker-registry, on loopback."""
    if not shutil.which("docker-registry"):
        skip_or_fail("docker-registry is not installed: run `apt-get install docker-registry`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with (tmp_path / "registry.log").open("w") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://{address}/v2/", timeout=2):
                    break
            except (OSError, urllib.error.URLError):
                assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "registry.log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def test_it_goes_through_a_registry_and_back(exported: Exported, registry: str, tmp_path: Path) -> None:
    copy(f"oci:{exported.directory}", f"docker://{registry}/vtime", exported, "--dest-tls-verify=false")
    for tag, member in ((exported.ref, "layers"), (exported.referrers, "manifests")):
        request = urllib.request.Request(f"http://{registry}/v2/vtime/manifests/{tag}", headers=PULL)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)[member]
    copy(f"docker://{registry}/vtime", f"oci:{tmp_path}/back", exported, "--src-tls-verify=false")
    same(tmp_path / "back", exported)
