# SPDX-License-Identifier: Apache-2.0
"""The contract of `--json`: docs/schemas/ is what the records make, and no command prints anything else."""

from __future__ import annotations

import json

import pytest
from contract_cases import SCHEMAS, contract
from jsonschema import Draft202012Validator, ValidationError

from control_plane.contract import OUTPUTS, as_json, json_schema, schema_name
from control_plane.outputs import ErrorOutput
from control_plane.results import AgainResult, Rejected, ScoreResult, VerifyResult, extended
from control_plane.write_schemas import main, schema_files
from policy_lake.model import Rejection, Stage, Verdict, from_json
from policy_lake.scores import Pair, Ratio, Score
from policy_lake.tuned import TuneResult

SCORE = Score(
    "s1", "batch", "fifo", "eevdf", {"slice_ns": 1, "lifo": True}, "makespan_ms", "ms", "virtual", 2,
    (Pair(1.0, 0.5, 3),), Ratio(2.0, (1.5, 2.5)), None, True, "win",
)  # fmt: skip
REJECTION = Rejection("survive", "it stalls", "the log", "F01")
VERDICT = Verdict(False, REJECTION, (Stage("source", True, 0.1),))
TUNED = {
    "run_id": "batch-1", "workload": "batch", "iterations": [{"iteration": 1, "candidates": [{
        "id": "c", "policy": "fifo", "knob_values": {}, "planner": "knobs", "reason": "r", "ratio": None,
        "outcome": None, "score": None, "rejection": {"stage": "fair", "reason": "r"}, "failure": None,
        "predicted": None, "pathway": "",
    }]}],
    "best": None, "candidates_tried": 1, "rejected": 1, "failed": 0, "seconds": {"vm": 1.0}, "report": None,
    "warnings": [], "pictures": {}, "stopped": "", "paid": [], "model": None,
}  # fmt: skip


def test_the_schemas_in_docs_are_those_of_the_records() -> None:
    """`make schemas` writes them."""
    assert {path.name: path.read_text() for path in SCHEMAS.glob("*.json")} == schema_files()


def test_writing_them_deletes_that_of_a_command_that_is_gone(tmp_path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(schema_files())


@pytest.mark.parametrize("command", OUTPUTS)
def test_each_schema_is_one_and_demands_its_name(command: str) -> None:
    schema = json_schema(command)
    Draft202012Validator.check_schema(schema)
    assert "schema" in schema["required"] and schema["properties"]["schema"] == {"const": schema_name(command)}
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate({})


@pytest.mark.parametrize(
    ("command", "record"),
    [
        ("score", extended(SCORE, ScoreResult, warnings=("no KVM",), pictures={"waits": "/x.png"})),
        ("score --again", AgainResult(True, 0.0, (), SCORE, SCORE)),
        ("rejection", Rejected(REJECTION)),
        ("verify", extended(VERDICT, VerifyResult, token=None, clock="virtual", tier="short", rejections=(REJECTION,))),
        ("tune", from_json(TuneResult, TUNED)),
        ("error", ErrorOutput("no such file", 2)),
    ],
)
def test_records_are_printed_as_their_schema_says(command: str, record: object) -> None:
    printed = contract(json.dumps(as_json(command, record)))
    assert next(iter(printed)) == "schema"
    if command == "tune":
        assert {name: value for name, value in printed.items() if name != "schema"} == TUNED, "no field is lost"


def test_a_record_that_is_not_the_commands_is_refused() -> None:
    with pytest.raises(TypeError, match="verify prints VerifyResult, not ErrorOutput"):
        as_json("verify", ErrorOutput("", 2))
