# SPDX-License-Identifier: Apache-2.0
"""This host: settings, the guest it can boot, where files lie."""
