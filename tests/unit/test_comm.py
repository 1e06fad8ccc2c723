# SPDX-License-Identifier: Apache-2.0
"""Names of tasks that are not ASCII, and of bytes that are no text at all: one name from the recording to the table."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_cases import trace

from benchmarks.comm import COMM_BYTES, comm_bytes, comm_printed, comm_text
from benchmarks.replay_fidelity import compare
from benchmarks.trace.check import info_fault
from benchmarks.trace.perf_data import read_format
from benchmarks.trace.program import program

NAMES = st.binary(min_size=1, max_size=COMM_BYTES).filter(lambda name: b"\0" not in name)
FORMAT = "ID: 7\n\tfield:char newcomm[16];\toffset:0;\tsize:16;\tsigned:0;\n"


@given(NAMES)
def test_a_name_of_any_bytes_is_one_name_everywhere(name):
    (take,) = read_format("task_rename", FORMAT, ("newcomm",)).takes
    text = take(name.ljust(16, b"\0"), 0)
    made = trace([(0, "exit", 8000, 0, 0)], names=(text,), command=text)
    assert info_fault(made.info) == "", "what was recorded can be read"
    told = program(made)[40:56].rstrip(b"\0")
    assert comm_text(told) == text, "the replayer calls itself as the original"
    printed = told.decode("latin-1")  # replay_report.h and observe_commands.h print each byte as \\u00XX
    row = {"comm": printed, "cpu_ms": 8.0}
    out = {"commands": [row], "cpus": 2, "makespan_ms": 10.0, "bound_ms": 8.0, "wakeups": 0}
    assert [share.name for share in compare(made, out).shares] == [text]


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40))
def test_the_bytes_of_a_text_mean_that_text(text):
    assert comm_text(comm_bytes(text)) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("çıkış".encode(), "çıkış"),
        ("ç".encode() * 7 + b"\xc3", "ç" * 7 + r"\xc3"),  # as the kernel cuts it
        (b"\xff\xfe", r"\xff\xfe"),
        (rb"\xc3\xa7", r"\xc3\xa7"),
    ],
)
def test_names_are_shown_as_utf_8_and_other_bytes_as_escapes(name, text):
    assert comm_text(name) == comm_printed(name.decode("latin-1")) == text
    assert comm_bytes(text) == (name if text != r"\xc3\xa7" else rb"\xc3\xa7")


def test_a_name_that_no_task_has_is_refused():
    made = trace([(0, "exit", 8000, 0, 0)], command=r"\xff" * 16)
    assert re.search("more than 15 bytes", info_fault(made.info))
    assert comm_printed("ı") == "ı", "no byte: as it stands"
