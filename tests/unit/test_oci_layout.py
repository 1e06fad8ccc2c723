# SPDX-License-Identifier: Apache-2.0
"""A policy in an OCI layout: what is written, to the byte, and what of a hostile one is not believed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from object_cases import object_bytes
from token_cases import issue, refusal, resigned, revoke

from policy_lake import files
from policy_lake.errors import InfraError, InputError
from tasks.rollout.carried import carried_words, object_in, token_files
from tasks.tokens import export
from tasks.tokens.export import export_token
from verifier_vm.tokens import oci_layout as oci
from verifier_vm.tokens.audit_log import HEAD, LOG
from verifier_vm.tokens.errors import Code, TokenError

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


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue())


def link(target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("policy.bpf.o")
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


NAMED = tarfile.TarInfo("policy.bpf.o")
LAYERS: dict[str, bytes] = {
    "a bomb": gzip.compress(b"\0" * (64 << 20)),
    "a link": packed((link("/etc/shadow"), b"")),
    "another name": packed((tarfile.TarInfo("../policy.bpf.o"), b"x")),
    "two files": packed((tarfile.TarInfo("policy.bpf.o"), b"x"), (tarfile.TarInfo("b"), b"y")),
    "no gzip": b"x" * 2000,
    "nothing": b"",
    "cut off": packed((NAMED, os.urandom(4000)))[:-100],
    "more behind": packed((NAMED, b"x")) + b"x",
    "larger than it may be": packed((NAMED, b"x" * (oci.OBJECT_BYTES + 1))),
}


@pytest.mark.parametrize("case", LAYERS)
def test_a_hostile_layer_is_told_in_one_line(place: Place, case: str) -> None:
    place.export(place.token())
    place.relayer(LAYERS[case])
    with pytest.raises(InputError, match=r"layer (un|is |does|holds)") as caught:
        oci.read_carried(place.dir)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_right_layer_of_another_tool_is_read(place: Place) -> None:
    place.export(place.token())
    place.relayer(packed((tarfile.TarInfo("./policy.bpf.o"), b"object")))
    assert oci.read_carried(place.dir).object == b"object" and not oci.read_carried(place.dir).tokens


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a size too small": ({"size": 1}, "no plain file of at most 1 bytes"),
    "a size too large": ({"size": 4000}, "not the content"),
    "a size of the moon": ({"size": 1 << 50}, "more than"),
    "no size": ({"size": "7"}, "size is no number"),
    "a negative size": ({"size": -1}, "size is no number"),
    "a path for a digest": ({"digest": "sha256:../../../../etc/passwd"}, "digest is none"),
    "another algorithm": ({"digest": "sha512:" + "0" * 128}, "digest is none"),
    "no digest": ({"digest": None}, "digest is none"),
    "a blob that is not there": ({"digest": "sha256:" + "0" * 64}, "No such file"),
    "a name with a line's end": ({"annotations": {oci.REF: "a\nb"}}, "is no word"),
    "a number for a type": ({"mediaType": 5}, "mediaType is no word"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_hostile_descriptor_is_told(place: Place, case: str) -> None:
    changes, words = CHANGES[case]
    place.export(place.token())
    place.change(lambda listed: listed[0].update(changes))
    with pytest.raises(InputError, match=words):
        oci.read_carried(place.dir)


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"[" * 100_000, b'{"manifests":{}}', b'{"manifests":[1]}', b'{"a":1,"a":2}', b"\xff",
    b'{"manifests":' + b"[" * 20 + b"]" * 20 + b"}", b'{"manifests":[' + b"{}," * 600 + b"{}]}", b"x" * (2 << 20),
])  # fmt: skip
def test_a_hostile_index_is_told(place: Place, content: bytes) -> None:
    place.export(place.token())
    (place.dir / "index.json").write_bytes(content)
    for what in (lambda: oci.read_carried(place.dir), lambda: place.export(place.token("b"))):
        with pytest.raises(InputError, match=r"index\.json") as caught:
            what()
        assert "\n" not in str(caught.value)


def test_links_pipes_and_changed_blobs_are_not_followed(place: Place, tmp_path: Path) -> None:
    done = place.export(place.token())
    blob = place.dir / "blobs/sha256" / done.image.removeprefix("sha256:")
    content = blob.read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    blob.unlink()
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="symbolic links"):
        oci.read_carried(place.dir)
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(InputError, match="no plain file"):
        oci.read_carried(place.dir)
    blob.unlink()
    blob.write_bytes(content[:-1] + b" ")
    with pytest.raises(InputError, match="not the content"):
        oci.read_carried(place.dir)


def test_a_token_of_another_image_is_not_taken_for_this_one_s(place: Place) -> None:
    place.export(place.token())

    def change(listed: list[dict[str, Any]]) -> None:
        tags = place.blob(listed[1])
        referrer = place.blob(tags["manifests"][0])
        referrer["subject"]["digest"] = "sha256:" + "1" * 64
        tags["manifests"][0].update(place.put(json.dumps(referrer).encode()))
        listed[1].update(place.put(json.dumps(tags).encode()))

    place.change(change)
    with pytest.raises(InputError, match="its subject is another image"):
        oci.read_carried(place.dir)


def test_a_rollout_takes_tokens_and_object_from_a_layout_in_the_order_of_their_versions(place: Place) -> None:
    tokens = [place.token(name) for name in "abc"]
    for token in reversed(tokens):
        place.export(token)
    words, word = carried_words((f"oci:{place.dir}",), "")
    assert (words, word) == ((f"oci:{place.dir}",), f"oci:{place.dir}")
    assert [content for _, content in token_files(words)] == [token.read_bytes() for token in tokens]
    assert object_in(word) == OBJECT
    place.export(place.token("d", audience="elsewhere"))
    with pytest.raises(InputError, match="several hosts or kernels"):
        token_files(words)


@pytest.mark.parametrize(("words", "object_file", "told"), [
    (("oci:x", "y"), "", "nothing beside it"), (("oci:x",), "z", "nothing beside it"), (("x",), "", "--object"),
    (("oci:",), "", "names no directory"),
])  # fmt: skip
def test_words_that_cannot_be_meant_together(words: tuple[str, ...], object_file: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        carried_words(words, object_file)
