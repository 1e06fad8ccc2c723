# SPDX-License-Identifier: Apache-2.0
"""A campaign's file: what may stand there, what is told in one line before anything is made, and how large it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_lake.campaign import Place
from policy_lake.errors import InputError
from tasks.campaign.matrix import CampaignBudget, define_campaign, read_matrix

GOOD = 'workloads = ["batch"]\npolicies = ["fifo", "ljf"]\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "spring.toml"
    path.write_text(text)
    return path


def test_a_small_file_has_defaults_and_its_own_name(tmp_path: Path) -> None:
    made = read_matrix(written(tmp_path, GOOD))
    assert (made.name, made.machines, made.cpus, made.seeds, made.budget) == (
        "spring", ("flat",), (2,), (1,), CampaignBudget(),
    )  # fmt: skip
    assert made.places == 1 and made.most_runs == 2 * made.pairs + 2 * made.pairs


def test_places_come_by_workload_and_guest(tmp_path: Path) -> None:
    text = GOOD + 'machines = ["flat", "laptop"]\ncpus = [2, 4]\nseeds = [7, 8]\npairs = 4\n'
    made = read_matrix(written(tmp_path, text + 'planners = ["random"]\nmax_runs = 10\n'))
    places = list(made.in_order())
    assert len(places) == made.places == 8 and made.most_runs == 8 * (8 + 8 + 10)
    assert places[:3] == [Place("batch", "flat", 2, 7), Place("batch", "flat", 2, 8), Place("batch", "flat", 4, 7)]
    assert str(places[0]) == "batch, flat, 2 CPUs, seed 7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "field 'workloads': is missing"),
        ('workloads = []\npolicies = ["fifo"]', "an empty matrix: field 'workloads' has no entry"),
        ('workloads = ["batch"]', "an empty matrix: name policies or planners"),
        (GOOD + "machines = []", "field 'machines' has no entry"),
        (GOOD + "seeds = [1, 1]", "field 'seeds' names one twice"),
        (GOOD + "cpus = [65]", "cpus: 65 is not from 1 to 64"),
        (GOOD + "seeds = [-1]", "seed: -1 is not from"),
        (GOOD + "pairs = 3", "pairs: 3 is not from 4"),
        (GOOD + "extra = 1", "field 'extra': there is no such field"),
        (GOOD + 'name = "../x"', "field 'name': letters, digits"),
        (GOOD + "[budget]\nruns = -1", "budget.runs: -1 is not from 0"),
        (GOOD + "[budget]\nseconds = 10000001", "budget.seconds: 10000001 is not from 0"),
        (GOOD + 'planners = ["random"]\nmax_runs = 0', "field 'max_runs': 0 is no budget"),
        (GOOD + f"seeds = {list(range(10_001))}", "field 'seeds' has 10001 entries, more than 10000"),
        (
            GOOD + f"seeds = {list(range(10_000))}\ncpus = {list(range(1, 65))}\npairs = 70",
            r"the matrix has 179,200,000 runs; a campaign has at most 1,000,000",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as told:
        read_matrix(written(tmp_path, text))
    assert "spring.toml" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('workloads = ["nobody"]\npolicies = ["fifo"]', "no workload 'nobody'"),
        ('workloads = ["batch"]\npolicies = ["nobody"]', "unknown policy 'nobody'"),
        ('workloads = ["batch"]\nplanners = ["nobody"]', "no planner 'nobody'; there are embedded"),
        (GOOD + 'machines = ["nobody"]', "no machine 'nobody'"),
    ],
)
def test_a_name_that_nobody_knows_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as told:
        define_campaign(written(tmp_path, text))
    assert "spring.toml" in str(told.value)


def test_every_place_is_measured_in_virtual_time_and_nothing_of_the_user_s_own_changes_a_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"CLOCK": "wall", "LLCS": "2", "COLD": "1", "WORK": "jobs=3", "CPUS": "16"}.items():
        monkeypatch.setenv(f"SCHEDCP_{name}", value)
    spec = define_campaign(written(tmp_path, GOOD + 'size = "full"\n'))
    own = spec.settings_of(Place("batch", "laptop", 4, 1))
    assert (own.clock, own.tier, own.llcs, own.cold, own.work, own.cpus, own.machine) == (
        "virtual", "full", 1, False, "", 4, "laptop",
    )  # fmt: skip
