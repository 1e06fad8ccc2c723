# SPDX-License-Identifier: Apache-2.0
"""`schedcp` and `python -m schedcp`: the command line."""

from __future__ import annotations

import signal

# Until the command line has a handler of its own, Ctrl-C is the plain end of a process and no traceback of imports.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from control_plane.cli import main

if __name__ == "__main__":
    main()
