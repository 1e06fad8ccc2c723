# SPDX-License-Identifier: Apache-2.0
"""Tokens: who signs them, what they say, how they are issued, checked, revoked and logged."""
