# SPDX-License-Identifier: Apache-2.0
"""A policy in an OCI layout of a stranger's: what is read of it, and what is not believed."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from oci_cases import OBJECT, Place

from policy_lake.errors import InputError
from tasks.rollout.carried import carried_words, object_in, token_files
from verifier_vm.tokens import oci_layout as oci


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
