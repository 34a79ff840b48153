"""What a report is made of, before it is HTML or Markdown: sections of texts, figures, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CATALOGUE_LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in a table's cell. ``basis`` is shown as a badge; ``own_language`` marks text as it was recorded."""

    text: str = ""
    basis: str | None = None  # measured, published, modelled or assumed
    own_language: bool = False  # English, whatever the page's language
    is_code: bool = False
    href: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A headline figure."""

    label: str
    value: str
    interval: str = ""
    cell: Cell = Cell()
    remark: str = ""
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: heads, rows of cells, and which columns hold numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A chart, what it shows in words, and its numbers. The chart is made when it is drawn: Markdown draws none."""

    key: str  # of its file
    title: str
    description: str
    chart: Callable[[], Any]  # an Altair chart
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph; ``own_language`` as of a cell."""

    text: str
    own_language: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """The headline figures."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    items: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """One figure's method: in words, as an equation, and what its letters mean."""

    title: str
    words: str
    equation: str
    letters: tuple[tuple[str, str], ...] = ()
    source: Cell = Cell()


Block = Text | Cards | Items | Table | Picture | Formula


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report under one heading; one that is ``narrow`` stands beside another where there is room."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    narrow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole report, in one language."""

    language: str
    title: str
    subtitle: str
    badges: tuple[Cell, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: str = ""
    labels: dict[str, str] = field(default_factory=dict)  # words that the templates need

    def pictures(self) -> tuple[Picture, ...]:
        """All charts, in their order."""
        return tuple(block for section in self.sections for block in section.blocks if isinstance(block, Picture))
