# SPDX-License-Identifier: Apache-2.0
"""The signing key: made once, whole, and refused when anybody else could have used it."""

from __future__ import annotations

import os
import stat
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from verifier_vm.tokens import private_key as keys
from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.private_key import signing_key
from verifier_vm.tokens.public_key import SERVICE_LINE, read_public_key


def test_a_key_is_made_once_and_kept_from_others(tmp_path):
    directory = tmp_path / "a" / "keys"
    key = signing_key(directory)
    assert signing_key(directory).key_id == key.key_id == read_public_key(directory / keys.PUBLIC).id
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.iterdir()]}
    assert modes == {"keys": 0o700, keys.BEGINNING: 0o600, keys.PUBLIC: 0o644}
    assert key.key_id in repr(key) and "Private" not in repr(key)
    read_public_key(directory / keys.PUBLIC).verify(key.sign(b"payload"), b"payload")


def test_all_that_make_the_key_at_once_get_the_same(tmp_path):
    found = []
    threads = [threading.Thread(target=lambda: found.append(signing_key(tmp_path / "k").key_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == [keys.BEGINNING, keys.PUBLIC]


@pytest.mark.parametrize(("name", "mode"), [(keys.BEGINNING, 0o640), (keys.BEGINNING, 0o604), ("", 0o711), ("", 0o770)])
def test_a_key_that_others_may_use_is_refused(tmp_path, name, mode):
    directory = tmp_path / "keys"
    signing_key(directory)
    path = directory / name
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"{path}: others may use it .*`chmod {'600' if name else '700'} {path}`"):
        signing_key(directory)


def test_a_key_of_another_user_is_refused(tmp_path, monkeypatch):
    signing_key(tmp_path / "keys")
    us = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    with pytest.raises(KeyFileError, match=f"owned by user {us}, not by the user who signs"):
        signing_key(tmp_path / "keys")


def test_a_linked_broken_or_foreign_key_is_refused(tmp_path):
    directory = tmp_path / "keys"
    signing_key(directory)
    private, public = directory / keys.BEGINNING, directory / keys.PUBLIC
    other = signing_key(tmp_path / "other")
    (tmp_path / "other" / keys.PUBLIC).replace(public)
    with pytest.raises(KeyFileError, match=f"{public}: not the public half"):
        signing_key(directory)
    assert read_public_key(public).id == other.key_id
    private.write_text("-----BEGIN nothing")
    with pytest.raises(KeyFileError, match="not an unencrypted private key"):
        signing_key(directory)
    with pytest.raises(KeyFileError, match="not a public key in PEM"):
        read_public_key(private)
    private.unlink()
    private.symlink_to(tmp_path / "other" / keys.BEGINNING)
    with pytest.raises(KeyFileError, match=f"{private}: Too many levels of symbolic links"):
        signing_key(directory)
    with pytest.raises(KeyFileError, match=r"File exists|Not a directory"):
        signing_key(public)


def test_a_key_of_another_kind_is_refused(tmp_path):
    signing_key(tmp_path / "keys")
    other = X25519PrivateKey.generate()
    private, public = tmp_path / "keys" / keys.BEGINNING, tmp_path / "keys" / keys.PUBLIC
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyFileError, match=f"{private}: not an Ed25519 key"):
        signing_key(tmp_path / "keys")
    public.write_bytes(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyFileError, match=f"{public}: not an Ed25519 key"):
        read_public_key(public)


def test_a_public_key_s_file_has_at_most_4096_bytes(tmp_path):
    key = signing_key(tmp_path / "keys")
    path = tmp_path / "keys" / keys.PUBLIC
    pem = path.read_bytes()
    path.write_bytes(pem + b"\n" * (4096 - len(pem)))
    assert read_public_key(path).id == key.key_id
    path.write_bytes(pem + b"\n" * (4097 - len(pem)))
    with pytest.raises(KeyFileError, match="larger than 4 KiB"):
        read_public_key(path)


@pytest.mark.timeout(20)
def test_a_pipe_in_a_key_s_place_holds_nobody_up(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "keys" / keys.PRIVATE, mode=0o600)
    with pytest.raises(KeyFileError, match="not an unencrypted private key"):
        signing_key(tmp_path / "keys")


def test_a_key_is_a_service_s_only_where_its_files_begin_so(tmp_path):
    """The mark that can be dropped is the one that gives more trust."""
    lab, service = signing_key(tmp_path / "lab"), signing_key(tmp_path / "service", service=True)
    assert (lab.service, service.service) == (False, True)
    assert not signing_key(tmp_path / "lab", service=True).service, "a key does not change its kind"
    for directory, kind in ((tmp_path / "lab", "lab"), (tmp_path / "service", "service")):
        assert read_public_key(directory / keys.PUBLIC).signed_by == kind
    public = tmp_path / "service" / keys.PUBLIC
    public.write_bytes(public.read_bytes().removeprefix(SERVICE_LINE))
    assert read_public_key(public).signed_by == "lab"
    with pytest.raises(KeyFileError, match="not the public half"):
        signing_key(tmp_path / "service")
