# SPDX-License-Identifier: Apache-2.0
"""Workloads by name, the user's beside the project's, and a recording made into one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trace_cases import parent_and_child

from benchmarks.descriptor import Footprint, Guard
from benchmarks.schbench import Binary
from benchmarks.trace.file import write_trace
from benchmarks.trace.footprints import footprints_of
from benchmarks.trace.tasks import with_footprints
from policy_lake.errors import InputError
from tasks.host import trace_workload, workloads
from tasks.host.settings import Settings
from tasks.host.trace_workload import footprints_in, id_in, workload_of_trace
from tasks.host.workloads import add_workload, find_workload, free_place, list_workloads

DESCRIPTORS = Path(__file__).parents[2] / "benchmarks/workloads"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


def descriptor(place: Path, id: str = "mine", **changes: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    text = (DESCRIPTORS / "batch.toml").read_text().replace('id = "batch"', f'id = "{id}"')
    place.write_text(text)
    return place


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    write_trace(parent_and_child(), tmp_path / "my-Build 2.parquet")
    return tmp_path / "my-Build 2.parquet"


def test_a_workload_is_found_by_id_or_by_path_from_where_we_are(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_workload("batch", settings).id == "batch"
    descriptor(settings.workload_dir / "mine.toml")
    assert find_workload("mine", settings).id == "mine"
    descriptor(tmp_path / "here.toml", "here")
    monkeypatch.chdir(tmp_path)
    for name in ("here.toml", "./here.toml"):
        assert find_workload(name, settings).file == str(tmp_path / "here.toml")
    with pytest.raises(InputError, match="no workload 'here'"):
        find_workload("here", settings)
    with pytest.raises(InputError):
        find_workload("batch", settings.model_copy(update={"work": "warp=1"}))
    assert find_workload("batch", settings.model_copy(update={"tier": "smoke"})).tier == "smoke"


def test_a_binary_is_schbench_s_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workloads, "read_binary", lambda path: Binary(str(path), "b" * 64))
    own = settings.model_copy(update={"schbench": tmp_path / "schbench"})
    found = find_workload("schbench", own)
    assert found.binary is not None and found.binary.sha256 == "b" * 64
    assert find_workload("batch", own).binary is None and find_workload("schbench", settings).binary is None


def test_what_cannot_be_read_is_listed_with_what_is_wrong(settings: Settings) -> None:
    descriptor(settings.workload_dir / "mine.toml")
    (settings.workload_dir / "broken.toml").write_text("id = 5")
    readable, unreadable = list_workloads(settings)
    assert {"batch", "mine"} <= {each.id for each in readable}
    assert len(unreadable) == 1 and "broken.toml" in unreadable[0]


def test_an_id_is_one_workload_s(settings: Settings) -> None:
    assert free_place("mine", settings) == settings.workload_dir / "mine.toml"
    with pytest.raises(InputError, match="comes with the project"):
        free_place("batch", settings)
    descriptor(settings.workload_dir / "mine.toml")
    with pytest.raises(InputError, match="there is a workload 'mine' already"):
        free_place("mine", settings)


def test_a_descriptor_is_added_with_the_trace_that_lies_beside_it(
    settings: Settings, trace: Path, tmp_path: Path
) -> None:
    added = add_workload(descriptor(tmp_path / "x" / "mine.toml"), settings)
    assert (added.id, added.file) == ("mine", str(settings.workload_dir / "mine.toml"))
    with pytest.raises(InputError, match="not one of the files that can be added"):
        add_workload(tmp_path / "mine.yaml", settings)
    text = workload_of_trace(trace)
    (tmp_path / "replayed.toml").write_text(text.replace('id = "my-build-2"', 'id = "replayed"'))
    added = add_workload(tmp_path / "replayed.toml", settings)
    assert (
        Path(added.trace) == settings.workload_dir / trace.name and Path(added.trace).read_bytes() == trace.read_bytes()
    )
    (tmp_path / "again.toml").write_text(text.replace('id = "my-build-2"', 'id = "again"'))
    with pytest.raises(InputError, match=r"there is a .* already"):
        add_workload(tmp_path / "again.toml", settings)
    assert not (settings.workload_dir / "again.toml").exists()
    far = tmp_path / "far" / "far.toml"
    far.parent.mkdir()
    (far.parent / "deep").mkdir()
    (far.parent / "deep" / "t.parquet").write_bytes(trace.read_bytes())
    far.write_text(text.replace('id = "my-build-2"', 'id = "far"').replace(trace.name, "deep/t.parquet"))
    with pytest.raises(InputError, match="must lie beside the descriptor"):
        add_workload(far, settings)
    far.write_text(text.replace('id = "my-build-2"', 'id = "far"').replace(trace.name, "gone.parquet"))
    with pytest.raises(InputError):
        add_workload(far, settings)


def test_a_trace_that_is_gone_since_is_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: Any = SimpleNamespace(id="mine", trace=str(tmp_path / "gone.parquet"))
    monkeypatch.setattr(workloads, "outside", lambda path: described)
    with pytest.raises(InputError, match=r"gone\.parquet: cannot be read: No such file"):
        add_workload(descriptor(tmp_path / "mine.toml"), settings)
    assert not settings.workload_dir.exists()


def test_a_recording_is_added_under_its_own_name(settings: Settings, trace: Path) -> None:
    added = add_workload(trace, settings)
    assert (added.id, Path(added.trace).read_bytes()) == ("my-build-2", trace.read_bytes())
    with pytest.raises(InputError, match="there is a workload 'my-build-2' already"):
        add_workload(trace, settings)
    (settings.workload_dir / "my-build-2.toml").unlink()
    with pytest.raises(InputError, match=r"my-Build 2\.parquet already"):
        add_workload(trace, settings)


def described(
    monkeypatch: pytest.MonkeyPatch, cpu_us: list[int], wall_us: int, path: str = "a.parquet"
) -> dict[str, Any]:
    info = SimpleNamespace(wall_us=wall_us, command='m"k\\e', cpus=3, names=())
    made = SimpleNamespace(after_us=np.array(cpu_us), info=info, tasks=7)
    monkeypatch.setattr(trace_workload, "read_trace", lambda path: made)
    return tomllib.loads(workload_of_trace(Path(path), kind="build"))


@pytest.mark.parametrize(
    ("cpu_us", "smoke", "standard", "full", "skip"),
    [
        ([700_000, 999], 700, 700, 700, 0),
        ([701_999], 700, 701, 701, 0),
        ([24_000_000], 700, 12_000, 24_000, 0),
        ([24_001_000], 700, 12_000, 24_001, 300),
        ([999], 1, 1, 1, 0),
    ],
)
def test_a_recording_s_tiers_are_pieces_of_it(
    monkeypatch: pytest.MonkeyPatch, cpu_us: list[int], smoke: int, standard: int, full: int, skip: int
) -> None:
    made = described(monkeypatch, cpu_us, wall_us=48_000_000)
    work = made["work"]
    assert (work["smoke"]["cpu_ms"], work["all"]["cpu_ms"], work["full"]["cpu_ms"]) == (smoke, standard, full)
    assert work["all"]["skip_permille"] == skip and work["full"]["skip_permille"] == 0
    assert made["runs_s"] == {
        "smoke": round(max(0.1, 48 * smoke / full), 1), "standard": round(max(0.1, 48 * standard / full), 1),
        "full": 48.0,
    }  # fmt: skip
    assert (made["timeout_s"], made["cpus"], made["goal"].count('m"k\\e')) == (480.0, 3, 1)


def test_a_short_recording_still_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = described(monkeypatch, [5_000_000], wall_us=40_000)
    assert made["timeout_s"] == 60.0 and made["runs_s"] == {"smoke": 0.1, "standard": 0.1, "full": 0.1}
    assert described(monkeypatch, [5_000_000], wall_us=7_000_000)["timeout_s"] == 70.0
    assert "0.0 s of CPU" in described(monkeypatch, [2_000], 1_000)["title"]
    assert "5.0 s of CPU" in described(monkeypatch, [5_000_000], 1_000)["title"]


def test_the_id_is_the_name_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert described(monkeypatch, [1], 1, "x/My_Build--2 .parquet")["id"] == "my-build-2"
    for length in (64, 65, 200):
        assert described(monkeypatch, [1], 1, f"x/{'a' * length}.parquet")["id"] == "a" * 64
    for bad in ("2nd.parquet", "-.parquet"):
        with pytest.raises(InputError, match="must begin with a letter"):
            described(monkeypatch, [1], 1, bad)
    assert id_in(workload_of_trace(Path("2.parquet"), "chosen", kind="build")) == "chosen"


@pytest.mark.parametrize("name", ["names.parquet", "tr/names.parquet", "./names.parquet"])
def test_a_recording_is_no_workload_until_it_is_added(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tr").mkdir()
    for kept in ("names.parquet", "tr/names.parquet", "tr/names.toml"):
        write_trace(parent_and_child(), Path(kept))
    with pytest.raises(InputError, match=rf"^{name}: a trace, .*: run `schedcp workloads add {name}`, then"):
        find_workload(name, settings)
    with pytest.raises(InputError, match=r"none\.parquet: cannot be read: No such file"):
        find_workload("none.parquet", settings)
    with pytest.raises(InputError, match=r"tr/names\.toml: a trace: name it \*\.parquet"):
        find_workload("tr/names.toml", settings)


def test_footprints_of_a_trace_are_the_user_s_the_recording_s_or_a_guess(settings: Settings, tmp_path: Path) -> None:
    write_trace(with_footprints(parent_and_child(), {"worker": 900}), tmp_path / "known.parquet")
    known = add_workload(tmp_path / "known.parquet", settings)
    told = footprints_of(Path(known.trace), known.footprints_kib, 256)
    assert told == (Footprint("top", 256, "default"), Footprint("worker", 900, "peak_rss"))
    (tmp_path / "mine.parquet").write_bytes((tmp_path / "known.parquet").read_bytes())
    mine = add_workload(tmp_path / "mine.parquet", settings, footprints_kib=footprints_in(["worker=4", "top=7"]))
    assert mine.footprints_kib == {"worker": 4, "top": 7}
    assert {one.source for one in footprints_of(Path(mine.trace), mine.footprints_kib, 256)} == {"user"}
    with pytest.raises(InputError, match="a footprint of 'cc1', and no task is called so: there are top, worker"):
        add_workload(tmp_path / "mine.parquet", settings, footprints_kib={"cc1": 4})
    with pytest.raises(InputError, match="--footprint goes with a trace"):
        add_workload(descriptor(tmp_path / "one.toml", "one"), settings, footprints_kib={"top": 4})


@pytest.mark.parametrize("word", ["", "cc1", "=", "cc1=", "cc1=0", "cc1=131073", "cc1=4x", "cc1=1e3", "cc1=\u0664"])
def test_a_footprint_that_is_none_is_refused_in_one_line(word: str) -> None:
    with pytest.raises(InputError) as caught:
        footprints_in([word])
    assert "\n" not in str(caught.value)


def test_a_name_has_one_footprint_and_may_hold_an_equals_sign() -> None:
    assert footprints_in(["a=b=4"]) == {"a=b": 4} and footprints_in([]) == {}
    with pytest.raises(InputError, match="each name once"):
        footprints_in(["a=4", "a=5"])


def test_the_command_that_adds_a_recording_can_be_typed(settings: Settings, tmp_path: Path) -> None:
    write_trace(parent_and_child(), tmp_path / "my build.parquet")
    with pytest.raises(InputError, match=r"run `schedcp workloads add '.*/my build\.parquet'`"):
        find_workload(str(tmp_path / "my build.parquet"), settings)


def test_metric_and_guards_are_those_of_the_kind(settings: Settings, trace: Path) -> None:
    own = read_descriptor(workload_of_trace(trace))
    assert (own["kind"], own["metric"], own["bound"]) == ("service", "answer_p99_us", None)
    for kind in ("batch", "build"):
        made = read_descriptor(workload_of_trace(trace, kind=kind))  # type: ignore[arg-type]
        assert (made["kind"], made["metric"], made["bound"]) == (kind, "makespan_ms", "bound_ms")
        named = [guard["metric"] for guard in made["guards"]]
        assert named == (["mean_end_ms"] if kind == "batch" else []) and "makespan" in made["goal"]
    service = read_descriptor(workload_of_trace(trace, kind="service"))
    assert [(guard["metric"], guard["limit"]) for guard in service["guards"]] == [("answers_per_s", 1.1)]
    assert "the tail of the answers of top" in service["goal"]
    added = add_workload(trace, settings, kind="batch")
    assert (added.kind, added.metric) == ("batch", "makespan_ms")
    assert added.guards == (Guard("mean_end_ms", "ms", "lower", 1.1),)
    with pytest.raises(InputError, match="--kind goes with a trace"):
        add_workload(descriptor(trace.parent / "one.toml", "one"), settings, kind="batch")
    other = settings.workload_dir / "other.toml"
    other.write_text((DESCRIPTORS / "batch.toml").read_text().replace('id = "batch"', 'id = "other"\nkind = "batch"'))
    with pytest.raises(InputError, match="field 'kind': goes with program 'replay'"):
        find_workload("other", settings)


def read_descriptor(text: str) -> dict[str, Any]:
    return {"guards": [], "bound": None} | tomllib.loads(text)
