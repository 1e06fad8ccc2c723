# SPDX-License-Identifier: Apache-2.0
"""The lake with damaged tables or journal, after a reboot, on a full disk: nothing acknowledged is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from strategies import policy

from policy_lake.embed import embedder
from policy_lake.errors import InfraError, InputError
from policy_lake.journal import encode
from policy_lake.lake import Lake
from policy_lake.model import Lesson
from policy_lake.records import KINDS, LakeError
from policy_lake.state import State


def open_lake(path: Path) -> Lake:
    return Lake(path, embedder=embedder("hash:8"))


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


def lessons(first: int, count: int = 1) -> list[Lesson]:
    return [Lesson(f"l{n}", "run", "batch", "rr", "word " * 200) for n in range(first, first + count)]


def one_table(lake: Lake, kind: str) -> Path:
    state = State.load(lake.path / "tables.json")
    return lake.path / state.generation / f"{kind}.lance"


def test_tables_that_lag_behind_the_journal_are_caught_up(lake, monkeypatch):
    monkeypatch.setattr("policy_lake.store.CHUNK", 20)
    lake.put(policy("a"), *lessons(0))
    lake._store.journal.append([encode(policy("b")), encode(policy("a", "newer")), *map(encode, lessons(1, 50))])
    for seen in (open_lake(lake.path), lake):
        assert {p.id: p.good_for for p in seen.policies()} == {"a": "newer", "b": "tests"}
        assert seen.counts()["lessons"] == 51 and seen.search_policies("newer", 1)[0].policy.id == "a"


def test_a_torn_journal_is_mended_and_reported(lake, caplog):
    lake.put(*lessons(0, 2))
    with (lake.path / "journal.jsonl").open("ab") as file:
        file.write(encode(lessons(2)[0]).raw[:-20])
    seen = open_lake(lake.path)
    assert len(seen.lessons()) == 2
    assert "journal.jsonl:3: the last line was torn" in caplog.text
    seen.put(*lessons(3))
    assert [lesson.id for lesson in lake.lessons()] == ["l0", "l1", "l3"]


def test_a_damaged_journal_line_is_named_and_hides_nothing_written_before(lake):
    lake.put(*lessons(0, 2))
    path = lake.path / "journal.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:300] + b"#" + content[301:])
    assert len(lake.lessons()) == 2  # the tables are whole
    with pytest.raises(LakeError, match=r"journal.jsonl:1: the line is damaged"):
        lake.rebuild()
    assert len(open_lake(lake.path).lessons()) == 2


def test_a_journal_shorter_than_the_tables_is_an_error(lake):
    lake.put(*lessons(0, 2))
    path = lake.path / "journal.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(LakeError, match=r"bytes shorter than its tables: restore it"):
        open_lake(lake.path).lessons()
    lake.rebuild()
    assert len(lake.lessons()) == 1


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "gone": None,
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("what", ["data/*.lance", "_versions/*.manifest"])
def test_a_damaged_table_is_named_and_a_rebuild_restores_it(lake, what, how):
    lake.put(*lessons(0, 3), policy("a"))
    lake.put(*lessons(3, 3))
    newest = max(one_table(lake, "lessons").glob(what), key=lambda path: path.stat().st_mtime_ns)
    if how == "gone":
        newest.unlink()
    else:
        newest.write_bytes(DAMAGES[how](newest.read_bytes()))
    seen = open_lake(lake.path)
    with pytest.raises(LakeError) as caught:
        seen.lessons()
    message = str(caught.value)
    assert caught.value.exit_status == 4 and "\n" not in message and len(message) < 500
    assert f"table lessons of the lake in {lake.path} is damaged" in message and "`schedcp lake rebuild`" in message
    assert [p.id for p in seen.policies()] == ["a"]  # the other tables answer
    with pytest.raises(LakeError):
        seen.put(*lessons(6))  # not acknowledged, and yet in the journal
    assert seen.rebuild() == {"lessons": 7, "policies": 1}
    for whole in (seen, lake, open_lake(lake.path)):
        assert [lesson.id for lesson in whole.lessons()] == [f"l{n}" for n in range(7)]


def test_a_flipped_byte_in_a_stored_record_is_noticed(lake):
    lake.put(*lessons(0))
    (data,) = one_table(lake, "lessons").glob("data/*.lance")
    content = data.read_bytes()
    place = content.index(b"word word")
    data.write_bytes(content[:place] + b"W" + content[place + 1 :])
    with pytest.raises(LakeError, match=r"table lessons .* is damaged \(row 'l0' does not match its checksum\)"):
        open_lake(lake.path).lessons()


def test_a_missing_table_is_named(lake):
    lake.put(*lessons(0))
    shutil.rmtree(one_table(lake, "runs"))
    with pytest.raises(LakeError, match=r"table runs .* is damaged \(Table 'runs' was not found\)"):
        open_lake(lake.path).runs()


@pytest.mark.parametrize("content", [None, "", "{", '{"generation": "x"}'])
def test_a_lost_state_file_is_made_anew(lake, content):
    lake.put(*lessons(0))
    state = lake.path / "tables.json"
    state.unlink()
    if content is not None:
        state.write_text(content)
    assert len(open_lake(lake.path).lessons()) == 1


def test_tables_of_an_earlier_boot_are_not_trusted(lake, monkeypatch):
    lake.put(*lessons(0, 3))
    old = one_table(lake, "lessons").parent
    lake.put(*lessons(3))
    shutil.rmtree(old / "lessons.lance")  # as a power loss may leave what was never fsynced
    monkeypatch.setattr("policy_lake.store.boot_id", lambda: "another boot")
    seen = open_lake(lake.path)
    assert len(seen.lessons()) == 4 and len(seen.lessons()) == 4
    assert len(list(lake.path.glob("tables-*"))) == 2  # rebuilt once, and the old ones aside
    seen.rebuild()
    assert len(list(lake.path.glob("tables-*"))) == 2 and not old.exists()


def test_a_rebuild_that_fails_leaves_the_old_tables_in_place(lake, monkeypatch):
    lake.put(policy("a"), policy("b"))
    broken = embedder("hash:8")
    monkeypatch.setattr(broken, "embed", lambda texts: (_ for _ in ()).throw(InfraError("no endpoint")))
    before = sorted(lake.path.iterdir())
    with pytest.raises(InfraError, match="no endpoint"):
        Lake(lake.path, embedder=broken).rebuild()
    with pytest.raises(InfraError, match="no endpoint"):
        Lake(lake.path, embedder=broken).put(policy("c"))
    assert sorted(lake.path.iterdir()) == before and len(lake.policies()) == 2


def test_an_unwritable_place_is_infrastructure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match=r"the lake in .*/file/lake: Not a directory"):
        open_lake(tmp_path / "file" / "lake").put(policy("a"))


def test_a_full_disk_stops_writing_and_nothing_else(small_disk):
    lake = open_lake(small_disk / "lake")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    acknowledged = []
    with pytest.raises(InfraError) as caught:
        for n in range(1000):
            lake.put(policy(f"p{n}", os.urandom(20_000).hex()))
            acknowledged.append(f"p{n}")
    assert "No space left on device" in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_status == 4 and len(acknowledged) > 3
    for reader in (lake, open_lake(lake.path)):
        assert {p.id for p in reader.policies()} >= set(acknowledged)
        with pytest.raises(InfraError, match="No space left on device"):
            reader.rebuild()
    ballast.unlink()
    lake.put(policy("after"))
    ids = [p.id for p in open_lake(lake.path).policies()]
    assert set(ids) >= {*acknowledged, "after"} and len(ids) == len(set(ids)) <= len(acknowledged) + 2


def test_loading_the_lake_is_cheap():
    code = (
        "import sys, policy_lake.lake; print({'lancedb', 'pyarrow', 'numpy', 'pydantic', 'httpx'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()" and set(KINDS) >= {"policies", "runs"}


@pytest.mark.parametrize("library", ["lancedb", "lancedb.rerankers"])
def test_a_library_that_cannot_be_loaded_is_no_damage(lake, monkeypatch, library):
    lake.put(policy("a"))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InfraError, match=r"lancedb cannot be loaded \(.*\): run `make setup`") as caught:
        open_lake(lake.path).search_policies("tests", 1)
    assert not isinstance(caught.value, LakeError)


def test_nothing_has_an_empty_id(lake):
    lake.put(policy("a"), *lessons(0))  # neither names a candidate
    assert lake.get("") == [] and len(lake.get("a")) == 1


def test_text_that_is_not_utf_8_is_none_of_a_lake_s(lake):
    lake.put(policy("a"))
    for ask in (lake.get, lake.search_policies, lambda text: lake.scores(run=text)):
        with pytest.raises(InputError, match="not UTF-8"):
            ask("\udcff")
