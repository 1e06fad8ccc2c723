# SPDX-License-Identifier: Apache-2.0
"""`schedcp` and `python -m schedcp`: the command line."""

from __future__ import annotations

from control_plane.cli import main

if __name__ == "__main__":
    main()
