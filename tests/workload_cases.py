# SPDX-License-Identifier: Apache-2.0
"""A descriptor of a workload, to be changed."""

MINE = """
id = "mine"
title = "Mine"
goal = "Be quick."
program = "batch"
args = ["--jobs", "{jobs}", "--seed", "{seed}"]
metric = "makespan_ms"
unit = "ms"
direction = "lower"
timeout_s = 5
cpus = 4
[work.all]
jobs = 8
"""


def write(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)
