# SPDX-License-Identifier: Apache-2.0
"""Every kind of mutation, by importing those who register them."""

from policy_fuzz import faults_cpus, faults_inserts, faults_time, faults_turns
from policy_fuzz.mutation import MUTATIONS

FAMILIES = (faults_inserts, faults_turns, faults_cpus, faults_time)

__all__ = ["FAMILIES", "MUTATIONS"]
