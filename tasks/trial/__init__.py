# SPDX-License-Identifier: Apache-2.0
"""One candidate tried: checked, judged, measured, and scored."""
