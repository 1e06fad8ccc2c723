# SPDX-License-Identifier: Apache-2.0
"""A profile in five lines."""

from __future__ import annotations

from dataclasses import replace

from flow_cases import PROFILE
from hypothesis import given
from strategies import profiles as any_profiles

from benchmarks.profile_lines import NAMES, SHOWN, profile_lines

LONG = replace(PROFILE.commands[0], comm="long", cpu_ms=1500.0)
SHORT = replace(LONG, comm="short", tasks=39, cpu_ms=1092.0, cpu_ms_max_task=28.0, burst_us_p99=2500.0)


def test_five_lines_with_numbers():
    shell = replace(LONG, comm="sh", cpu_ms=1.0)
    lines = dict(profile_lines(replace(PROFILE, commands=(shell, SHORT, LONG))))
    assert lines == {
        "load": "40 tasks, 2 CPUs, 90 % busy for 2.5 s",
        "CPU time": "long 1 x 1.5 s; short 39 x 28 ms",
        "longest task": "long 1.5 s, 23.1 times the mean",
        "waits": "p50/p99 of long 5 us/50 us; short 5 us/50 us",
        "wake-ups": "12 a second; runs, p50/p99 of long 100 us/900 us; short 100 us/2.5 ms",
    }


def test_more_commands_than_a_line_holds_are_counted():
    many = tuple(replace(LONG, comm=f"c{n}") for n in range(9))
    assert dict(profile_lines(replace(PROFILE, commands=many)))["CPU time"].endswith(f"; {9 - SHOWN} more")


@given(any_profiles)
def test_any_profile_has_its_five_lines(profile):
    assert [name for name, text in profile_lines(profile) if text] == list(NAMES)
