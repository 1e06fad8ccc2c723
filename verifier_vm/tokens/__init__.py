# SPDX-License-Identifier: Apache-2.0
"""Tokens: who signs them, what they say, how they are checked, taken back and written down."""
