# SPDX-License-Identifier: Apache-2.0
"""The contract of `--json`: which record each command prints, under which version. docs/schemas/ is made from this.

A version is raised when a field goes, or means something else; a new field alone does not raise it.
"""

from __future__ import annotations

from typing import Any

from control_plane import audit_outputs as a
from control_plane import campaign_outputs as c
from control_plane import fleet_outputs as f
from control_plane import machine_outputs as m
from control_plane import night_outputs as n
from control_plane import observe_outputs as ob
from control_plane import outputs as o
from control_plane import results as r
from control_plane import rollout_outputs as ro
from control_plane import token_outputs as t
from control_plane import verifier_outputs as v
from policy_lake.campaign import CampaignPlan
from policy_lake.model import to_json
from policy_lake.tuned import TuneResult

OUTPUTS: dict[str, tuple[type[Any], int]] = {
    "audit verify": (a.AuditVerifyOutput, 1),
    "bench-suite": (r.BenchSuiteOutput, 1),
    "calls": (r.CallsOutput, 1),
    "campaign": (c.CampaignOutput, 1),
    "campaign --plan": (CampaignPlan, 1),
    "clean": (o.CleanOutput, 1),
    "compare": (r.CompareOutput, 1),
    "doctor": (o.DoctorOutput, 1),
    "down": (o.DownOutput, 1),
    "error": (o.ErrorOutput, 1),
    "explain": (r.ExplainOutput, 1),
    "export": (t.ExportOutput, 1),
    "fidelity": (o.FidelityOutput, 1),
    "fleet down": (f.FleetDownOutput, 1),
    "fleet restart": (f.FleetHostOutput, 1),
    "fleet status": (f.FleetOutput, 1),
    "fleet up": (f.FleetOutput, 1),
    "host describe": (v.HostDescribeOutput, 1),
    "lake export": (c.LakeExportOutput, 1),
    "lake import": (c.LakeTakenOutput, 1),
    "lake merge": (c.LakeTakenOutput, 1),
    "lake rebuild": (o.LakeRebuildOutput, 1),
    "lake search": (o.LakeSearchOutput, 1),
    "lake show": (o.LakeShowOutput, 2),
    "lessons": (r.LessonsOutput, 1),
    "machine measure": (m.MachineMeasureOutput, 1),
    "machines": (m.MachinesOutput, 1),
    "machines show": (m.MachineOutput, 1),
    "observe": (ob.ObserveOutput, 1),
    "nights": (n.NightsOutput, 1),
    "nights bisect": (n.NightsBisectOutput, 1),
    "nights notify": (n.NightsNotifyOutput, 1),
    "policies": (o.PoliciesOutput, 1),
    "record": (o.RecordOutput, 1),
    "rejection": (r.Rejected, 1),
    "report": (o.ReportOutput, 1),
    "rollout": (ro.RolloutOutput, 1),
    "runs": (o.RunsOutput, 2),
    "score": (r.ScoreResult, 2),
    "score --again": (r.AgainResult, 2),
    "stop": (ro.StopOutput, 1),
    "token check": (t.TokenCheckOutput, 1),
    "token log": (t.TokenLogOutput, 1),
    "token restore": (t.TokenRestoreOutput, 1),
    "token revoke": (t.TokenRevokeOutput, 1),
    "token show": (t.TokenShowOutput, 1),
    "tune": (TuneResult, 2),
    "up": (o.UpOutput, 1),
    "verifierd evidence": (v.VerifierEvidenceOutput, 1),
    "verifierd status": (v.VerifierStatusOutput, 1),
    "verifierd trust": (v.VerifierTrustOutput, 1),
    "verify": (r.VerifyResult, 1),
    "workloads": (o.WorkloadsOutput, 1),
    "workloads add": (o.WorkloadOutput, 1),
    "workloads show": (o.WorkloadOutput, 1),
}


def file_name(command: str) -> str:
    """The command as a part of a schema's name."""
    return "-".join(word.strip("-") for word in command.split())


def schema_name(command: str) -> str:
    """What stands in field `schema` of the command's output."""
    return f"schedcp/{file_name(command)}/{OUTPUTS[command][1]}"


def as_json(command: str, record: Any) -> dict[str, Any]:
    """The record as the command prints it; TypeError for a record that is not the command's."""
    if type(record) is not OUTPUTS[command][0]:
        raise TypeError(f"{command} prints {OUTPUTS[command][0].__name__}, not {type(record).__name__}")
    return {"schema": schema_name(command), **to_json(record)}


def json_schema(command: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what the command prints."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(OUTPUTS[command][0]).json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{schema_name(command).replace('/', ':')}",
        **schema,
        "title": f"schedcp {command} --json",
        "properties": {"schema": {"const": schema_name(command)}, **schema["properties"]},
        "required": ["schema", *schema.get("required", [])],
    }
