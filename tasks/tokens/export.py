# SPDX-License-Identifier: Apache-2.0
"""A token with its object written as an OCI image layout, which registries, skopeo and cosign carry.

The same token and object make the same bytes wherever that is done: no time, no owner, and the layer's gzip is stored,
not deflated, since a compressor's output is another with each of its versions. So an object is one digest everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import struct
import tarfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from policy_lake.errors import InfraError, InputError
from policy_lake.files import atomic_write, atomic_write_together, read_outside
from policy_lake.strict_json import strict_object
from tasks.host.settings import Settings
from tasks.tokens.check import read_file
from verifier_vm.object.btf import DATASEC
from verifier_vm.object.ops import SECTIONS
from verifier_vm.object.program import Program, read_program
from verifier_vm.tokens import oci_layout as oci
from verifier_vm.tokens.audit_log import LOG
from verifier_vm.tokens.check import require_unexpired, withdrawn
from verifier_vm.tokens.dsse import canonical_json, unseal
from verifier_vm.tokens.errors import Code, TokenError
from verifier_vm.tokens.statement import PREDICATE_TYPE, parse_payload, token_digest
from verifier_vm.tokens.terms import Token
from verifier_vm.tokens.trust import read_trust, trusted_key

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
TITLE = "org.opencontainers.image"
FIRST_KERNEL = "6.12"  # the first with sched_ext; the kernel that it was verified on is in the token
PREDICATE = "in-toto.io/predicate-type"
# bpfman's names of maps are the kernel's (enum bpf_map_type) in small letters.
MAP_KINDS = {
    1: "hash", 2: "array", 3: "prog_array", 4: "perf_event_array", 5: "percpu_hash", 6: "percpu_array",
    7: "stack_trace", 8: "cgroup_array", 9: "lru_hash", 10: "lru_percpu_hash", 11: "lpm_trie", 12: "array_of_maps",
    13: "hash_of_maps", 22: "queue", 23: "stack", 26: "struct_ops", 27: "ringbuf", 28: "inode_storage",
    29: "task_storage", 30: "bloom_filter", 31: "user_ringbuf", 32: "cgrp_storage", 33: "arena",
}  # fmt: skip
STORED = 0xFFFF  # bytes of a stored block, RFC 1951
Blobs = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Exported:
    """What lies in the layout now: the image's name and digest, the tag that lists its tokens, the token's digest."""

    directory: Path
    ref: str
    image: str
    referrers: str
    token_sha256: str
    tokens: int


def export_token(
    token_file: Path, directory: Path, settings: Settings, *, object_file: Path | None = None, trust: Path | None = None
) -> Exported:
    """Write the token and its object into a layout, a new one or one that is there, which keeps what it has.

    InputError for a directory that holds anything else and a file that is no token, TokenError for a token that
    expired, that the trusted key did not sign, or has revoked or not logged, or of another object, InfraError where
    the disk takes not all: then nothing of it stays.
    """
    envelope = read_file(token_file)
    token = _standing(envelope, token_file, trust or settings.key_dir)
    place = object_file or settings.object_dir / f"{token.object_sha256}.bpf.o"
    if not object_file and not place.is_file():
        raise InputError(f"{token_file}: its object is not kept here: name it with --object")
    data = read_outside(place, oci.OBJECT_BYTES)
    if hashlib.sha256(data).hexdigest() != token.object_sha256:
        raise TokenError(f"{place}: not the object of {token_file}", Code.OTHER_OBJECT)
    blobs: Blobs = {}
    image = _image(blobs, token, data)
    ref = f"{_word(token.policy)}-{token.object_sha256[:12]}"
    index, listed = _index_of(directory)
    before = [one for one in listed if one.ref == ref]
    if any(f"sha256:{one.digest}" != image["digest"] for one in before):
        raise InputError(f"{directory}: {ref} is another image there")
    tag = image["digest"].replace(":", "-", 1)
    referrer = _referrer(blobs, image, envelope)
    known = oci.referrers(directory, tag.removeprefix("sha256-"), listed)
    tokens = _put(blobs, oci.INDEX_TYPE, _list_of(directory, tag, listed, known, referrer))
    index["manifests"] = [
        *(one for one in index["manifests"] if _ref_of(one) not in (ref, tag)),
        {**image, "annotations": {oci.REF: ref}, "platform": {"architecture": "amd64", "os": "linux"}},
        {**tokens, "annotations": {oci.REF: tag}},
    ]
    _write(directory, blobs, canonical_json(index))
    count = len({one.digest for one in known} | {referrer["digest"].removeprefix("sha256:")})
    return Exported(directory, ref, image["digest"], tag, referrer["digest"], count)


def _standing(envelope: bytes, path: Path, directory: Path) -> Token:
    """The token, if whoever signed it stands by it: by the key, the log and the revocation list in `directory`."""
    payload = unseal(envelope, trusted_key(directory))
    token, trust = parse_payload(payload), read_trust(directory)
    require_unexpired(token, path, datetime.now(UTC))
    if trust.log is None:
        raise TokenError(f"{directory / LOG}: the log of the key beside it is gone", Code.LOG_GONE)
    if refusal := withdrawn(token, token_digest(payload), trust.revocations, trust.log):
        raise TokenError(f"{path}: {refusal.reason}", refusal.code)
    return token


def _image(blobs: Blobs, token: Token, data: bytes) -> dict[str, Any]:
    """The image of an object: it says nothing of tokens, so that all tokens of an object are of one image."""
    program = read_program(data)
    about = {
        f"{TITLE}.title": token.policy, f"{TITLE}.version": token.object_sha256,
        f"{TITLE}.description": "a sched_ext policy; its tokens of SchedCP refer to this image",
        "org.schedkit.scheduler.kernel.min-version": FIRST_KERNEL,
    }  # fmt: skip
    labels = {
        **about,
        "io.ebpf.programs": canonical_json(_programs(program)).decode(),
        "io.ebpf.maps": canonical_json(_maps(program)).decode(),
    }
    tar = _tar(data)
    layer = _put(blobs, oci.LAYER_TYPE, _gzip(tar))
    config = _put(blobs, CONFIG_TYPE, canonical_json({
        "architecture": "amd64", "os": "linux", "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    }))  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST_TYPE, "config": config, "layers": [layer]}
    return _put(blobs, oci.MANIFEST_TYPE, canonical_json({**manifest, "annotations": about}))


def _referrer(blobs: Blobs, image: dict[str, Any], envelope: bytes) -> dict[str, Any]:
    """The manifest of a token, which names the image as its subject."""
    notes = {PREDICATE: PREDICATE_TYPE}
    made = _put(blobs, oci.MANIFEST_TYPE, canonical_json({
        "schemaVersion": 2, "mediaType": oci.MANIFEST_TYPE, "artifactType": oci.TOKEN_KIND,
        "config": _put(blobs, EMPTY_TYPE, EMPTY), "layers": [_put(blobs, oci.ENVELOPE_TYPE, envelope)],
        "subject": image, "annotations": notes,
    }))  # fmt: skip
    return {**made, "artifactType": oci.TOKEN_KIND, "annotations": notes}


def _index_of(directory: Path) -> tuple[dict[str, Any], tuple[oci.Descriptor, ...]]:
    """The index of what is there, as it is and read; an empty one for no directory or an empty one."""
    if not os.path.lexists(directory) or (directory.is_dir() and not any(directory.iterdir())):
        return {"schemaVersion": 2, "mediaType": oci.INDEX_TYPE, "manifests": []}, ()
    if not directory.is_dir() or not os.path.lexists(directory / oci.LAYOUT):
        raise InputError(f"{directory}: neither an empty directory nor an OCI image layout")
    listed = oci.read_index(directory)
    for depth in range(1, len(oci.BLOBS) + 1):
        part = directory.joinpath(*oci.BLOBS[:depth])
        if os.path.lexists(part) and not stat.S_ISDIR(part.lstat().st_mode):
            raise InputError(f"{part}: no directory")
    return strict_object(read_outside(directory / oci.INDEX, oci.JSON_BYTES), most=oci.JSON_BYTES), listed


def _list_of(
    directory: Path, tag: str, listed: tuple[oci.Descriptor, ...], known: tuple[oci.Descriptor, ...],
    referrer: dict[str, Any],
) -> bytes:  # fmt: skip
    """The list of what refers to the image, with one more, in an order that does not depend on which came first."""
    data: dict[str, Any] = {"schemaVersion": 2, "mediaType": oci.INDEX_TYPE, "manifests": []}
    if known:
        (old,) = (one for one in listed if one.ref == tag)
        data = strict_object(oci.read_blob(directory, old, oci.JSON_BYTES), most=oci.JSON_BYTES)
    others = [one for one in data["manifests"] if one["digest"] != referrer["digest"]]
    data["manifests"] = sorted([*others, referrer], key=lambda one: str(one["digest"]))
    return canonical_json(data)


def _write(directory: Path, blobs: Blobs, index: bytes) -> None:
    """All of it, the index last: before, nobody finds the rest. What a full disk took is taken away again."""
    folders = [directory, *(directory.joinpath(*oci.BLOBS[:depth]) for depth in range(1, len(oci.BLOBS) + 1))]
    made = [folder for folder in folders if not os.path.lexists(folder)]
    wanted = {folders[-1] / digest: content for digest, content in blobs.items()}
    wanted[directory / oci.LAYOUT] = canonical_json({"imageLayoutVersion": oci.LAYOUT_VERSION})
    new = {path: content for path, content in wanted.items() if not os.path.lexists(path)}
    try:
        atomic_write_together(new, durable=True, mode=0o644)
        atomic_write(directory / oci.INDEX, index, durable=True, mode=0o644)
    except (InfraError, InputError):
        with contextlib.suppress(OSError):
            for path in new:
                path.unlink(missing_ok=True)
            for folder in reversed(made):
                folder.rmdir()
        raise


def _programs(program: Program) -> dict[str, str]:
    functions = program.functions.values()
    return {one.name: "struct_ops" for one in functions if one.section.lstrip("?").startswith("struct_ops")}


def _maps(program: Program) -> dict[str, str]:
    kinds = {name: MAP_KINDS.get(table.kind, str(table.kind)) for name, table in program.maps.items()}
    tables = [one.name for section in SECTIONS for one in program.btf.members(program.btf.find(section, DATASEC))]
    return {**kinds, **dict.fromkeys(tables, "struct_ops")}


def _tar(data: bytes) -> bytes:
    head = tarfile.TarInfo(oci.OBJECT_NAME)
    head.size, head.mode = len(data), 0o444
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(head, io.BytesIO(data))
    return out.getvalue()


def _gzip(data: bytes) -> bytes:
    pieces = [data[at : at + STORED] for at in range(0, len(data), STORED)]
    ends = [*(0 for _ in pieces[1:]), 1]
    blocks = (struct.pack("<BHH", end, len(p), len(p) ^ STORED) + p for p, end in zip(pieces, ends, strict=True))
    tail = struct.pack("<II", zlib.crc32(data), len(data))
    return b"\x1f\x8b\x08" + b"\0" * 6 + b"\xff" + b"".join(blocks) + tail


def _put(blobs: Blobs, kind: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def _ref_of(entry: dict[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(oci.REF, ""))


def _word(policy: str) -> str:
    """A policy's name as a tag may have it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", policy).lstrip(".-")[:60] or "policy"
