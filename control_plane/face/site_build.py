# SPDX-License-Identifier: Apache-2.0
"""`make docs`: a site of the pages in docs/ and of the library's API, each link of it checked."""

from __future__ import annotations

import html
import inspect
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STYLE = (
    "body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #ccc;padding:.2rem .5rem}"
    "pre{background:#f5f5f5;padding:.7rem;overflow-x:auto}code{background:#f5f5f5}"
)


def build(site: Path) -> list[str]:
    """Write the site into the folder `site`, which is made anew; what is wrong with its links, one line each."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "docs/schemas", site / "schemas")
    for page in sorted((ROOT / "docs").glob("*.md")):
        (site / f"{page.stem}.html").write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
    write_api(site / "api")
    return list(broken_links(site))


def rendered(markdown: str) -> str:
    """A page as HTML; links to other pages are to theirs. Raw HTML is shown as text, comments aside."""
    markdown = re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL)
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = re.sub(r'href="([\w-]+)\.md(#[^"]*)?"', r'href="\1.html\2"', body)
    title = html.escape(next((line[2:] for line in markdown.splitlines() if line.startswith("# ")), "SchedCP"))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    home = '<nav><a href="index.html">SchedCP</a></nav>'
    return f"<!doctype html>\n<html lang=en>{head}<style>{STYLE}</style>\n{home}\n{body}</html>\n"


def write_api(folder: Path) -> None:
    """The face's API, from its docstrings and annotations."""
    import pdoc
    import pdoc.render

    sys.path[:0] = [str(ROOT), str(HERE)]
    import schedcp

    for name in schedcp.__all__:  # pdoc documents what is there, and these come when they are first used
        getattr(schedcp, name)
    schedcp.Settings.__doc__ = (
        f"{inspect.cleandoc(schedcp.Settings.__doc__ or '')}\n\n{settings_table(schedcp.Settings)}"
    )
    pdoc.render.configure(docformat="markdown", show_source=False)
    without = (f"!schedcp.{path.stem}" for path in (HERE / "schedcp").glob("*.py") if path.stem != "__init__")
    with warnings.catch_warnings():
        # An inherited __init__ is annotated with names of the base's module: shown as they are written.
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        pdoc.pdoc("schedcp", *without, output_directory=folder)


def settings_table(settings: Any) -> str:
    """The fields of the settings, which pdoc does not find: pydantic keeps them apart from the class's attributes."""
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    for name, field in settings.model_fields.items():
        kind = getattr(field.annotation, "__name__", "")
        kind = str(field.annotation).replace("typing.", "") if not kind or "[" in str(field.annotation) else kind
        cells = (
            kind.replace("|", "or"),
            "depends" if field.default_factory else field.default,
            field.description or "",
        )
        lines.append(f"| **{name}** | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.hrefs.append(value)
            elif name == "id" and value:
                self.ids.add(value)


def broken_links(site: Path) -> Iterator[str]:
    """Links within the site to a file or a place that is not there, as `PAGE: LINK`."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path.resolve()] = links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
    for page, links in pages.items():
        for href in links.hrefs:
            parts = urlsplit(href)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids
            ):
                yield f"{page.relative_to(site.resolve())}: {href}"


if __name__ == "__main__":
    wrong = build(Path(sys.argv[1]))
    sys.stderr.writelines(f"broken link: {line}\n" for line in wrong)
    sys.exit(1 if wrong else 0)
