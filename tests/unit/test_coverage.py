# SPDX-License-Identifier: Apache-2.0
"""Coverage of a policy's own code, from what a real guest told (tests/golden/hour_stall.json), and lies about it.

The guest had just booted, ran W1 for half a second under the policy, and its CPUs stayed online.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.coverage import annotated, coverage_line, not_tried, read_source
from control_plane.coverage_page import coverage_page
from policy_lake.coverage import Block, Branch, Coverage, Executed, FileCoverage, Share, counted, shortened, shortfall
from policy_lake.errors import InfraError
from policy_lake.events import LaidOut
from policy_lake.model import from_json, to_json
from verifier_vm.coverage import conditions, measure
from verifier_vm.coverage.error_paths import JUMPED
from verifier_vm.coverage.joined import joined
from verifier_vm.coverage.measure import measure_coverage
from verifier_vm.machine import clock, executed, layout
from verifier_vm.machine.layout import LayoutError, parse_layout
from verifier_vm.machine.wire import parse_step

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/hour_stall.json").read_text())
OBJECT = zlib.decompress(base64.b64decode(GOLDEN["object"]))
LAYOUT = json.loads(GOLDEN["layout"])
PROGRAMS = parse_layout(GOLDEN["layout"])
BLOCKS = tuple(Block(*block) for block in GOLDEN["blocks"])
SOURCE = ROOT / "tests/policies/uptime/hour_stall.bpf.c"
DISPATCH = next(program for program in PROGRAMS if program.name == "hour_dispatch").functions[0]


def measured(blocks=BLOCKS, programs=PROGRAMS, dropped=0, data=OBJECT) -> Coverage:
    return measure_coverage(data, programs, Executed(tuple(blocks), dropped))


def test_what_ran_and_what_did_not_is_told_by_line_and_branch():
    coverage = measured()
    own = next(file for file in coverage.files if file.file == SOURCE.name)
    assert (own.ran, own.not_tried, own.error) == ((12, 17, 19, 24), (10,), ())
    (branch,) = coverage.conditions
    assert (branch.program, branch.line, branch.jumped, branch.went_on) == ("hour_dispatch", 19, "not tried", "ran")
    assert coverage.never_ran == ("hour_cpu_offline", "hour_cpu_online")
    assert "hour_exit" not in coverage.programs
    assert (coverage.lines, coverage.branches) == (Share(9, 10), Share(4, 7))
    assert from_json(Coverage, to_json(coverage)) == coverage


def test_what_ran_while_other_code_lay_there_does_not_count():
    changed = [replace(block, crc=block.crc ^ 1) for block in BLOCKS]
    coverage = measured(changed)
    assert coverage.lines.ran == coverage.branches.ran == 0 and not coverage.unknown


def test_a_way_that_an_interrupt_hid_is_known_by_what_ran_behind_it():
    blind = [replace(block, jumped=False, went_on=False) for block in BLOCKS]
    assert measured(blind).conditions == measured().conditions


def with_conditions(monkeypatch, change) -> Coverage:
    """What is measured where the object's conditions are otherwise."""

    def read(data, arguments=()):
        return change(conditions.read_conditions(data, arguments))

    monkeypatch.setattr(measure, "read_conditions", read)
    return measured()


def test_what_constants_close_does_not_count(monkeypatch):
    def close(known):
        known.dead = {condition: {JUMPED} for condition in known.known if condition[0][1] == 19}
        return known

    coverage = with_conditions(monkeypatch, close)
    (branch,) = coverage.conditions
    assert (branch.jumped, branch.went_on) == ("dead", "ran") and not list(coverage.not_tried())
    assert coverage.branches == Share(4, 6)


@pytest.mark.parametrize("decided", [False, True])
def test_a_jump_that_is_none_of_the_policy_s_counts_where_one_of_its_own_is_missing_that_nothing_decides(
    monkeypatch, decided
):
    def another(known):
        (own,) = [condition for condition in known.known if condition[0][1] == 19]
        missing = (own[0], b"another", own[2])
        known.known, known.by_place = {missing}, {own[0]: {missing}}
        known.dead = {missing: {JUMPED} if decided else set()}
        return known

    assert bool(with_conditions(monkeypatch, another).conditions) is not decided


def test_a_block_that_ran_both_ways_leaves_nothing_to_try():
    both = [replace(block, jumped=block.went_on) for block in BLOCKS]
    (branch,) = measured(both).conditions
    assert branch.fates == ("ran", "ran")


def inside(at: int) -> Block:
    """A block whose bytes are right and whose begin is in the middle of an instruction."""
    return Block(DISPATCH.start + at, 4, zlib.crc32(DISPATCH.code[at : at + 4]))


@pytest.mark.parametrize(
    ("why", "given"),
    [
        ("more blocks ran", {"dropped": 1}),
        ("cannot be followed", {"data": OBJECT[:1000]}),
        ("cannot be followed", {"data": b""}),
        ("does not tell where the code of hour_dispatch", {"programs": PROGRAMS[:2] + PROGRAMS[3:]}),
        ("no line information", {"programs": tuple(replace(program, lines=()) for program in PROGRAMS)}),
        ("between instructions", {"blocks": (*BLOCKS, inside(1))}),
    ],
)
def test_what_does_not_fit_is_coverage_that_is_not_known(why, given):
    if "programs" in given and why.startswith("does not tell"):
        given = {"programs": tuple(program for program in PROGRAMS if program.name != "hour_dispatch")}
    coverage = measured(**given)
    assert why in coverage.unknown and coverage.lines == coverage.branches == Share(0, 0)
    assert why in shortfall(coverage, 0)


def damaged(change) -> str:
    told = copy.deepcopy(LAYOUT)
    change(told)
    return json.dumps(told)


STEP = {"event": "step", "verb": "layout", "label": "layout", "ok": True, "seconds": 0.1, "kmsg": []}
FIRST = LAYOUT["programs"][0]
LIES = {
    "a program less": lambda told: told.update(missing="hour_dispatch"),
    "no list": lambda told: told.update(programs={}),
    "no programs": lambda told: told.update(programs=[]),
    "no files": lambda told: told.pop("files"),
    "too many programs": lambda told: told.update(programs=[FIRST] * 300),
    "twice": lambda told: told["programs"].append(FIRST),
    "a longer function": lambda told: told["programs"][0]["functions"][0].__setitem__(1, 1 << 19),
    "a shorter function": lambda told: told["programs"][0]["functions"][0].__setitem__(1, 1),
    "an empty function": lambda told: told["programs"][0]["functions"][0].__setitem__(1, 0),
    "a negative size": lambda told: told["programs"][0]["functions"][0].__setitem__(1, -1),
    "a huge size": lambda told: told["programs"][0]["functions"][0].__setitem__(1, 2**70),
    "no function": lambda told: told["programs"][0].update(functions=[]),
    "outside the area": lambda told: told["programs"][0]["functions"][0].__setitem__(0, 0x1000),
    "at the end of memory": lambda told: told["programs"][0]["functions"][0].__setitem__(0, 2**64 - 8),
    "a bool for a number": lambda told: told["programs"][0]["functions"][0].__setitem__(1, True),
    "a float for a number": lambda told: told["programs"][0]["lines"][0].__setitem__(0, 1.5),
    "over another": lambda told: told["programs"][0]["functions"][0].__setitem__(0, DISPATCH.start + 1),
    "no hex": lambda told: told["programs"][0].update(code="zz" * 40),
    "half a byte": lambda told: told["programs"][0].update(code=FIRST["code"][:-1]),
    "a line elsewhere": lambda told: told["programs"][0]["lines"][0].__setitem__(0, DISPATCH.start),
    "a line of no file": lambda told: told["programs"][0]["lines"][0].__setitem__(1, 200),
    "a line of file -1": lambda told: told["programs"][0]["lines"][0].__setitem__(1, -1),
    "a short line": lambda told: told["programs"][0]["lines"][0].pop(),
    "a file with an escape": lambda told: told["files"].__setitem__(0, "\x1b[2J"),
    "a long name": lambda told: told["programs"][0].update(name="x" * 500),
    "a name that is none": lambda told: told["programs"][0].update(name=["x"]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_layout_that_cannot_be_is_none(lie):
    with pytest.raises(LayoutError) as raised:
        parse_layout(damaged(LIES[lie]))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, "1", '{"programs":[]}', GOLDEN["layout"][:-9]])
def test_what_is_no_layout_at_all_leaves_the_step_standing_and_coverage_unknown(text):
    line = {
        "event": "step",
        "verb": "layout",
        "label": "layout",
        "ok": True,
        "seconds": 0.1,
        "kmsg": [],
        "layout": text,
    }
    event = parse_step(json.dumps(line))
    assert isinstance(event, LaidOut) and event.ok and event.unknown and event.programs == ()


def test_a_layout_comes_through_the_wire():
    event = parse_step(json.dumps({**STEP, "layout": GOLDEN["layout"]}))
    assert isinstance(event, LaidOut) and event.programs == PROGRAMS and not event.unknown
    with pytest.raises(InfraError, match="field 'layout'"):
        parse_step(json.dumps({**STEP, "layout": 5}))


def test_several_guests_are_one_coverage_and_one_that_does_not_know_spoils_it():
    first = counted(
        ["f", "g"], [FileCoverage("a.c", (1,), (2, 3), (4,))], [Branch("f", "a.c", 1, 2, 0, "ran", "not tried")], ["g"]
    )
    second = counted(
        ["f", "g"], [FileCoverage("a.c", (2, 4), (1,), (3,)), FileCoverage("b.h", (9,))],
        [Branch("f", "a.c", 1, 2, 0, "not tried", "ran"), Branch("g", "b.h", 9, 1, 0, "error", "ran")], ["f"],
    )  # fmt: skip
    both = joined([first, second])
    assert both.files == (FileCoverage("a.c", (1, 2, 4), (3,)), FileCoverage("b.h", (9,)))
    assert [branch.fates for branch in both.conditions] == [("ran", "ran"), ("error", "ran")]
    assert both.never_ran == () and both.branches == Share(5, 5) and both.lines == Share(4, 5)
    assert joined([first, Coverage("it died"), second]) == Coverage("it died")


def test_enough_is_enough_and_rounding_never_makes_it_so():
    coverage = counted([], [], [Branch("f", "a.c", 1, 2, n, "ran", "ran" if n else "not tried") for n in range(1000)])
    assert coverage.branches.percent == 99.9 and shortfall(coverage, 99) == ""
    assert shortfall(coverage, 100).startswith("99.9 % of the branches outside error paths were tried (1999 of 2000)")
    assert "was not measured" in shortfall(None, 0)


def test_the_source_is_shown_with_what_was_not_tried(tmp_path):
    coverage = measured()
    lines = list(annotated(coverage, read_source(SOURCE)))
    assert any(line.startswith("+    19") for line in lines) and any(line.startswith("!    10") for line in lines)
    assert any("not tried: where it holds, to the end (column 6, in hour_dispatch)" in line for line in lines)
    places = not_tried(coverage, read_source(SOURCE))
    assert "hour_stall.bpf.c:19:6: where it holds, to the end in hour_dispatch" in places
    assert coverage_line(coverage).startswith("90 % (9 of 10) of lines, 57.1 % (4 of 7) of branches")
    hostile = tmp_path / SOURCE.name
    hostile.write_text(SOURCE.read_text().replace("/* One queue", "/* \x1b[2J"))
    assert all(line.isprintable() for line in annotated(coverage, read_source(hostile)))


def test_the_page_has_every_line_its_mark_and_nothing_of_the_policys_as_markup(tmp_path):
    hostile = tmp_path / SOURCE.name
    hostile.write_text(SOURCE.read_text().replace("/* One queue", "/* </td><script>x</script> \x1b[2J"))
    page = coverage_page(measured(), read_source(hostile))
    rows = re.findall(r'<tr class="(\w+)"><td class="mark">(.)</td><td class="number">(\d+)</td>', page)
    assert len(rows) == len(hostile.read_text().splitlines())
    assert ("ran", "+", "19") in rows and ("missed", "!", "10") in rows
    assert "<script>" not in page and "&lt;script&gt;" in page and "\x1b" not in page
    assert "not tried: where it holds, to the end (column 6, in hour_dispatch)" in page
    assert "90 % (9 of 10) of lines" in page
    for path in (tmp_path / "mine.bpf.o", tmp_path / SOURCE.name.replace("hour", "none")):
        assert f"no line of {path.name} has code" in coverage_page(measured(), read_source(path))
    hostile.unlink()
    assert "<tr" not in coverage_page(measured(), read_source(hostile))


def test_the_table_is_read_as_the_clock_writes_it(tmp_path):
    names = ("start", "target", "size", "crc", "seen", "unused")
    prints = "".join(f'printf("%zu ", offsetof(struct block, {name}));' for name in names)
    source = tmp_path / "offsets.c"
    source.write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "vclock.h"\nint main(void) {'
        f'{prints} printf("%zu %d %d %d", sizeof(struct block), RAN, JUMPED, WENT_ON); }}\n'
    )
    subprocess.run(["gcc", f"-I{clock.SOURCES}", "-o", tmp_path / "offsets", source], check=True)
    told = list(map(int, subprocess.check_output([tmp_path / "offsets"]).split()))
    assert told == [0, 8, 16, 20, 24, 28, 32, executed.RAN, executed.JUMPED, executed.WENT_ON]
    assert executed._BLOCK.size == 32
    limit = next(line for line in (clock.SOURCES / "executed.c").read_text().splitlines() if "MAX_BLOCKS 6" in line)
    assert int(limit.split()[2]) == executed.MOST_BLOCKS
    area = next(line for line in (clock.SOURCES / "executed.c").read_text().splitlines() if "JIT_AREA 0x" in line)
    assert int(area.split()[2].removesuffix("ull"), 16) == layout.JIT_AREA.start


def test_a_table_that_the_clock_cannot_have_written_is_no_coverage():
    table, block = executed.BlockTable(), executed._BLOCK
    assert table.read() == Executed(())
    two = block.pack(64, 0, 8, 9, executed.RAN | executed.WENT_ON, 0) + block.pack(1, 0, 1, 1, 0, 0)
    os.pwrite(table.fileno(), executed._HEAD.pack(2, 5) + two, 0)
    assert table.read() == Executed((Block(64, 8, 9, went_on=True),), 5)
    os.pwrite(table.fileno(), executed._HEAD.pack(executed.MOST_BLOCKS + 1, 0), 0)
    with pytest.raises(InfraError, match="damaged"):
        table.read()
    table.close()


def test_a_function_that_the_kernel_calls_by_itself_is_named_by_itself_and_its_copies_are_one(monkeypatch):
    def pass_on(known):
        opening = next(line for program in PROGRAMS if program.name == "hour_dispatch" for line in program.lines)
        known.passed_on = {(opening.file, opening.line, opening.column): "on_tick"}
        return known

    (branch,) = with_conditions(monkeypatch, pass_on).conditions
    assert branch.program == "on_tick"
    assert "hour_dispatch" in with_conditions(monkeypatch, pass_on).programs


def test_copies_of_such_a_function_are_tried_where_one_is(monkeypatch):
    (program,) = (program for program in PROGRAMS if program.name == "hour_dispatch")
    move = 1 << 20  # where nothing ran
    copies = tuple(replace(function, start=function.start + move) for function in program.functions)
    lines = tuple(replace(line, address=line.address + move) for line in program.lines)
    another = next(one for one in PROGRAMS if one.name == "hour_cpu_online")
    twice = replace(another, functions=copies, lines=lines)
    programs = tuple(twice if one is another else one for one in PROGRAMS)
    monkeypatch.setattr(measure, "read_conditions", lambda *given: known)
    known, opening = conditions.read_conditions(OBJECT), program.lines[0]
    assert len(measured(programs=programs).conditions) == 2
    known.passed_on = {(opening.file, opening.line, opening.column): "on_tick"}
    (branch,) = measured(programs=programs).conditions
    assert (branch.program, branch.went_on) == ("on_tick", "ran")


def test_an_object_built_elsewhere_tells_no_directories_of_that_machine():
    files = ("/home/me/mine.bpf.c", "/src/schedcp/bpf/include/sx/cpu.h", "/usr/include/a.h", "near.h")
    branch = Branch("f", files[0], 1, 2, 0, "ran", "not tried")
    coverage = counted(["f"], [FileCoverage(file, (1,)) for file in files], [branch])
    short = shortened(coverage)
    assert [one.file for one in short.files] == ["mine.bpf.c", "bpf/include/sx/cpu.h", "a.h", "near.h"]
    assert short.conditions[0].file == "mine.bpf.c" and short.branches == coverage.branches
    two = counted([], [FileCoverage("/a/x.h", (1,)), FileCoverage("/b/x.h", (2,))], [])
    assert shortened(two) == two, "which is which would be lost"
