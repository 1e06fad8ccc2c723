# SPDX-License-Identifier: Apache-2.0
"""An object in one situation by itself, and in those that others of its name once failed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from policy_lake.model import Verdict
from policy_lake.records import Regression
from tasks.host.guest import Shape, prepare_guest, shape_on
from tasks.host.settings import Settings
from tasks.trial.static import Checked
from tasks.trial.trusted import trusted_object
from verifier_vm.judge.case import Case, parse_case
from verifier_vm.judge.gate import verify_part
from verifier_vm.judge.stages import merged

MOST_REGRESSIONS = 5  # of one policy, the latest


@dataclass(frozen=True, slots=True)
class Alone:
    """Verifies an object in one situation by itself, in a guest like `shape` but for the situation's topology."""

    checked: Checked
    settings: Settings
    shape: Shape

    def __call__(self, case: Case) -> Verdict:
        assert self.checked.made
        guest = prepare_guest(self.settings, shape_on(self.shape, case.topology))
        return verify_part(
            self.checked.made.data, self.checked.arguments, guest.machine, case.part, cgroups=self.checked.cgroups,
            hotplug=self.checked.hotplug, seed=case.seed, deadline_s=self.settings.trial_deadline_s,
            trusted=partial(trusted_object, guest.kernel),
        ).verdict  # fmt: skip


def meet_again(
    verdict: Verdict,
    checked: Checked,
    settings: Settings,
    shape: Shape,
    known: Iterable[Regression],
    on_case: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """The verdict of one that was accepted so far, after those of the `known` situations that are its policy's."""
    for regression in [one for one in known if one.policy == verdict.ops][-MOST_REGRESSIONS:]:
        on_case(regression.situation)
        again = Alone(checked, settings, shape)(parse_case(regression.situation, f"lake, regression {regression.id}"))
        verdict = merged([verdict, again])
        if not verdict.accepted:
            break
    return verdict
