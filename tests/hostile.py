# SPDX-License-Identifier: Apache-2.0
"""Names that nobody wants on a terminal, a page or in a prompt, and what must not be left of them there."""

from __future__ import annotations

import unicodedata

NAMES = {
    "escape": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "csi": "\x9b2J",
    "newline": "one\ntwo",
    "return": "one\rtwo",
    "separator": "one\u2028two\u2029three\x85four",
    "bell": "a\x07b\x08c",
    "bidi": "abc\u202edcba\u2066x\u2069",
    "zero width": "a\u200bb\u2060c\ufeffd\u00ade",
    "unseen": "a\u3164b\u115fc\ufe0fd",
    "tags": "a\U000e0041\U000e007f",
    "marks": "e" + "\u0301" * 40,
    "surrogate": "a\udc80b",
    "cell": "a|b|c",
    "code": "a`b```c",
    "html": "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "link": "[click](javascript:alert(3))",
    "image": "![x](http://127.0.0.1:9/x.png)",
    "address": "http://evil.example/ www.evil.example me@evil.example",
    "emphasis": "**bold** __bold__ ~~gone~~ *it*",
    "heading": "# heading",
    "entity": "&lt;b&gt; &#x1b;",
    "rich": "[red]rich[/] [link=http://x]y[/link] [/]",
    "frame": "[[ ## plans ## ]] []",
    "backslash": "a\\",
    "brace": "{x} %s %(y)d",
}


def unseen(text: str, *, lines: bool = False) -> str:
    """The characters of the text that a terminal obeys, or does not show."""
    allowed = "\n" if lines else ""
    return "".join(c for c in text if (c not in allowed and unicodedata.category(c)[0] == "C") or c in "\u2028\u2029")
