# SPDX-License-Identifier: Apache-2.0
"""A tune as a whole: its scope, its batches, what it came to, its report."""
