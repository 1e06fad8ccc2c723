# SPDX-License-Identifier: Apache-2.0
"""Directories and files that none but their owner may use: how they are made, and what is refused with which advice."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

import pytest

from verifier_vm.tokens.errors import KeyFileError
from verifier_vm.tokens.files import LOCK, private_directory, require_private


@pytest.mark.parametrize("bit", [1 << n for n in range(6)])
@pytest.mark.parametrize(("make", "own", "advice"), [(Path.mkdir, 0o700, "700"), (Path.touch, 0o600, "600")])
def test_every_right_of_others_is_refused_with_the_command_that_mends_it(tmp_path, make, own, advice, bit) -> None:
    path = tmp_path / "it"
    make(path)
    path.chmod(own)
    require_private(path, path.stat())
    path.chmod(own | bit)
    why = f"others may use it (mode bits {bit:03o}): `chmod {advice} {path}`"
    with pytest.raises(KeyFileError, match=re.escape(why)):
        require_private(path, path.stat())


def test_another_users_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileError, match="owned by user"):
        require_private(tmp_path, tmp_path.stat())


def test_it_is_made_with_all_above_it_and_its_lock_for_its_owner_alone(tmp_path) -> None:
    place = tmp_path / "a" / "b"
    before = os.umask(0)
    try:
        with private_directory(place), (place / LOCK).open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (place, place / LOCK)] == [0o700, 0o600]
    with private_directory(place), (place / LOCK).open() as lock:
        pass  # again


@pytest.mark.parametrize("make", [
    lambda place: place.touch(),
    lambda place: (place.mkdir(mode=0o700), (place / LOCK).symlink_to("/dev/null")),
    lambda place: (place.mkdir(mode=0o700), (place / LOCK).mkdir()),
])  # fmt: skip
def test_what_can_be_no_such_place_is_named(tmp_path, make) -> None:
    make(tmp_path / "place")
    with pytest.raises(KeyFileError, match=re.escape(str(tmp_path / "place"))), private_directory(tmp_path / "place"):
        pytest.fail("it was entered")


@pytest.mark.parametrize(
    ("holds", "readable", "advice"),
    [("", True, "chmod 700"), ("signing.key", True, "chmod 700"), ("passwd", True, "name a directory of its own"),
     ("passwd", False, "chmod 700")],
)  # fmt: skip
def test_only_a_directory_of_ours_or_an_empty_one_is_advised_to_be_closed(
    tmp_path, monkeypatch, holds, readable, advice
) -> None:
    """One that cannot be looked into tells of nothing else."""
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    if holds:
        (place / holds).touch()
    monkeypatch.setattr(os, "access", lambda *_: readable)
    with pytest.raises(KeyFileError, match=advice):
        require_private(place, place.stat())
