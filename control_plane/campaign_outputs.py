# SPDX-License-Identifier: Apache-2.0
"""What campaign, nights and the moving of lakes print with `--json`."""

from __future__ import annotations

from dataclasses import dataclass, field

from policy_lake.campaign import CampaignDone, CampaignPlan


@dataclass(frozen=True, slots=True)
class CampaignOutput:
    """What the campaign was to take and what came of it; `pictures` are paths by name."""

    plan: CampaignPlan
    done: CampaignDone
    pictures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LakeExportOutput:
    """The file that was written, and how many rows of each kind it has."""

    file: str
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class LakeTakenOutput:
    """What came of the rows of a file or lake, by kind: `new`, `known`, and `kept` where ours under that id is another.

    `host` is who made the source, as it says.
    """

    source: str
    host: str
    new: dict[str, int]
    known: dict[str, int]
    kept: dict[str, int]
