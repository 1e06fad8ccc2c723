# SPDX-License-Identifier: Apache-2.0
"""Policies made by a generator: sound ones, and the same with one fault each whose label is known."""
