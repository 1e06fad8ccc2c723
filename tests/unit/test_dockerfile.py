# SPDX-License-Identifier: Apache-2.0
"""The image is built nightly only; what its first steps need is looked at here."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def sourced(script: Path) -> set[str]:
    """The scripts beside it that a shell script reads in."""
    return set(re.findall(r'^\s*\. "\$\(dirname [^)]*\)/([\w.-]+)"', script.read_text(encoding="utf-8"), re.MULTILINE))


def test_a_script_is_copied_with_what_it_reads_in() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY control_plane/") for word in line.split()[1:-1]]
    scripts = [ROOT / word for word in copied if word.endswith(".sh")]
    needed = {script.name for script in scripts} | {name for script in scripts for name in sourced(script)}
    assert needed == {Path(word).name for word in copied}
    assert sourced(ROOT / "control_plane/packages.sh") == {"say.sh"}, "or nothing is looked at"
