# SPDX-License-Identifier: Apache-2.0
"""The retryable steps the flows are made of, and their Ray fan-out."""
