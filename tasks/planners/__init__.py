# SPDX-License-Identifier: Apache-2.0
"""Planners: what proposes the next policies to try."""
