# SPDX-License-Identifier: Apache-2.0
"""One candidate tried: verified, measured, and scored."""
