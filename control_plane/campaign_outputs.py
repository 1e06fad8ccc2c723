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
