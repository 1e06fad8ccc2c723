# SPDX-License-Identifier: Apache-2.0
"""The list of what `make mutants` damages, and the faults that it makes."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from mutants import CONFIG, DECIDES, ROOT, main, only_a_figure, reason, sample, survivors
from mutants_page import page, told
from skipping import skip_or_fail

LIST = tomllib.loads(CONFIG.read_text())


@pytest.mark.parametrize("module", LIST["modules"])
def test_a_module_and_the_tests_named_for_it_are_there(module):
    tests = LIST["modules"][module]
    assert (ROOT / module).is_file() and tests and len(set(tests)) == len(tests)
    assert [name for name in tests if not list((ROOT / "tests").glob(f"*/{name}"))] == []


DECIDING = ("tasks", "verifier_vm/judge", "verifier_vm/tokens")  # the folders of which no module is forgotten


def test_every_module_that_decides_is_damaged_or_left_out_for_a_reason():
    there = {str(path.relative_to(ROOT)) for folder in DECIDING for path in (ROOT / folder).rglob("*.py")}
    there = {name for name in there if not name.endswith("/__init__.py")} | {"verifier_vm/verdict.py"}
    left_out = LIST["left_out"]
    assert there - set(LIST["modules"]) - set(left_out) == set(), "name its tests in mutants.toml, or say why not"
    assert set(left_out) <= there and not set(left_out) & set(LIST["modules"])
    assert all(len(why.split()) > 3 for why in left_out.values())


@pytest.mark.parametrize("folder", DECIDING)
def test_a_package_itself_decides_nothing(folder):
    for path in (ROOT / folder).rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body), path


@pytest.mark.parametrize("module", LIST["left_out"])
def test_in_a_module_that_is_left_out_there_is_no_fault_to_make(module):
    assert _mutants()((ROOT / module).read_text()) == []


@pytest.mark.parametrize("entry", LIST["equivalent"], ids=lambda entry: f"{entry['module']}: {entry['after']}"[:80])
def test_what_survives_for_a_reason_is_still_in_the_code(entry):
    lines = " ".join(line.strip() for line in (ROOT / entry["module"]).read_text().splitlines())
    assert entry["module"] in LIST["modules"] and entry["why"].strip() and entry["before"] != entry["after"]
    assert entry["before"] in lines


@pytest.mark.parametrize("entry", LIST["figures"], ids=lambda entry: f"{entry['module']}: {entry['before']}"[:80])
def test_figures_that_decide_nothing_are_still_in_the_code_and_ask_nothing(entry):
    lines = [line.strip() for line in (ROOT / entry["module"]).read_text().splitlines()]
    meant = [line for line in lines if line.startswith(entry["before"])]
    assert entry["module"] in LIST["modules"] and entry["why"].strip() and meant
    assert [line for line in meant if DECIDES.search(line.partition("#")[0])] == []


@pytest.mark.parametrize(
    ("before", "after", "figure"),
    [
        ('Run("W1", 2.0, base_s=0.5),', 'Run("W1", 2.2, base_s=0.5),', True),
        ("KEPT = 1 << 20", "KEPT = 1 << 21", True),
        ("at = 0", "at = (-1)", True), ("S = 1e-3  # in [0, 1]", "S = 0.0011  # in [0, 1]", True),
        ("KEPT = 1 << 20", "KEPT = 1 >> 20", False), ("at = 3 - 1", "at = 3 + 1", False), ("at = -1", "at = +1", False),
        ('Run("W1", 2.0)', 'Run("W2", 2.0)', False), ("a = 1, 2", "a = 2, 3", False), ("w1 = 0", "w2 = 0", False),
        ("a = b > 1", "a = b > 2", False), ("a = b <= 1", "a = b <= 2", False),
        ("a = 1 if b else 2", "a = 2 if b else 2", False),
        ("a = b == 1", "a = b == 2", False), ("a = b[0]", "a = b[1]", False), ("deep = False", "deep = True", False),
    ],
)  # fmt: skip
def test_a_figure_is_a_number_in_a_line_that_asks_nothing(before, after, figure):
    assert only_a_figure(before, after) is figure
    config = {"figures": [{"module": "m.py", "before": before[:4], "why": "so long"}]}
    assert reason(config, "m.py", before, after) == ("so long" if figure else "")
    assert reason(config, "n.py", before, after) == reason({}, "m.py", before, after) == ""
    config = {"equivalent": [{"module": "m.py", "before": before, "after": after, "why": "alike"}]}
    assert reason(config, "m.py", before, after) == "alike" and reason(config, "m.py", before, before) == ""


@pytest.mark.parametrize("words", [["verifier_vm/nowhere.py"], ["--most", "-1"], ["--again", "/nowhere/results"]])
def test_bad_input_ends_with_status_2_before_anything_runs(words, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--results", str(tmp_path / "results")])
    assert ended.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()[-1]) < 300
    assert not (tmp_path / "results").exists()


def test_a_sample_is_spread_over_the_lines():
    assert sample(list(range(10)), 3) == [0, 3, 6] and sample([1, 2], 5) == [1, 2] == sample([1, 2], 0)


def record(ended, line=3, after="if not (a):"):
    return {"module": "m.py", "line": line, "operator": "Inverted", "before": "if a:", "after": after, "ended": ended,
            "of": 9}  # fmt: skip


def test_only_survivors_are_met_again(tmp_path):
    results = tmp_path / "results"
    results.write_text('{"module": "m", "before": "a", "after": "b", "ended": "survived"}\n'
                       '{"module": "m", "before": "a", "after": "c", "ended": "killed"}\n')  # fmt: skip
    assert survivors(results) == {("m", "a", "b")} and survivors(None) is None


CONFIG_OF_M = {
    "equivalent": [{"module": "m.py", "before": "if a:", "after": "if a is 1:", "why": "a is never 1"}],
    "figures": [{"module": "m.py", "before": "Run(", "why": "seconds"}],
}


def test_the_page_counts_each_module_and_lists_what_survived():
    records = [
        record("survived"), record("killed"), record("timeout", 5), record("survived", 6),
        record("equivalent", 4, "if a is 1:"),
    ]  # fmt: skip
    text = page(records, CONFIG_OF_M)
    assert "not run yet" not in text
    assert "not run yet: `other.py`." in page(records, {}, named=["m.py", "other.py"])
    assert "| `m.py` | 4 | 9 | 3 | 2 | 1 | 1 |" in text and "a is never 1" in text and "`if not (a):`" in text
    assert "- `m.py` `Run(`, whatever number stands there: seconds" in text


def test_of_modules_that_were_not_run_again_the_page_keeps_what_it_says():
    before = page([record("survived"), {**record("survived"), "module": "n.py"}], {}, named=["n.py", "m.py"])
    assert list(told(before)) == ["n.py", "m.py"] and [len(lines) for lines in told(before).values()] == [2, 2]
    after = page([record("killed")], {}, named=["n.py", "m.py"], before=before)
    assert "| `m.py` | 1 | 9 | 0 | 1 | 0 | 0 |" in after and "`m.py:3`" not in after
    assert "| `n.py` | 1 | 9 | 1 | 0 | 0 | 1 |" in after and "- `n.py:3` `if a:` as `if not (a):`" in after
    assert after.index("`n.py` |") < after.index("`m.py` |") and "not run yet" not in after
    gone = page([record("killed")], {}, named=["m.py"], before=before)
    assert "n.py" not in gone and "None." in gone, "a module that is no longer named is not told of"


SOURCE = '''\
LIMIT = 8
def over(count: int | None, *, deep: bool = False) -> bool:
    """1 < 2."""
    if count is None:
        return deep
    elif count > LIMIT and count not in (9,):
        raise ValueError(f"{count + 1:.1f}")
    return any(part for part in [count] if part)
'''


def _mutants():
    try:
        from mutation import mutants
    except ModuleNotFoundError:
        skip_or_fail("cosmic-ray is not installed: run `make setup`")
    return mutants


def test_the_faults_are_in_what_decides_and_not_in_words_or_types():
    mutants = _mutants()
    made = {(mutant.line, mutant.after) for mutant in mutants(SOURCE)}
    assert made == {
        (1, "LIMIT = 9"), (1, "LIMIT = 7"), (2, "def over(count: int | None, *, deep: bool = True) -> bool:"),
        (4, "if not (count is None):"), (4, "if count is not None:"), (5, "return not (deep)"),
        (6, "elif not (count > LIMIT and count not in (9,)):"), (6, "elif count >= LIMIT and count not in (9,):"),
        (6, "elif count <= LIMIT and count not in (9,):"), (6, "elif count > LIMIT or count not in (9,):"),
        (6, "elif count > LIMIT and count in (9,):"), (6, "elif count > LIMIT and count not in (10,):"),
        (6, "elif count > LIMIT and count not in (8,):"),
        (8, "return not (any(part for part in [count] if part))"),
        (8, "return any(part for part in [count] if not (part))"),
    }  # fmt: skip
    assert all(mutant.code.count("\n") == SOURCE.count("\n") for mutant in mutants(SOURCE))


@pytest.mark.parametrize("module", ["tasks/fleet/crashed.py", "tasks/fleet/refuse.py", "tasks/trial/traced.py"])
def test_of_the_faults_that_there_are_figures_explain_steps_alone(module):
    config = {"figures": LIST["figures"]}
    made = _mutants()((ROOT / module).read_text())
    explained = {mutant.operator for mutant in made if reason(config, module, mutant.before, mutant.after)}
    assert explained == {"Step"} and any(mutant.operator != "Step" for mutant in made)


def test_a_handler_of_any_form_catches_something_else():
    mutants = _mutants()
    source = "try:\n    a()\nexcept {}:\n    b()\n"
    other = "CosmicRayTestingException"
    for caught, expected in (
        ("E", {f"except {other}:"}), ("(E)", {f"except ({other}):"}), ("m.E as e", {f"except {other} as e:"}),
        ("(E, m.n.F)", {f"except ({other}, m.n.F):", f"except (E, {other}):"}),
    ):  # fmt: skip
        assert {mutant.after for mutant in mutants(source.format(caught))} == expected


def test_the_list_names_no_test_of_another_folder():
    assert {Path(name).name for tests in LIST["modules"].values() for name in tests} == {
        name for tests in LIST["modules"].values() for name in tests
    }


CALLS = [
    ("x = f.g(a, b=c, **d)[0]", ["x = f.g(a, **d)[0]"]),
    ("y = [require(s, bugs) for s in q]", ["y = [(s) for s in q]"]),
    ("z = Z(a, b=2, c=3,)", ["z = Z(a, b=2,)", "z = Z(a, c=3,)"]),
    ("z = f(a=1)", ["z = f()"]),
    ("u = len(a), e.f(a), g(), a[0], f(*a), f(i for i in a)", []),
]


@pytest.mark.parametrize(("line", "faults"), CALLS)
def test_what_calls_hand_on_is_damaged_only_where_that_is_asked_for(line, faults):
    made = _mutants()
    from mutation import HandedOn

    assert sorted(mutant.after for mutant in made(line + "\n", [HandedOn()])) == faults
    assert not {mutant.after for mutant in made(line + "\n")} & set(faults)
