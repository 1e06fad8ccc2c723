# SPDX-License-Identifier: Apache-2.0
"""What `make bench` and the pages in docs/ measure, side by side in one run."""
