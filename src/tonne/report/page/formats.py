"""A report in each format: html, md, json, csv and pdf; and its charts as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tonne.errors import DescriptionError
from tonne.report.page.drawing import save
from tonne.report.page.figures import document, table
from tonne.report.page.html import html
from tonne.report.page.making import page_of
from tonne.report.page.markdown import markdown
from tonne.report.page.subject import Subject

FORMATS = ("html", "md", "json", "csv", "pdf")
SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".json": "json", ".csv": "csv", ".pdf": "pdf"}
DATA: dict[str, Callable[[Subject], str]] = {
    "json": lambda subject: json.dumps(document(subject), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    "csv": table,
}


def format_named(name: str | None, output: str | None) -> str:
    """The format that is asked for: by its name, else by the output's suffix, else HTML.

    Raises:
        DescriptionError: There is no such format, or none of that suffix.
    """
    suffix = Path(output or "").suffix.lower()
    if name is None and suffix and suffix not in SUFFIXES:
        raise DescriptionError(
            f"--output {output}: no report is written as {suffix}. Use {', '.join(SUFFIXES)}, or name a --format."
        )
    found = name or SUFFIXES.get(suffix, "html")
    if found not in FORMATS:
        raise DescriptionError(f"--format {found!r} is none. Use one of {', '.join(FORMATS)}.")
    return found


def text_of(subject: Subject, name: str, language: str = "en") -> str:
    """The report as text; of pdf, the page that is printed."""
    if name in DATA:
        return DATA[name](subject)
    page = page_of(subject, language)
    return markdown(page) if name == "md" else html(page)


def save_charts(subject: Subject, folder: Path, language: str = "en") -> list[Path]:
    """Write every chart as SVG and PNG into a folder; the paths, in the order of the report."""
    return [path for picture in page_of(subject, language).pictures() for path in save(picture, folder)]
