# SPDX-License-Identifier: Apache-2.0
"""A winner's way onto hosts: in steps, compared with the host's own scheduler, taken back when in doubt."""
