# SPDX-License-Identifier: Apache-2.0
"""`schedcp audit verify`: whether a host's audit log holds: a file, what its agent tells, what the lake kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.audit_outputs import AuditVerifyOutput
from control_plane.output import escape, out, print_json
from host_agent.audit import HEAD, check_known, log_id, read_head, read_head_file, verify
from host_agent.chain import LARGEST_FILE, ChainError, Fault, Head, Line, encoded, read_chain
from host_agent.journal import Journal
from host_agent.segments import LOG, walk
from policy_lake.errors import InputError
from policy_lake.files import read_outside
from policy_lake.records import HostAudit
from policy_lake.strict_json import strict_object
from tasks.host.lake import open_lake
from tasks.host.settings import Settings
from tasks.rollout.audit import ask_audit
from tasks.rollout.open import channel_of

HOLDS, BROKEN = 0, 3
JOURNAL = "journal.jsonl"
BESIDE = "the head beside it"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HEAD = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{64})", re.ASCII)


@dataclass(slots=True)
class Seen:
    """A log that holds in itself; `ends` are places that know where it ended, `unfinished` what a crash left.

    `id` is its identity, None where nothing here tells it; `others` are rollouts that kept another log of that name.
    """

    place: str
    lines: list[Line]
    unfinished: bool = False
    ends: list[str] = field(default_factory=list)
    id: str | None = None
    others: list[str] = field(default_factory=list)

    @property
    def head(self) -> Head:
        """Its last entry."""
        return Head(self.lines[-1].seq, self.lines[-1].sha256) if self.lines else Head()


@dataclass(frozen=True, slots=True)
class Copy:
    """What a rollout kept of a host's log, `id` being the log's."""

    rollout: str
    host: str
    id: str
    lines: list[Line]


def verify_command(path: Path | None, host: str, head: str, settings: Settings, *, as_json: bool, log: str = "") -> int:
    """Say whether it holds, or which line breaks and how; 3 where it does not.

    `log` is the identity that a host's log has to have: copies of another are then of the host that was there before.
    """
    if log and not (_ID.fullmatch(log) and host):
        raise InputError(f"--log '{log[:80]}': the identity of a host's log, 32 digits in hex, beside --host")
    known = _known(head)
    if path is None and not host and known:
        raise InputError("--head: of which log? Name its file, or --host")
    if path is not None and not path.exists():
        raise InputError(f"{path}: no such file")
    name = host.partition("@")[0]
    place = str(path or host or "the lake")
    try:
        copies = list(_copies(settings, name))
        if path is None and not copies and not host:
            raise InputError("no rollout in the lake kept a host's log: name a file, or --host")
        seen = _of_files(path) if path else _of_host(host, settings) if host else None
        if seen:
            _compare(seen, copies if host else [], log)
            for one in known:
                digests = {line.seq: line.sha256 for line in seen.lines}
                check_known(seen.head, one, digests.get(one.seq), place, "--head")
                seen.ends.append("--head")
        output = _told(place, seen, copies if host or not path else [])
    except ChainError as error:
        output = AuditVerifyOutput(place, False, fault=error.fault, line=error.line, reason=str(error))
    if as_json:
        print_json("audit verify", output)
    else:
        for line in _words(output):
            out().print(escape(line), soft_wrap=True)
    return HOLDS if output.holds else BROKEN


def _of_files(path: Path) -> Seen:
    """A host's directory with all of its files, or one file alone. InputError where there is no log at all."""
    seen = _of_directory(path) if path.is_dir() else _of_file(path)
    if not seen.lines and seen.unfinished:
        raise ChainError(f"{path}: not one whole entry: it is no audit log", Fault.EDITED, 1)
    if not seen.lines:
        raise InputError(f"{path}: not one entry there: it is no audit log")
    return seen


def _of_directory(path: Path) -> Seen:
    journal = path / JOURNAL
    least = Journal(journal).audit_head if journal.exists() else Head()
    head = verify(path, least)
    files = list(walk(path))
    last, _, size = files[-1]
    ends = [BESIDE] * bool(head.seq and read_head(path).seq) + ["the journal"] * bool(least.seq)
    whole = not last.exists() or size == last.stat().st_size
    every = [line for _, lines, _ in files for line in lines]
    return Seen(str(path), every, not whole, ends, log_id(every) or read_head_file(path)[1])


def _of_file(path: Path) -> Seen:
    """By its own name in its host's directory, or beside a copy of it, the head says how far it goes."""
    read_outside(path, LARGEST_FILE)  # what is no file, or too large for a log, is bad input
    lines, size = read_chain(path, None)
    seen = Seen(str(path), lines, unfinished=size != path.stat().st_size, id=_id_of(lines))
    known = read_head(path.parent) if path.name == LOG else Head()
    if known.seq:
        digests = {line.seq: line.sha256 for line in lines}
        check_known(seen.head, known, digests.get(known.seq), str(path), str(path.parent / HEAD))
        seen.ends.append(BESIDE)
    return seen


def _id_of(lines: list[Line]) -> str | None:
    """The log's identity; None for a piece of one that does not tell it."""
    begins = bool(lines) and lines[0].seq == 1
    return log_id(lines) or ("" if begins else None)


def _of_host(host: str, settings: Settings) -> Seen:
    name, channel = channel_of(host, settings)
    audit = ask_audit(name, channel)
    lines = _lines(audit, name)
    if (within := log_id(lines)) and within != audit.log:
        raise ChainError(
            f"{name}: it says that its log is {audit.log or 'none'}, and it is {within}", Fault.REPLACED, 1
        )
    return Seen(f"{name}, as it tells it", lines, id=audit.log)


def _copies(settings: Settings, host: str) -> Iterator[Copy]:
    """What rollouts kept of this host's log, or of every host's, the oldest first; ChainError for a changed one."""
    for record in sorted(open_lake(settings).rollouts(), key=lambda record: record.started):
        for audit in record.audits:
            if host in ("", audit.host):
                lines = _lines(audit, f"{record.id} in the lake, {audit.host}")
                yield Copy(record.id, audit.host, audit.log, lines)


def _lines(audit: HostAudit, where: str) -> list[Line]:
    """The entries with the digests that follow from them; they end in what was kept as the last one's."""
    head, lines = Head(audit.first - 1, audit.previous), []
    for text in audit.entries:
        try:
            data = strict_object(text.encode(), most=1 << 20, deepest=16)
        except ValueError as error:
            words = f"{where}: entry {head.seq + 1} is damaged: {error}"
            raise ChainError(words, Fault.EDITED, head.seq + 1) from None
        _, after = encoded(head, data)
        lines.append(Line(after.seq, data, after.sha256, head.sha256))
        head = after
    if head.sha256 != audit.sha256:
        words = f"{where}: entries {audit.first} to {head.seq} do not come to the digest that was kept with them"
        raise ChainError(words, Fault.EDITED, audit.first)
    return lines


def _compare(seen: Seen, copies: Sequence[Copy], log: str) -> None:
    """ChainError where a rollout kept an entry that is another now, or is gone from the end; or another log."""
    if log and seen.id is not None and seen.id != log:
        raise ChainError(f"{seen.place}: its log is {seen.id or 'one without identity'}, not {log}", Fault.REPLACED, 1)
    last = log or (copies[-1].id if copies else "")
    if copies and seen.id is not None and seen.id != last:
        began = next((f", begun at {line.data.get('at')}," for line in seen.lines if line.seq == 1), "")
        words = (
            f"{seen.place}: another host than before: its log {seen.id or '(without identity)'}{began} is not"
            f" {last or 'the one'} that {copies[-1].rollout} kept. If you made it anew, say so: --log {seen.id}."
            " If not, somebody replaced the host or its log: stop it"
        )
        raise ChainError(words, Fault.ANOTHER, 1)
    digests = {line.seq: line.sha256 for line in seen.lines}
    for copy in copies:
        if copy.id != last:
            seen.others.append(copy.rollout)
            continue
        for line in copy.lines:
            check_known(seen.head, Head(line.seq, line.sha256), digests.get(line.seq), seen.place, copy.rollout)
        seen.ends.append(copy.rollout)


def _told(place: str, seen: Seen | None, copies: list[Copy]) -> AuditVerifyOutput:
    among: dict[tuple[str, str, int], tuple[str, str]] = {}
    for copy in copies:
        for line in copy.lines:
            before, digest = among.setdefault((copy.host, copy.id, line.seq), (copy.rollout, line.sha256))
            if digest != line.sha256:
                words = f"{copy.rollout} and {before} in the lake kept two entries {line.seq} of one log of {copy.host}"
                raise ChainError(words, Fault.REPLACED, line.seq)
    others = tuple(dict.fromkeys(seen.others if seen else ()))
    ids = tuple(one for one in dict.fromkeys(copy.rollout for copy in copies) if one not in others)
    if seen is None:
        return AuditVerifyOutput(place, True, entries=len(among), compared=ids, end_known=bool(ids))
    first = seen.lines[0].seq if seen.lines else 0
    return AuditVerifyOutput(
        place, True, len(seen.lines), first, seen.head.seq, seen.head.sha256 if seen.lines else "",
        compared=ids, end_known=bool(seen.ends), unfinished=seen.unfinished, log=seen.id or "", others=others,
    )  # fmt: skip


def _known(text: str) -> list[Head]:
    if not text:
        return []
    found = _HEAD.fullmatch(text)
    if not found:
        raise InputError(f"--head '{text[:80]}': an entry's number and digest, N:SHA256")
    return [Head(int(found[1]), found[2])]


def _words(output: AuditVerifyOutput) -> Iterator[str]:
    if not output.holds:
        yield f"{output.fault}: {output.reason}"
        return
    span = f", {output.first} to {output.last}, the last is {output.sha256}" if output.last else ""
    yield f"{output.place}: holds: {output.entries} entries{span}"
    if output.compared:
        yield f"  agrees with what was kept by {', '.join(output.compared)}"
    if output.others:
        yield f"  of another log of that name, and not compared: {', '.join(output.others)}"
    if output.first > 1:
        yield f"  entries before {output.first} are not here"
    if output.unfinished:
        yield "  its last line was never finished, as a crash leaves one"
    if not output.end_known:
        yield "  lines cut off its end would not show: nothing here knows how far it went (see --head and --host)"
