# SPDX-License-Identifier: Apache-2.0
"""A policy in an OCI layout: what is written, to the byte, and what is not carried."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from object_cases import object_bytes
from oci_cases import OBJECT, SHA, Place
from token_cases import expired, refusal, resigned, revoke

from policy_lake import files
from policy_lake.errors import InfraError, InputError
from verifier_vm.tokens import oci_layout as oci
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.errors import Code, TokenError


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_is_an_image_with_the_object_and_a_referrer_with_the_envelope(place: Place) -> None:
    token = place.token()
    done = place.export(token)
    image, listed = json.loads((place.dir / "index.json").read_text())["manifests"]
    assert image["annotations"] == {oci.REF: done.ref} and done.ref == f"vtime-{SHA[:12]}"
    assert json.loads((place.dir / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    manifest = place.blob(image)
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    tar = gzip.decompress(place.blob(layer))
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        assert opened.getnames() == ["policy.bpf.o"]
        assert opened.extractfile("policy.bpf.o").read() == OBJECT
    config = place.blob(manifest["config"])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}"]
    labels = config["config"]["Labels"]
    programs, maps = (json.loads(labels[f"io.ebpf.{name}"]) for name in ("programs", "maps"))
    assert "vtime_enqueue" in programs and set(programs.values()) == {"struct_ops"}
    assert maps["vtime_ops"] == "struct_ops" and "task_storage" in maps.values()
    assert labels["org.opencontainers.image.title"] == "vtime" and labels["org.opencontainers.image.version"] == SHA
    assert labels["org.schedkit.scheduler.kernel.min-version"] == "6.12"
    assert listed["annotations"] == {oci.REF: f"sha256-{image['digest'].removeprefix('sha256:')}"}
    (entry,) = place.blob(listed)["manifests"]
    referrer = place.blob(entry)
    assert referrer["subject"]["digest"] == image["digest"] and referrer["subject"]["size"] == image["size"]
    assert entry["artifactType"] == referrer["artifactType"] == "application/vnd.in-toto+json"
    assert place.blob({**referrer["layers"][0], "mediaType": ""}) == token.read_bytes()
    assert referrer["layers"][0]["mediaType"] == "application/vnd.dsse.envelope.v1+json"
    assert oci.read_carried(place.dir) == oci.Carried(
        done.ref, image["digest"].removeprefix("sha256:"), OBJECT, (token.read_bytes(),)
    )


def test_it_is_the_same_to_the_byte_and_a_second_token_is_added_to_it(place: Place, tmp_path: Path) -> None:
    first, second = place.token("a"), place.token("b", audience="host-2")
    place.export(first)
    place.export(first, tmp_path / "again")
    assert tree(place.dir) == tree(tmp_path / "again")
    before = tree(place.dir)
    place.export(first)  # once more: nothing new
    assert tree(place.dir) == before
    assert place.export(second).tokens == 2
    place.export(second, tmp_path / "other")
    place.export(first, tmp_path / "other")
    assert (place.dir / "index.json").read_bytes() == (tmp_path / "other/index.json").read_bytes()
    assert sorted(oci.read_carried(place.dir).tokens) == sorted(path.read_bytes() for path in (first, second))


def test_another_image_of_the_layout_stays_and_is_found_by_its_name(place: Place) -> None:
    place.export(place.token())
    theirs = {"mediaType": oci.MANIFEST_TYPE, **place.put(b"{}"), "annotations": {oci.REF: "theirs"}}
    place.change(lambda listed: listed.insert(0, theirs))
    place.export(place.token("b", audience="h"))
    assert json.loads((place.dir / "index.json").read_text())["manifests"][0] == theirs
    with pytest.raises(InputError, match="2 images; it has: theirs, vtime-"):
        oci.read_carried(place.dir)
    assert len(oci.read_carried(place.dir, f"vtime-{SHA[:12]}").tokens) == 2
    with pytest.raises(InputError, match="0 images are 'none'"):
        oci.read_carried(place.dir, "none")


def test_a_directory_with_other_things_and_a_layout_with_links_are_left_alone(place: Place, tmp_path: Path) -> None:
    token = place.token()
    place.dir.mkdir()
    place.export(token)  # an empty one is as good as none
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("x")
    with pytest.raises(InputError, match="neither an empty directory nor"):
        place.export(token, other)
    assert [path.name for path in other.iterdir()] == ["mine"]
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("oci-layout", "index.json"):
        (linked / name).write_bytes((place.dir / name).read_bytes())
    (linked / "blobs").symlink_to(other)
    for what in (lambda: place.export(token, linked), lambda: oci.read_carried(linked)):
        with pytest.raises(InputError, match="blobs"):
            what()
    assert [path.name for path in other.iterdir()] == ["mine"]


@pytest.mark.parametrize("left", range(0, 10))
def test_a_full_disk_leaves_nothing_half(place: Place, tmp_path: Path, left: int, monkeypatch: Any) -> None:
    first, second = place.token("a"), place.token("b", audience="h")
    place.export(first)
    before, writes = tree(place.dir), []

    def part(*args: Any, **more: Any) -> None:
        writes.append(1)
        if len(writes) > left:
            raise OSError(28, "No space left on device")
        real(*args, **more)

    real = files._write_part
    monkeypatch.setattr(files, "_write_part", part)
    for token, to in ((second, place.dir), (first, tmp_path / "new")):
        writes.clear()
        try:
            place.export(token, to)
        except InfraError as error:
            assert "No space left" in str(error)
            assert not (tmp_path / "new").exists() and tree(place.dir) == before
        else:
            assert oci.read_carried(to).tokens
            before = tree(place.dir)
    assert left > 3 or len(oci.read_carried(place.dir).tokens) == 1


def test_what_was_revoked_or_is_not_in_the_log_is_carried_nowhere(place: Place) -> None:
    token = place.token()
    made = resigned(place.settings.key_dir, json.loads(token.read_text()), lambda said: None)
    token.write_text(json.dumps(made))
    place.export(token)
    before = sorted(path.name for path in place.dir.rglob("*"))

    def other(statement: Any) -> None:
        statement["predicate"]["schedcp"]["nonce"] = "ab" * 16

    (place.root / "other.dsse.json").write_text(json.dumps(resigned(place.settings.key_dir, made, other)))
    with refusal(Code.NOT_LOGGED):
        place.export(place.root / "other.dsse.json")
    revoke(place.settings.key_dir, "object", SHA)
    with refusal(Code.REVOKED):
        place.export(token)
    for name in (LOG, HEAD):
        (place.settings.key_dir / name).unlink()
    with refusal(Code.LOG_GONE):
        place.export(token)
    assert sorted(path.name for path in place.dir.rglob("*")) == before


def test_what_expired_is_carried_nowhere(place: Place) -> None:
    token = place.token()
    token.write_text(json.dumps(expired(place.settings.key_dir, json.loads(token.read_text()))))
    with refusal(Code.EXPIRED):
        place.export(token)
    assert not place.dir.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b" " * (2 << 20), None])
def test_what_is_no_token_file_is_bad_input(place: Place, content: bytes | None) -> None:
    if content is not None:
        (place.root / "x").write_bytes(content)
    with pytest.raises(InputError, match=str(place.root / "x")):
        place.export(place.root / "x")


def test_only_a_token_of_the_trusted_key_for_that_object_is_exported(place: Place, tmp_path: Path) -> None:
    token = place.token()
    place.export(token, tmp_path / "x", trust=place.settings.key_dir)
    foreign = Place(tmp_path / "f") if (tmp_path / "f").mkdir() is None else place
    with pytest.raises(TokenError) as caught:
        place.export(foreign.token())
    assert caught.value.code is Code.OTHER_KEY
    (tmp_path / "o").write_bytes(object_bytes("ljf"))
    with pytest.raises(TokenError) as caught:
        place.export(token, object_file=tmp_path / "o")
    assert caught.value.code is Code.OTHER_OBJECT and not place.dir.exists()
    (tmp_path / f"{SHA}.bpf.o").unlink()
    with pytest.raises(InputError, match="--object"):
        place.export(token)
