# SPDX-License-Identifier: Apache-2.0
"""The site of docs/: no link of it leads nowhere, and what its pages say of the program is so."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import schedcp
from site_build import broken_links, rendered
from skipping import skip_or_fail

from control_plane.contract import OUTPUTS, file_name

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_site_is_built_and_every_link_of_it_leads_somewhere(tmp_path):
    if importlib.util.find_spec("pdoc") is None:
        skip_or_fail("pdoc is not installed: run `make setup`")
    command = [sys.executable, ROOT / "control_plane/face/site_build.py", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "site/api/schedcp.html").read_text()
    assert all(f'id="{name}"' in page for name in schedcp.__all__) and "<strong>cache_dir</strong>" in page


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text(rendered("# A\n\n[b](b.md) [c](c.md) [out](https://x.invalid/) [d](#nowhere)"))
    (tmp_path / "b.html").write_text("<p id='here'>")
    (tmp_path / "index.html").write_text("<a href='b.html#here'></a><a href='b.html#gone'></a>")
    assert list(broken_links(tmp_path)) == ["a.html: c.html", "a.html: #nowhere", "index.html: b.html#gone"]


def test_raw_html_of_a_page_is_shown_and_not_obeyed():
    assert "&lt;script&gt;" in rendered("<script>alert(1)</script>")


@pytest.mark.parametrize(
    "page", sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("*/README.md")]), ids=lambda path: str(path.name)
)
def test_links_of_the_pages_in_the_repository_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in link and not link.startswith("api/"):  # those are made by `make docs`
            assert (page.parent / link).is_file(), link


def test_the_contract_s_page_names_every_schema():
    linked = re.findall(r"\(schemas/([\w-]+)\.json\)", (DOCS / "json.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(map(file_name, OUTPUTS))


def test_the_example_of_the_library_uses_names_that_are_there():
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(encoding="utf-8"), re.DOTALL)
    (imported,) = (
        node for node in ast.parse(code).body if isinstance(node, ast.ImportFrom) and node.module == "schedcp"
    )
    assert {alias.name for alias in imported.names} <= set(schedcp.__all__)
