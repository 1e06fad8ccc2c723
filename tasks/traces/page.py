# SPDX-License-Identifier: Apache-2.0
"""A page of metrics that the owner names by its address, read within limits of time and size."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from policy_lake.errors import InputError
from policy_lake.limits import OWNER_TEXT_BYTES
from policy_lake.show import for_terminal, shortened

TIMEOUT_S, PAGE_S = 2.0, 10.0  # of each step (connecting, a piece that is read), and of all pieces


def read_page(url: str) -> str:
    """The text of `http://HOST:PORT/PATH`, which is not followed elsewhere; InputError that names it and says why."""
    shown = for_terminal(shortened(url, 100))
    try:
        at = urlsplit(url)
        host, port = at.hostname, at.port
    except ValueError:
        host, port = None, None
    if host is None or at.scheme != "http" or at.username is not None or not url.isascii() or not url.isprintable():
        raise InputError(f"{shown}: not http://HOST:PORT/PATH")
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", (at.path or "/") + (f"?{at.query}" if at.query else ""))
        answer = connection.getresponse()
        content, began = b"", time.monotonic()
        while len(content) <= OWNER_TEXT_BYTES and (piece := answer.read1(1 << 16)):
            content += piece
            if time.monotonic() - began > PAGE_S:
                raise InputError(f"{shown}: goes on for more than {PAGE_S:g} s")
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{shown}: {for_terminal(shortened(error, 100)) or type(error).__name__}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise InputError(f"{shown}: answers {answer.status}")
    if len(content) > OWNER_TEXT_BYTES:
        raise InputError(f"{shown}: more than {OWNER_TEXT_BYTES} bytes")
    return content.decode(errors="replace")
