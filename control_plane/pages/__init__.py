# SPDX-License-Identifier: Apache-2.0
"""`schedcp report --html`: what the lake holds, as pages that need nothing else."""
