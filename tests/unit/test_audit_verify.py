# SPDX-License-Identifier: Apache-2.0
"""`schedcp audit verify`: which way a log was tampered with, and where; and what the lake kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rollout_cases import PLAN

from control_plane import audit as command
from control_plane.audit import verify_command
from host_agent.audit import Audit, verify
from host_agent.chain import Head, encoded
from policy_lake.errors import InfraError, InputError
from policy_lake.records import Rollout
from tasks.host.lake import open_lake
from tasks.host.settings import load_settings
from tasks.rollout.agent_host import Channel
from tasks.rollout.audit import ask_audit, ask_audits


class Answer:
    def __init__(self, **fields: Any) -> None:
        self.ok, self.code, self.message, self.fields = True, "", "", fields


class Here:
    """A host's log, an agent that tells it, and a data directory with a lake."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        monkeypatch.setenv("SCHEDCP_DATA_DIR", str(root / "data"))
        self.settings, self.dir, self.capsys = load_settings(), root / "host", capsys
        self.dir.mkdir()
        self.log = Audit(self.dir, least=Head())
        self.file = self.dir / "audit.jsonl"
        self.add(6)
        monkeypatch.setattr(command, "channel_of", lambda host, settings: (host, self.channel))

    def add(self, entries: int, **more: Any) -> None:
        for number in range(entries):
            self.log.add("refused", number=number, seconds=1.5, **more)

    def channel(self, request: str, *, timeout_s: float = 1.0, since: int = 0, **_: Any) -> Any:
        """As host_agent.desk tells it, three at a time."""
        assert request == "audit"
        lines = self.log.since(since, most=3)
        head = {"seq": self.log.head.seq, "sha256": self.log.head.sha256}
        previous = lines[0].previous if lines else self.log.head.sha256
        return Answer(
            entries=[{"seq": one.seq, **one.data} for one in lines], previous=previous, head=head, log=self.log.id
        )

    def keep(self, id: str, channel: Channel | None = None, **changes: Any) -> None:
        audits = ask_audits([("web", channel or self.channel)])
        record = Rollout(id, "w", "fifo", "0" * 64, ("web",), PLAN, "2026-01-01", audits=audits)
        open_lake(self.settings).put(replace(record, **changes))

    def anew(self, name: str) -> None:
        """Another host under the same name, or the same one whose log was put away."""
        self.dir = self.dir.parent / name
        self.dir.mkdir()
        self.log, self.file = Audit(self.dir, least=Head()), self.dir / "audit.jsonl"
        self.add(6)

    def verify(self, path: Path | None = None, host: str = "", head: str = "", log: str = "") -> dict[str, Any]:
        self.capsys.readouterr()
        status = verify_command(path, host, head, self.settings, as_json=True, log=log)
        told = dict(json.loads(self.capsys.readouterr().out))
        assert status == (0 if told["holds"] else 3)
        return told

    @property
    def copy(self) -> Path:
        """The log somewhere else, where nothing beside it knows how far it goes."""
        copy = self.dir.parent / "copy.jsonl"
        copy.write_bytes(self.file.read_bytes())
        return copy

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True)

    def write(self, lines: list[bytes]) -> None:
        self.file.write_bytes(b"".join(lines))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Here:
    return Here(tmp_path, monkeypatch, capsys)


def rewritten(lines: list[bytes], at: int) -> list[bytes]:
    """The log as who can write it makes it: one entry another, and all digests from there on right."""
    head, made = Head(), []
    for number, line in enumerate(lines):
        data = json.loads(line)["data"]
        text, head = encoded(head, {**data, "number": 99} if number == at else data)
        made.append(text)
    return made


def test_a_log_that_holds_says_how_far_it_goes_and_whether_a_cut_would_show(here: Here) -> None:
    told = here.verify(here.copy)
    assert (told["holds"], told["entries"], told["first"], told["last"]) == (True, 6, 1, 6)
    assert told["sha256"] == here.log.head.sha256 and told["end_known"] is False
    assert here.verify(here.dir)["end_known"] is True and here.verify(here.file)["end_known"] is True
    assert here.verify(here.copy, head=f"6:{here.log.head.sha256}")["end_known"] is True
    with here.file.open("ab") as file:
        file.write(b'{"half')
    assert here.verify(here.file)["unfinished"] is True


TAMPERED: dict[str, tuple[Any, str, int]] = {
    "edited": (lambda lines: [*lines[:2], lines[2].replace(b'"number":2', b'"number":7'), *lines[3:]], "edited", 3),
    "edited and digested anew": (lambda lines: [*lines[:2], rewritten(lines, 2)[2], *lines[3:]], "replaced", 4),
    "one removed": (lambda lines: [*lines[:2], *lines[3:]], "removed", 3),
    "two removed": (lambda lines: [*lines[:2], *lines[4:]], "removed", 3),
    "moved": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "moved", 3),
    "moved to the end": (lambda lines: [*lines[:1], *lines[2:], lines[1]], "moved", 2),
    "told twice": (lambda lines: [*lines[:3], lines[2], *lines[3:]], "moved", 4),
    "no line": (lambda lines: [*lines[:2], b"x\n", *lines[3:]], "edited", 3),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_each_way_of_tampering_is_told_by_its_name_with_the_line(here: Here, case: str) -> None:
    change, fault, line = TAMPERED[case]
    here.write(change(here.lines()))
    for place in (here.file, here.dir):
        told = here.verify(place)
        assert (told["fault"], told["line"]) == (fault, line) and f"audit.jsonl:{line}: " in told["reason"]


def test_a_log_cut_at_a_lines_end_holds_for_who_knows_of_no_more_and_is_cut_off_for_who_does(here: Here) -> None:
    head = here.log.head
    here.keep("r-1")
    here.write(here.lines()[:4])
    alone = here.verify(here.copy)
    assert alone["holds"] and alone["end_known"] is False
    known = here.verify(here.copy, head=f"6:{head.sha256}"), here.verify(here.copy, "web")
    for told in (here.verify(here.dir), here.verify(here.file), *known):
        assert (told["fault"], told["line"]) == ("cut_off", 4)


def test_a_log_written_anew_from_the_first_line_holds_alone_and_not_beside_the_lakes_copy(here: Here) -> None:
    here.keep("r-1")
    here.write(rewritten(here.lines(), 2))
    assert here.verify(here.copy)["holds"] and here.verify(here.file)["fault"] == "replaced"
    told = here.verify(here.copy, "web")
    assert (told["fault"], told["line"]) == ("replaced", 3) and "r-1" in told["reason"]


def test_a_host_made_anew_is_told_as_another_with_what_to_do_and_is_known_from_then_on(here: Here) -> None:
    here.keep("rollout-1")
    before = here.log.id
    assert here.verify(host="web")["log"] == before and len(before) == 32
    here.anew("second")
    told = here.verify(host="web")
    assert told["fault"] == "another" and "another host than before" in told["reason"]
    assert before in told["reason"] and "rollout-1" in told["reason"] and "begun at 20" in told["reason"]
    assert f"--log {here.log.id}." in told["reason"]
    assert here.verify(here.dir, "web")["fault"] == here.verify(here.copy, "web")["fault"] == "another"
    now = here.verify(host="web", log=here.log.id)
    assert now["holds"] and (now["compared"], now["others"]) == ([], ["rollout-1"])
    here.keep("rollout-2", started="2026-02-01")
    now = here.verify(host="web")
    assert now["holds"] and (now["compared"], now["others"]) == (["rollout-2"], ["rollout-1"])
    assert here.verify()["holds"], "two logs of one name in the lake are no contradiction"
    assert here.verify(host="web", log=before)["fault"] == "replaced"


def test_a_log_that_was_replaced_under_its_identity_stays_an_alarm(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.keep("rollout-1")
    id = here.log.id
    monkeypatch.setattr("host_agent.audit.secrets.token_hex", lambda size: id)
    here.anew("second")
    assert here.log.id == id and here.verify(host="web")["fault"] == "replaced"
    assert here.verify(host="web", log=id)["fault"] == "replaced"
    monkeypatch.undo()


def test_an_agent_that_tells_of_another_identity_than_its_log_s_is_an_alarm(here: Here) -> None:
    here.keep("rollout-1")
    id = here.log.id
    here.anew("second")
    here.log.id = id
    assert here.verify(host="web")["fault"] == "replaced"


@pytest.mark.parametrize(("log", "host"), [("x", "web"), ("0" * 31, "web"), ("0" * 32, "")])
def test_an_identity_that_is_none_is_bad_input(here: Here, log: str, host: str) -> None:
    with pytest.raises(InputError, match="--log"):
        here.verify(here.dir, host, log=log)


def test_a_host_is_asked_page_by_page_and_held_against_what_was_kept(here: Here) -> None:
    here.keep("r-1")
    here.add(5)
    told = here.verify(host="web")
    assert told["holds"] and told["entries"] == 11 and told["compared"] == ["r-1"]
    assert told["sha256"] == here.log.head.sha256 == verify(here.dir).sha256
    here.keep("r-2")
    (here.dir / "audit.head.json").unlink()
    here.file.unlink()
    here.log = Audit(here.dir, least=Head())
    here.add(13)  # a host that begins anew
    told = here.verify(host="web")
    assert (told["fault"], told["line"]) == ("another", 1)


def test_the_lakes_copies_are_checked_by_themselves_and_against_each_other(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.keep("r-1")
    assert here.verify() | {"place": ""} == {**here.verify(), "place": ""}
    assert here.verify()["compared"] == ["r-1"] and here.verify()["entries"] == 6
    (kept,) = ask_audits([("web", here.channel)])
    here.keep("r-2", audits=(replace(kept, entries=(*kept.entries[:2], '{"what":"x"}', *kept.entries[3:])),))
    told = here.verify()
    assert told["fault"] == "edited" and "r-2 in the lake" in told["reason"]
    here.file.unlink()
    (here.dir / "audit.head.json").unlink()
    here.log = Audit(here.dir, least=Head())
    monkeypatch.setattr("host_agent.audit.secrets.token_hex", lambda size: kept.log)
    here.add(6, other=1)
    here.keep("r-2")
    told = here.verify()
    assert told["fault"] == "replaced" and "two entries 1 of one log of web" in told["reason"]


def test_a_long_log_is_kept_by_its_end(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.rollout.audit.KEPT", 4)
    (kept,) = ask_audits([("web", here.channel)])
    assert (kept.first, len(kept.entries), kept.sha256) == (3, 4, here.log.head.sha256)
    assert ask_audit("web", here.channel).first == 1


@pytest.mark.parametrize("fields", [
    {}, {"entries": [1]}, {"entries": [{"what": "x"}]}, {"entries": [{"seq": True}]}, {"entries": "x"},
    {"previous": "x"}, {"previous": None}, {"head": {"seq": -1, "sha256": "0" * 64}}, {"head": {"seq": 1}},
])  # fmt: skip
def test_what_a_host_says_that_is_no_log_is_not_kept(here: Here, fields: dict[str, Any]) -> None:
    good = {"entries": [], "previous": "0" * 64, "head": {"seq": 0, "sha256": "0" * 64}}
    bad = Answer(**({**good, **fields} if fields else {}))
    with pytest.raises(InfraError, match="web: its audit log is none"):
        ask_audit("web", lambda *_args, **_more: bad)
    assert ask_audits([("web", lambda *_args, **_more: bad)]) == ()


@pytest.mark.parametrize("head", ["1", "x:y", "0:" + "0" * 64, "1:" + "0" * 63, "1:" + "G" * 64])
def test_words_that_are_none_are_bad_input(here: Here, head: str) -> None:
    with pytest.raises(InputError, match="--head"):
        here.verify(here.file, head=head)
    with pytest.raises(InputError, match="no rollout in the lake"):
        here.verify()
    with pytest.raises(InputError, match="no such file"):
        here.verify(here.file.with_name("none"))
    with pytest.raises(InputError, match="of which log"):
        here.verify(head="1:" + "0" * 64)


def test_words_for_people_say_what_is_not_known(here: Here) -> None:
    verify_command(here.copy, "", "", here.settings, as_json=False)
    said = here.capsys.readouterr().out
    assert "holds: 6 entries" in said and "cut off its end would not show" in said


def test_what_is_no_log_does_not_hold(here: Here, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "large.jsonl").open("wb").truncate((16 << 20) + 1)
    for name, words in (
        ("none", "not one entry there"), ("empty.jsonl", "not one entry there"), ("large.jsonl", "larger than 16 MiB"),
        ("/dev/zero", "no plain file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            here.verify(tmp_path / name)
    for place in (tmp_path / "none" / "audit.jsonl", tmp_path / "garbage"):
        place.write_bytes(b"whatever this is")
        assert here.verify(place)["fault"] == "edited"
    assert here.verify(tmp_path / "none")["fault"] == "edited"


def test_a_log_that_is_gone_from_beside_its_head_or_journal_is_cut_off(here: Here) -> None:
    here.file.unlink()
    assert here.verify(here.dir)["fault"] == "cut_off"
    here.file.touch()
    assert here.verify(here.file)["fault"] == "cut_off"
