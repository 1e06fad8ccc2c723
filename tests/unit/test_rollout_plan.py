# SPDX-License-Identifier: Apache-2.0
"""A rollout's plan as a file: read, and everything wrong with one told with its field."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from benchmarks.workloads import workload
from control_plane import cli
from control_plane.fleet_app import fleet_up
from policy_lake.errors import InputError
from policy_lake.rollout import Metric, Step
from tasks.hosts.repeat import PREFIX
from tasks.rollout.plan_file import read_plan

GOOD = """
id = "requests"
window_s = 10.0
settle_s = 1
[[steps]]
name = "shadow"
kind = "shadow"
[[steps]]
name = "part"
kind = "partial"
cgroups = ["work.slice/server.service"]
[[steps]]
name = "all"
kind = "full"
hosts = "all"
pause = true
blocks = 12
[[metrics]]
name = "p99_us"
worst = 1.25
critical = true
[[metrics]]
name = "requests"
better = "higher"
goal = true
"""


def test_a_plan_is_read(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(GOOD)
    plan = read_plan(path)
    assert plan.steps[1] == Step("part", "partial", "one", ("work.slice/server.service",))
    assert plan.steps[2] == Step("all", "full", "all", (), True, 12)
    assert plan.metrics == (Metric("p99_us", "lower", 1.25, True), Metric("requests", "higher", goal=True))
    assert (plan.window_s, plan.settle_s, plan.alpha) == (10.0, 1.0, 0.05)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('id = "requests"', 'id = "re quests"', "id"),
        ("window_s = 10.0", "window_s = 0", "window_s"),
        ("window_s = 10.0", "window_s = nan", "window_s"),
        ("settle_s = 1", "settle_s = 6", "settle_s"),
        ("settle_s = 1", "settle_s = -1", "settle_s"),
        ("settle_s = 1", "alpha = 0.9", "alpha"),
        ("settle_s = 1", "share = 0", "share"),
        ('kind = "shadow"', 'kind = "loud"', "steps.0.kind"),
        ('kind = "shadow"', 'kind = "shadow"\nhosts = "all"', "steps.0.hosts"),
        ('kind = "shadow"', 'kind = "shadow"\nseconds = 3', "steps.0.seconds"),
        ('name = "part"', 'name = "shadow"', "steps.1.name"),
        ('name = "part"', 'name = ""', "steps.1.name"),
        ('cgroups = ["work.slice/server.service"]', "", "steps.1.cgroups"),
        ('cgroups = ["work.slice/server.service"]', 'cgroups = ["../etc"]', "steps.1.cgroups"),
        ('cgroups = ["work.slice/server.service"]', 'cgroups = ["/"]', "steps.1.cgroups"),
        ('cgroups = ["work.slice/server.service"]', 'cgroups = ["a\\u001b[2J"]', "steps.1.cgroups"),
        ('kind = "full"', 'kind = "full"\ncgroups = ["a"]', "steps.2.cgroups"),
        ("blocks = 12", "blocks = 2", "steps.2.blocks"),
        ("blocks = 12", "blocks = 100000", "steps.2.blocks"),
        ("worst = 1.25", "worst = 0.5", "metrics.0.worst"),
        ("worst = 1.25", "least = -1.0", "metrics.0.least"),
        ('name = "requests"', 'name = "p99_us"', "metrics.1.name"),
        ('better = "higher"', 'better = "more"', "metrics.1.better"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(tmp_path, old, new, field):
    path = tmp_path / "plan.toml"
    assert GOOD.count(old) == 1
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as told:
        read_plan(path)
    line = str(told.value)
    assert line.startswith(f"{path}: field '{field}") and "\n" not in line and line.isprintable(), line


@pytest.mark.parametrize("cut", ["steps", "metrics"])
def test_a_plan_without_steps_or_metrics_is_none(tmp_path, cut):
    path = tmp_path / "plan.toml"
    kept = [part for part in GOOD.split("\n[[") if not part.startswith(cut)]
    path.write_text("\n[[".join(kept))
    with pytest.raises(InputError, match=f"field '{cut}'"):
        read_plan(path)


def test_a_later_step_is_on_no_fewer_hosts(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        GOOD.replace('kind = "partial"', 'kind = "partial"\nhosts = "all"').replace(
            'hosts = "all"\npause', 'hosts = "some"\npause'
        )
    )
    with pytest.raises(InputError, match="fewer hosts"):
        read_plan(path)


def test_the_plan_of_the_documentation_is_for_a_fleet_as_it_comes(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "rollout.md").read_text()
    (tmp_path / "plan.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])
    plan = read_plan(tmp_path / "plan.toml")
    runs = inspect.signature(fleet_up).parameters["workload"].default
    assert [metric.name for metric in plan.metrics] == [f"{PREFIX}{workload(runs).metric}"]
    assert f" -w {runs} --tier full " in text


@pytest.mark.parametrize(("command", "statuses"), [("rollout", "01234"), ("stop", "024")])
def test_help_names_exit_statuses_and_how_a_host_elsewhere_is_reached(command, statuses, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["schedcp", command, "--help"])
    cli.main()
    said = capsys.readouterr().out
    assert "SCHEDCP_CERTIFICATES" in said
    told = said.partition("Exit status:")[2].partition("Options")[0].partition("Arguments")[0]
    assert "".join(re.findall(r"\b[0-9]\b", told)) == statuses
