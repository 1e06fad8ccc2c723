# SPDX-License-Identifier: Apache-2.0
"""A policy with its tokens as an OCI image layout carries them, read: anybody may have written each byte of it.

OCI image specification 1.1. An image whose one layer holds the object; each token, a DSSE envelope, is the layer of a
manifest that names the image as its `subject`. Those manifests are listed under the tag `sha256-DIGEST`, as registries
without the referrers API have it. Nothing is believed for being here: a token is checked where it is used.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tarfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_lake.errors import InputError
from policy_lake.strict_json import strict_object
from verifier_vm.tokens.files import SIZE_LIMIT

LAYOUT, INDEX, BLOBS = "oci-layout", "index.json", ("blobs", "sha256")
LAYOUT_VERSION = "1.0.0"
REF = "org.opencontainers.image.ref.name"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
TOKEN_KIND = "application/vnd.in-toto+json"  # the artifactType of a token's manifest: what the envelope holds
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
OBJECT_NAME = "policy.bpf.o"
PREFIX = "oci:"

OBJECT_BYTES = 1 << 20  # a request to an agent has no more
JSON_BYTES, DEEPEST = 1 << 20, 8
MOST_LISTED = 512
BLOCK = tarfile.BLOCKSIZE
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a list or manifest says of a blob: `digest` in hex without its algorithm."""

    kind: str
    digest: str
    size: int
    ref: str = ""
    artifact: str = ""


@dataclass(frozen=True, slots=True)
class Carried:
    """An object with the tokens that came with it, unchecked, as the layout lists them."""

    ref: str
    image: str
    object: bytes
    tokens: tuple[bytes, ...]


def place_of(word: str) -> tuple[Path, str] | None:
    """Directory and name in `oci:DIR` or `oci:DIR:NAME`; None for a word that is none. InputError for no directory."""
    if not word.startswith(PREFIX):
        return None
    directory, _, ref = word.removeprefix(PREFIX).partition(":")
    if not directory:
        raise InputError(f"{word[:80]}: names no directory: oci:DIR or oci:DIR:NAME")
    return Path(directory), ref


def read_carried(directory: Path, ref: str = "") -> Carried:
    """The object and tokens under a name, or of the only image; InputError that names file and fault for all else."""
    listed = read_index(directory)
    images = [one for one in listed if one.kind == MANIFEST_TYPE and one.ref and not one.artifact]
    found = [one for one in images if ref in ("", one.ref)]
    if len(found) != 1:
        names = ", ".join(sorted({one.ref for one in images}))[:300]
        raise InputError(f"{directory}: {len(found)} images{f' are {ref[:80]!r}' if ref else ''}; it has: {names}")
    (image,) = found
    layers = _layers(directory, image)
    if len(layers) != 1 or layers[0].kind != LAYER_TYPE:
        raise InputError(f"{directory}: image {image.ref[:80]}: not one layer of {LAYER_TYPE}")
    content = _object(read_blob(directory, layers[0], OBJECT_BYTES + 64 * BLOCK), f"{directory}: {layers[0].digest}")
    tokens = []
    for one in referrers(directory, image.digest, listed):
        manifest = _manifest(directory, one)
        if manifest.get("artifactType") != TOKEN_KIND:  # of the list's own copy of it skopeo 1.9 keeps nothing
            continue
        subject, parts = manifest.get("subject"), _layers(directory, one)
        if not isinstance(subject, dict) or subject.get("digest") != f"sha256:{image.digest}":
            raise InputError(f"{directory}: {one.digest}: its subject is another image")
        if len(parts) != 1 or parts[0].kind != ENVELOPE_TYPE:
            raise InputError(f"{directory}: {one.digest}: not one layer of {ENVELOPE_TYPE}")
        tokens.append(read_blob(directory, parts[0], SIZE_LIMIT))
    return Carried(image.ref, image.digest, content, tuple(tokens))


def read_index(directory: Path) -> tuple[Descriptor, ...]:
    """What a layout's index.json lists; InputError where there is no layout that can be read."""
    raw = _file(directory, (LAYOUT,), 4096)
    if _json(raw, f"{directory / LAYOUT}").get("imageLayoutVersion") != LAYOUT_VERSION:
        raise InputError(f"{directory / LAYOUT}: not an image layout of version {LAYOUT_VERSION}")
    return descriptors(_json(_file(directory, (INDEX,), JSON_BYTES), str(directory / INDEX)), str(directory / INDEX))


def referrers(directory: Path, digest: str, listed: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
    """What refers to the image of that digest, by the tag that registries without an API for it use; none: nothing."""
    tags = [one for one in listed if one.ref == f"sha256-{digest}" and one.kind == INDEX_TYPE]
    if len(tags) > 1:
        raise InputError(f"{directory / INDEX}: sha256-{digest} is listed {len(tags)} times")
    where = f"{directory}: referrers of {digest}"
    return descriptors(_json(read_blob(directory, tags[0], JSON_BYTES), where), where) if tags else ()


def descriptors(data: dict[str, Any], where: str, member: str = "manifests") -> tuple[Descriptor, ...]:
    """The descriptors in a list or manifest; InputError for one that is none, or very many."""
    found = data.get(member)
    if not isinstance(found, list) or len(found) > MOST_LISTED:
        raise InputError(f"{where}: {member} is no list of at most {MOST_LISTED}")
    return tuple(_descriptor(one, f"{where}: {member}[{at}]") for at, one in enumerate(found))


def read_blob(directory: Path, what: Descriptor, most: int) -> bytes:
    """A blob, of its size and its digest, no larger than `most` bytes; InputError for any other."""
    where = directory.joinpath(*BLOBS, what.digest)
    if what.size > most:
        raise InputError(f"{where}: {what.size} bytes, more than {most}")
    content = _file(directory, (*BLOBS, what.digest), what.size)
    if len(content) != what.size or hashlib.sha256(content).hexdigest() != what.digest:
        raise InputError(f"{where}: not the content of that size and digest")
    return content


def _layers(directory: Path, of: Descriptor) -> tuple[Descriptor, ...]:
    return descriptors(_manifest(directory, of), f"{directory}: {of.digest}", "layers")


def _manifest(directory: Path, what: Descriptor) -> dict[str, Any]:
    if what.kind != MANIFEST_TYPE:
        raise InputError(f"{directory}: {what.digest}: its mediaType is not {MANIFEST_TYPE}")
    return _json(read_blob(directory, what, JSON_BYTES), f"{directory}: {what.digest}")


def _descriptor(data: Any, where: str) -> Descriptor:
    if not isinstance(data, dict):
        raise InputError(f"{where}: no descriptor")
    kind, digest, size = data.get("mediaType"), data.get("digest"), data.get("size")
    notes, artifact = data.get("annotations") or {}, data.get("artifactType", "")
    known = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if known is None:
        raise InputError(f"{where}: digest is none of sha256")
    if type(size) is not int or size < 0:
        raise InputError(f"{where}: size is no number from 0 up")
    ref = notes.get(REF, "") if isinstance(notes, dict) else None
    for name, value in (("mediaType", kind), ("artifactType", artifact), (REF, ref)):
        if not isinstance(value, str) or len(value) > 256 or not value.isprintable():
            raise InputError(f"{where}: {name} is no word")
    return Descriptor(str(kind), known[1], size, str(ref), str(artifact))


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        return strict_object(content, most=JSON_BYTES, deepest=DEEPEST)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {' '.join(str(error).split())[:120]}") from None


def _object(packed: bytes, where: str) -> bytes:
    """The object in a layer: a tar of that one file and nothing else, unpacked no further than it may be large."""
    unpacking = zlib.decompressobj(wbits=31)
    most = OBJECT_BYTES + 64 * BLOCK
    try:
        tar = unpacking.decompress(packed, most + 1)
        if len(tar) > most:
            raise InputError(f"{where}: the layer unpacks to more than {most} bytes")
        if not unpacking.eof or unpacking.unused_data:
            raise InputError(f"{where}: the layer is cut off, or something follows it")
        head = tarfile.TarInfo.frombuf(tar[:BLOCK], "utf-8", "strict")
    except (zlib.error, tarfile.HeaderError, ValueError) as error:
        raise InputError(f"{where}: the layer is no tar+gzip: {' '.join(str(error).split())[:120]}") from None
    end = BLOCK + head.size
    if head.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or head.name not in (OBJECT_NAME, f"./{OBJECT_NAME}"):
        raise InputError(f"{where}: the layer does not begin with a plain file {OBJECT_NAME}")
    if head.size > OBJECT_BYTES or end > len(tar) or tar[end:].strip(b"\0"):
        raise InputError(f"{where}: the layer holds more than {OBJECT_NAME}, or less")
    return tar[BLOCK:end]


def _file(directory: Path, parts: tuple[str, ...], most: int) -> bytes:
    """A plain file of at most `most` bytes below the directory, on the way to which there is no link."""
    where = directory.joinpath(*parts)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        with ExitStack() as stack:
            at = os.open(directory, flags | os.O_DIRECTORY)
            stack.callback(os.close, at)
            for part in parts:
                last = part == parts[-1]
                at = os.open(part, flags | os.O_NOFOLLOW | (0 if last else os.O_DIRECTORY), dir_fd=at)
                stack.callback(os.close, at)
            status = os.fstat(at)
            if not stat.S_ISREG(status.st_mode) or status.st_size > most:
                raise InputError(f"{where}: no plain file of at most {most} bytes")
            content = bytearray()
            while len(content) <= most and (piece := os.read(at, most + 1 - len(content))):
                content += piece
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > most:
        raise InputError(f"{where}: no plain file of at most {most} bytes")
    return bytes(content)
