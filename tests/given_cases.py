# SPDX-License-Identifier: Apache-2.0
"""Policies that others handed in as judged wrongly (shared/cases/verify), and which of the corpus are of their kind.

They lie outside of the repository: tests/vm/test_given_cases.py judges those that are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).parents[2] / "shared" / "cases" / "verify"


@dataclass(frozen=True, slots=True)
class Given:
    """What is right of a case: rejected as `bug` at `stage`, or accepted with `bug` as a finding (both may be empty).

    Where digits of the guest decide, `stage` is two with ` or ` between. `kind` are names of the corpus' policies that
    stand for the same.
    """

    name: str
    kind: tuple[str, ...]
    bug: str = ""
    stage: str = ""


def _case(name: str, kind: str, bug: str = "", stage: str = "") -> Given:
    return Given(name, tuple(kind.split()), bug, stage)


CASES = (
    _case("constants_in_weak_rodata", "mirror_narrow mirror_compared mirror_global mirror_own_queue"),
    _case("kconfig_extern", "kconfig_absent kconfig_bool kconfig_number kconfig_version"),
    _case("includes_errno", "includes_errno includes_limits includes_asm_errno"),
    _case("include_not_taken", "include_commented_out include_for_editors include_for_user_space"),
    _case("loop_with_break", "loop_callback loop_for_break loop_return"),
    _case("storage_from_init_task", "storage_by_function storage_of_some storage_then_more storage_two_maps"),
    _case("error_then_negative", "error_in_function error_then_kick error_then_nothing"),
    _case("off_by_constant", "off_by_compiler off_by_knob off_by_mode off_by_table"),
    _case("vtime_only_counted", "vtime_highest vtime_in_a_record vtime_last_seen"),
    _case("loader_constant", "given_slice given_queue given_per_cpu given_on_two_lines", "F20"),
    _case("vtime_into_local_by_rodata", "f05_vtime_by_rodata_fails f05_vtime_by_table_fails", "F05", "object"),
    _case("refill_in_running", "f19_case_refill_short_fails f19_case_refill_stopping_fails f19_case_refill_tick_fails",
          "F19", "survive"),
    _case("queues_for_online_cpus_only",
          "f02_case_queues_of_online_fails f29_case_state_of_online_fails f03_case_only_online_look_fails",
          "F02", "survive"),
    _case("forgotten_after_real_time", "f29_case_storage_gone_fails f01_case_disabled_lost_fails", "F29", "survive"),
    _case("table_for_four_cpus", "f29_case_two_slots_fails f02_case_eight_queues_fails f13_case_first_four_look_fails",
          "F29", "kernel or survive"),  # a task runs on the fifth CPU while it is attached, or soon after
    _case("local_on_migration_disabled",
          "f10_migration_any_fails f10_migration_bound_fails f10_migration_picked_fails", "F10", "object"),
    _case("pinned_first", "f43_bound_to_local_fails f43_bound_beside_order_fails f43_own_queue_first_fails",
          "F43", "survive"),
    _case("smt_sibling_by_number", "f21_case_no_siblings_fails", "F43", "survive"),
    _case("fast_cores_none_found", "f03_full_speed_fails f03_large_machines_fails f03_switched_on_fails",
          "F03", "survive"),
    _case("defensive_test", "defensive_dispatch defensive_task_cpu defensive_weight", "F21", "fair"),
    _case("slice_divides_to_zero",
          "f20_divides_budget_fails f20_divides_function_fails f20_divides_shift_fails", "F20"),
    _case("context_by_pid", "f29_case_known_when_running_fails f29_case_known_when_runnable_fails", "F29"),
    _case("endless_slice_race", "plain_endless_with_timer sx_endless_with_tick", "F19"),
)  # fmt: skip
