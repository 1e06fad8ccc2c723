# SPDX-License-Identifier: Apache-2.0
"""One QEMU and all it needs: command line, clock, snapshot, image, kernel, job and wire."""
