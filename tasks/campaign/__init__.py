# SPDX-License-Identifier: Apache-2.0
"""A campaign: every contender of a matrix in every place, as a set of runs that any host may compute."""
