# SPDX-License-Identifier: Apache-2.0
"""The journal: on the disk before each effect, undone in reverse, whatever ended its writer and wherever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from host_agent import chain, journal
from host_agent.chain import ChainError, Head
from host_agent.journal import Action, Journal, undo_all
from policy_lake.errors import InfraError


class World:
    """Files stand for effects: an action makes one, undoing removes it; both say so in `told`."""

    def __init__(self, root: Path) -> None:
        self.root, self.told = root, list[str]()

    def do(self, given: Mapping[str, Any]) -> dict[str, Any]:
        (self.root / given["name"]).touch()
        return {"made": given["name"]}

    async def undo(self, action: Action) -> None:
        (self.root / action.given["name"]).unlink(missing_ok=True)
        self.told.append(action.given["name"])


def doers(world: World) -> dict[str, World]:
    return dict.fromkeys(("take_over", "attach", "switch_tasks"), world)


def undone(kept: Journal, by: Mapping[str, Any]) -> list[str]:
    return asyncio.run(undo_all(kept, by))


def begun(path: Path) -> Journal:
    kept = Journal(path)
    first = kept.begin("take_over", {"name": "a"})
    kept.done(first, {"was": "scx_lavd"})
    kept.begin("attach", {"name": "b"})
    return kept


def test_what_has_begun_is_open_in_the_next_process_too(tmp_path: Path) -> None:
    begun(tmp_path / "j")
    first, second = Journal(tmp_path / "j").open
    assert (first.kind, first.came_to, first.done) == ("take_over", {"was": "scx_lavd"}, True)
    assert (second.kind, second.given, second.done) == ("attach", {"name": "b"}, False)


def test_all_is_undone_in_reverse_and_then_nothing_is_open(tmp_path: Path) -> None:
    kept, world = begun(tmp_path / "j"), World(tmp_path)
    assert undone(kept, doers(world)) == [] and world.told == ["b", "a"]
    assert kept.open == () == Journal(tmp_path / "j").open


def test_one_that_cannot_be_undone_stays_open_and_the_others_are_undone(tmp_path: Path) -> None:
    kept, world = begun(tmp_path / "j"), World(tmp_path)

    class Stuck(World):
        async def undo(self, action: Action) -> None:
            raise InfraError("the kernel will not let go")

    (wrong,) = undone(kept, {**doers(world), "attach": Stuck(tmp_path)})
    assert "will not let go" in wrong and world.told == ["a"]
    assert [action.kind for action in Journal(tmp_path / "j").open] == ["attach"]


STEPS = """
import os, signal, sys
from pathlib import Path
from test_agent_journal import World, doers, undone
from host_agent import chain, journal
from policy_lake import files
root, at = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def step():
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
def before(module, name):
    real = getattr(module, name)
    def stepped(*args, **more):
        step()
        return real(*args, **more)
    setattr(module, name, stepped)
for name in ("ftruncate", "fsync", "lseek"):
    before(os, name)
def torn(fd, content):  # half a line, then perhaps the end
    os.write(fd, content[: len(content) // 2])
    step()
    os.write(fd, content[len(content) // 2 :])
    step()
chain.write_all = torn
kept, world = journal.Journal(root / "j"), World(root)
for kind, name in (("take_over", "a"), ("attach", "b")):
    id_ = kept.begin(kind, {"name": name})
    step()
    came_to = world.do({"name": name})
    step()
    kept.done(id_, came_to)
undone(kept, doers(world))
print(count)
"""


def run_steps(root: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STEPS, str(root), str(at)]
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": path}, check=False)


def test_after_sigkill_at_any_step_the_next_process_undoes_what_had_an_effect(tmp_path: Path) -> None:
    whole = run_steps(tmp_path, 0)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    assert steps > 30
    for at in range(1, steps + 1, 1):
        root = tmp_path / str(at)
        root.mkdir()
        assert run_steps(root, at).returncode == -signal.SIGKILL
        world, kept = World(root), Journal(root / "j")
        present = {name for name in "ab" if (root / name).exists()}
        assert present <= {action.given["name"] for action in kept.open}, at
        assert undone(kept, doers(world)) == []
        assert not [name for name in "ab" if (root / name).exists()] and Journal(root / "j").open == ()
        assert world.told == sorted(world.told, reverse=True)


@pytest.mark.parametrize("cut", [1, 2, 30, 100])
def test_a_last_line_that_was_never_finished_is_dropped_and_the_next_takes_its_place(tmp_path: Path, cut: int) -> None:
    begun(tmp_path / "j")
    content = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(content[:-cut])
    kept = Journal(tmp_path / "j")
    assert [action.kind for action in kept.open] == ["take_over"]
    kept.begin("attach", {"name": "c"})
    assert [action.given["name"] for action in Journal(tmp_path / "j").open] == ["a", "c"]


@pytest.mark.parametrize("change", [(b'"b"', b'"c"'), (b'"seq":2', b'"seq":3'), (b"begin", b"undone"), (b"{", b"[")])
def test_a_journal_that_was_changed_is_not_believed(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    begun(tmp_path / "j")
    content = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(content.replace(*change))
    with pytest.raises(ChainError, match=r"j:[123]: "):
        Journal(tmp_path / "j")


def test_a_link_or_pipe_in_its_place_is_not_believed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "j")
    with pytest.raises(ChainError, match="no plain file"):
        Journal(tmp_path / "j")


def test_on_a_full_disk_nothing_begins_and_the_file_is_as_before(tmp_path: Path, monkeypatch: Any) -> None:
    kept = begun(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    monkeypatch.setattr(chain, "write_all", full)
    with pytest.raises(InfraError, match="No space left"):
        kept.begin("attach", {"name": "c"})
    assert (tmp_path / "j").read_bytes() == before and len(kept.open) == 2


def full(fd: int, content: bytes) -> None:
    os.write(fd, content[:7])
    raise OSError(28, "No space left on device")


def test_on_a_full_disk_all_is_undone_and_written_down_when_there_is_room(tmp_path: Path, monkeypatch: Any) -> None:
    kept, world = begun(tmp_path / "j"), World(tmp_path)
    for name in "ab":
        (tmp_path / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(chain, "write_all", full)
        wrong = undone(kept, doers(world))
        assert len(wrong) == 2 and "could not be written down" in wrong[0]
        assert world.told == ["b", "a"] and kept.open == () and not kept.healthy
        with pytest.raises(InfraError):
            kept.begin("attach", {"name": "c"})
    assert len(Journal(tmp_path / "j").open) == 2  # a process that starts now undoes them once more
    kept.catch_up()
    assert kept.healthy and Journal(tmp_path / "j").open == ()


def test_a_long_journal_starts_anew_when_nothing_is_open_and_keeps_the_audits_head(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(journal, "COMPACT_BYTES", 500)
    kept = begun(tmp_path / "j")
    kept.note_audit(Head(7, "ab" * 32))
    size = (tmp_path / "j").stat().st_size
    kept.compact()
    assert (tmp_path / "j").stat().st_size == size > 500
    undone(kept, doers(World(tmp_path)))
    kept.compact()
    again = Journal(tmp_path / "j")
    assert again.audit_head == Head(7, "ab" * 32) and again.open == ()
    assert len((tmp_path / "j").read_bytes().splitlines()) == 1
    assert json.loads((tmp_path / "j").read_bytes())["data"]["what"] == "audit"


def test_threads_that_write_at_once_leave_a_chain_that_holds(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j")

    def write(number: int) -> None:
        for _ in range(10):
            kept.note_audit(Head(1, "ab" * 32))
            kept.undone(kept.begin("attach", {"name": str(number)}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert Journal(tmp_path / "j").open == () and len((tmp_path / "j").read_bytes().splitlines()) == 120
