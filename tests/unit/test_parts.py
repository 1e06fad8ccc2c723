# SPDX-License-Identifier: Apache-2.0
"""A policy's files, told apart by their names, and read within their limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from object_cases import object_bytes

from policy_lake.errors import InputError
from tasks.trial import parts
from tasks.trial.parts import Part, read_linked, read_part, read_source

OBJECT = object_bytes("percpu")


def made(path: Path, data: bytes = b"int x;\n") -> Path:
    path.write_bytes(data)
    return path


def test_an_object_that_is_none_is_told_before_any_work(tmp_path: Path) -> None:
    for data in (b"some text", b"ELF\x7f", b"\x7fEL"):
        with pytest.raises(InputError, match=r"a\.bpf\.o: no ELF object"):
            read_part(made(tmp_path / "a.bpf.o", data))


def test_a_source_brings_its_directory_and_an_object_its_bytes(tmp_path: Path) -> None:
    assert read_part(made(tmp_path / "a.bpf.c")) == Part("a.bpf.c", "int x;\n", tmp_path)
    assert read_part(made(tmp_path / "v1.2.bpf.o", OBJECT)) == Part("v1.2.bpf.o", data=OBJECT)
    both = read_linked([tmp_path / "a.bpf.c", tmp_path / "v1.2.bpf.o"])
    assert [part.name for part in both] == ["a.bpf.c", "v1.2.bpf.o"]
    assert read_source(made(tmp_path / "v1.2.bpf.c")) == "int x;\n" == read_part(tmp_path / "v1.2.bpf.c").source


@pytest.mark.parametrize(
    "name", ["a.c", "a.o", "a.bpf", "bpf.c", "a.bpf.c.o", "a.bpf.o.c", "a.txt", "a.bpf.txt", "a.x.c", "a.x.o"]
)
def test_anything_else_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    path = made(tmp_path / name)
    with pytest.raises(InputError) as error:
        read_part(path)
    assert str(error.value) == f"{path}: not a .bpf.c or .bpf.o file"
    with pytest.raises(InputError) as error:
        read_linked([made(tmp_path / "good.bpf.c"), path])
    assert str(error.value) == f"-l {path}: not a .bpf.c or .bpf.o file"
    with pytest.raises(InputError) as error:
        read_source(path)
    assert str(error.value) == f"{path}: not a .bpf.c file"


def test_no_path_no_bytes_and_no_text_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the path of the policy is empty, or the directory itself"):
        read_part(Path())
    with pytest.raises(InputError, match=r"a\.bpf\.o: empty"):
        read_part(made(tmp_path / "a.bpf.o", b""))
    assert read_part(made(tmp_path / "a.bpf.c", b"")).source == ""
    with pytest.raises(InputError, match=r"b\.bpf\.c: not UTF-8 text \(byte 2\)"):
        read_part(made(tmp_path / "b.bpf.c", b"in\xff"))


def test_a_source_may_have_4_mib_and_an_object_16(tmp_path: Path) -> None:
    assert (parts.SOURCE_LIMIT, parts.OBJECT_LIMIT) == (4 * 1024 * 1024, 16 * 1024 * 1024)
    for name, limit in (("a.bpf.c", parts.SOURCE_LIMIT), ("a.bpf.o", parts.OBJECT_LIMIT)):
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(OBJECT if name.endswith(".o") else b"int x;")
            file.truncate(limit)
        assert read_part(path).name == name
        with path.open("wb") as file:
            file.truncate(limit + 1)
        with pytest.raises(InputError, match=name):
            read_part(path)
