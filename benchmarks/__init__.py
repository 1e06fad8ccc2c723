# SPDX-License-Identifier: Apache-2.0
"""Workloads, the programs they run in the guest, profiles and statistics."""
