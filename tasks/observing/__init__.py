# SPDX-License-Identifier: Apache-2.0
"""Observing what runs on a host: the scope, the tiers from cheap to dear, the planner between them, the words."""
