# SPDX-License-Identifier: Apache-2.0
"""Nights: runs that a schedule starts, compared with one another, and who is told of them."""
