# SPDX-License-Identifier: Apache-2.0
"""Commands that are recorded to show how near a replay comes."""
