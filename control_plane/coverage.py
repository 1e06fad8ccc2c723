# SPDX-License-Identifier: Apache-2.0
"""What the suite executed of a policy, for people: one line, what was not tried, the source with marks beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from control_plane.outcomes import outcome
from policy_lake.coverage import END, UNTRIED, Branch, Coverage, FileCoverage, Share
from policy_lake.limits import CPUS

MOST_NOT_TRIED = 12  # lines; --coverage shows all
MOST_BYTES = 4 << 20
RAN, NOT_TRIED, ERROR, NO_CODE = "+", "!", "e", " "
LEGEND = f"{RAN} ran, {NOT_TRIED} not tried, {ERROR} error path, or proven never to run: not counted"


@dataclass(frozen=True, slots=True)
class Source:
    """A policy's own file: its name, and its lines with what cannot be printed replaced; none of an object."""

    name: str
    lines: tuple[str, ...]


def read_source(path: Path) -> Source:
    """The file as it is now; without lines where it is an object, or gone."""
    try:
        text = path.read_bytes()[:MOST_BYTES].decode(errors="replace") if path.suffix in (".c", ".h") else ""
    except OSError:
        text = ""
    return source_of(path.name, text)


def source_of(name: str, text: str) -> Source:
    """A policy's source as the lake keeps it."""
    lines = text[:MOST_BYTES].splitlines()
    return Source(name, tuple("".join(c if c.isprintable() else "?" for c in line.expandtabs()) for line in lines))


def coverage_line(coverage: Coverage) -> str:
    """How much was executed."""
    if coverage.unknown:
        return f"not known: {coverage.unknown}"
    return f"{_share(coverage.lines)} of lines, {_share(coverage.branches)} of branches, outside error paths"


def _share(share: Share) -> str:
    return f"{share.percent:g} % ({share.ran} of {share.of})"


def not_tried(coverage: Coverage, source: Source) -> list[str]:
    """The branches that were not tried, a place a line, the policy's own file first."""
    ways: dict[tuple[str, int, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for branch, way in _ways(coverage, source):
        ways[branch.file, branch.line, branch.column][way].append(branch.program)
    order = sorted(ways, key=lambda place: ("/" in place[0].removeprefix("source/"), place))
    never = [f"{program}: never called" for program in coverage.never_ran]
    return never + [f"{_name(file)}:{line}:{column}: {_told(ways[file, line, column])}" for file, line, column in order]


def _told(ways: dict[str, list[str]]) -> str:
    return "; ".join(f"{way} in {', '.join(dict.fromkeys(programs))}" for way, programs in ways.items())


def _ways(coverage: Coverage, source: Source) -> Iterator[tuple[Branch, str]]:
    """Each way that was not tried, in words."""
    texts: dict[str, tuple[str, ...]] = {}
    for branch in coverage.conditions:
        for fate, to, other in branch.ways:
            if fate in UNTRIED:
                if branch.file not in texts:
                    texts[branch.file] = _text_of(branch.file, source)
                way = _way(branch, to, outcome(texts[branch.file], branch.line, to, other), beyond=fate == "beyond")
                yield branch, way


def _text_of(file: str, source: Source) -> tuple[str, ...]:
    """The lines of a file that coverage names: the policy's own, or one of our headers."""
    if Path(file).name == source.name:
        return source.lines
    ours = file.startswith("bpf/") and ".." not in Path(file).parts
    return read_source(Path(__file__).parents[1] / file).lines if ours else ()


def _way(branch: Branch, to: int, holds: bool | None, *, beyond: bool) -> str:
    way = "the loop" if branch.number < 0 else "to the end" if to == END else f"to line {to}" if to else "one way"
    if holds is not None and branch.number >= 0:
        way = f"where it {'holds' if holds else 'does not hold'}{f', {way}' if to else ''}"
    hints = []
    if branch.cpus > CPUS.high:
        hints.append(f"of {branch.cpus} CPUs, more than a guest can have")
    elif branch.cpus:
        hints.append(f"try --topology cpus={branch.cpus}")
    if beyond:
        hints.append("not counted: a token is for no host with so many CPUs")
    return f"{way} ({'; '.join(hints)})" if hints else way


def annotated(coverage: Coverage, source: Source) -> Iterator[str]:
    """The policy's own file line by line, each with its mark and number, then headers in short."""
    own = own_file(coverage, source)
    if own is None:
        yield f"no line of {source.name} has code"
        return
    notes = notes_of(coverage, own.file, source)
    yield f"{source.name}: {LEGEND}"
    for number, text in enumerate(source.lines, 1):
        yield f"{mark(own, number)} {number:>5} {text}".rstrip()
        for note in notes.get(number, ()):
            yield f"{'':>8}^ not tried: {note}"
    for file in coverage.files:
        if file is not own and file.not_tried:
            yield f"{_name(file.file)}: lines not tried: {', '.join(map(str, file.not_tried))}"


def own_file(coverage: Coverage, source: Source) -> FileCoverage | None:
    """What is known of the policy's own file; None where no line of it has code."""
    return next((file for file in coverage.files if Path(file.file).name == source.name), None)


def notes_of(coverage: Coverage, file: str, source: Source) -> dict[int, list[str]]:
    """Which ways of the branches of a line were not tried, in words, by line."""
    notes: dict[int, list[str]] = defaultdict(list)
    for branch, way in _ways(coverage, source):
        if branch.file == file:
            notes[branch.line].append(f"{way} (column {branch.column}, in {branch.program})")
    return notes


def mark(file: FileCoverage, line: int) -> str:
    """One of RAN, NOT_TRIED, ERROR, NO_CODE."""
    if line in file.not_tried:
        return NOT_TRIED
    if line in file.error:
        return ERROR
    return RAN if line in file.ran else NO_CODE


def _name(file: str) -> str:
    return file.removeprefix("source/")
