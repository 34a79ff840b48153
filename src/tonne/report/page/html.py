"""The report as one HTML file: no script, nothing fetched, light and dark, for screens and for paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from tonne.errors import MissingPackageError
from tonne.report.page.blocks import Block, Formula, Page, Picture
from tonne.report.page.drawing import svg
from tonne.report.page.palette import dark_rules

LETTER = re.compile(r"([A-Za-z]+)_([A-Za-z0-9]+)|([A-Za-z]{2,})|([A-Za-z])")
DARK_RULES = "/* dark rules of the charts */"


def html(page: Page) -> str:
    """The file's text.

    Raises:
        MissingPackageError: Jinja or Altair is not installed.
    """
    environment = _environment()
    english = page.language == "en"
    text: str = environment.get_template("page.html").render(
        page=page,
        english=english,
        own=lambda part: _own(part, english),
        comma=", " if english else "，",
        source_before=page.labels["method.source"],
        style=_markup(_style()),
    )
    return text


@lru_cache
def _environment() -> Any:  # noqa: ANN401 - Jinja's
    """Templates in which every text is escaped, drawings and style apart."""
    try:
        import jinja2  # noqa: PLC0415 - an extra; only reports pay for it
    except ImportError:
        raise MissingPackageError(
            "Reports need Jinja2, which is not installed. Run: pip install 'tonne[report]'"
        ) from None
    loader = jinja2.FunctionLoader(_resource)
    found = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    found.globals.update(
        kind=lambda block: type(block).__name__, drawn=_drawn, equation=equation_markup, grouped=_grouped
    )
    return found


def _resource(name: str) -> str:
    return (files("tonne.report.page") / "templates" / name).read_text(encoding="utf-8")


def _style() -> str:
    return _resource("style.css").replace(DARK_RULES, dark_rules())


def _markup(text: str) -> Any:  # noqa: ANN401 - text that is HTML already
    from markupsafe import Markup  # noqa: PLC0415 - comes with Jinja

    return Markup(text)


def _drawn(picture: Picture) -> Any:  # noqa: ANN401 - as above
    return _markup(svg(picture))


def _own(part: Any, english: bool) -> Any:  # noqa: ANN401 - a cell or a text
    """Marks text that stays English on a page of another language, for screen readers."""
    return _markup(' lang="en"') if part.own_language and not english else ""


def _grouped(blocks: tuple[Block, ...]) -> Iterator[tuple[bool, list[Block]]]:
    """Formulas that follow each other stand in columns."""
    for formulas, group in groupby(blocks, key=lambda block: isinstance(block, Formula)):
        yield formulas, list(group)


def equation_markup(text: str) -> Any:  # noqa: ANN401 - as above
    """An equation with its letters slanted and what follows an underscore lowered."""
    from markupsafe import escape  # noqa: PLC0415 - comes with Jinja

    def lettered(found: re.Match[str]) -> str:
        letter, lowered, name, alone = found.groups()
        if name:  # such as PUE: stays upright
            return str(name)
        return f"<var>{alone}</var>" if alone else f"<var>{letter}</var><sub>{lowered}</sub>"

    return _markup(LETTER.sub(lettered, str(escape(text))))
