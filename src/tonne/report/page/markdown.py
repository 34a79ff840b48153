"""The report as Markdown: the same sections, charts as their tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tonne.report.exports.markdown import tagless
from tonne.report.page.blocks import Block, Cards, Cell, Figure, Formula, Items, Page, Picture, Table, Text

SPECIAL = re.compile(r"([\\`*_\[\]|#])")


def markdown(page: Page) -> str:
    """The report's text."""
    lines = [f"# {escaped(page.title)}", "", escaped(page.subtitle), ""]
    lines += [" · ".join(escaped(badge.text) for badge in page.badges), ""]
    for section in page.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_lines(block, page), ""]
    return "\n".join([*lines, page.footer]).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return tagless(SPECIAL.sub(r"\\\1", " ".join(text.split())))


def code(text: str) -> str:
    """Text as code, whatever ticks it holds."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    gap = " " if "`" in text else ""
    return f"{ticks}{gap}{text}{gap}{ticks}"


def _lines(block: Block, page: Page) -> Iterator[str]:
    if isinstance(block, Text):
        yield escaped(block.text)
    elif isinstance(block, Cards):
        yield from _cards(block.figures)
    elif isinstance(block, Items):
        yield from (f"- {code(item.text) if item.is_code else escaped(item.text)}" for item in block.items)
    elif isinstance(block, Picture):
        yield f"**{escaped(block.title)}.** {escaped(block.description)}"
        yield ""
        yield from table_lines(block.table)
    elif isinstance(block, Table):
        yield from table_lines(block)
    else:
        yield from _formula(block, page)


def _cards(figures: tuple[Figure, ...]) -> Iterator[str]:
    for figure in figures:
        parts = [f"**{escaped(figure.label)}**: {escaped(figure.value)}"]
        if figure.unknown:
            yield f"- {parts[0]} {escaped(figure.remark)}"
            continue
        yield f"- {parts[0]} ({escaped(figure.interval)}), {figure.cell.text}. {escaped(figure.remark)}".rstrip()


def _formula(formula: Formula, page: Page) -> Iterator[str]:
    yield f"- **{formula.title}**: {formula.words} `{formula.equation}`"
    if formula.letters:
        meanings = ", ".join(f"`{letter}` = {meaning}" for letter, meaning in formula.letters)
        yield f"  {page.labels['method.where']} {meanings}."
    if formula.source.text:
        yield f"  {page.labels['method.source']}{escaped(formula.source.text)}"


def table_lines(table: Table) -> Iterator[str]:
    """A table; numbers to the right."""
    yield f"| {' | '.join(escaped(head) for head in table.heads)} |"
    yield f"|{'|'.join('--:' if i in table.numeric else '---' for i in range(len(table.heads)))}|"
    for row in table.rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(cell: Cell) -> str:
    return f"[{escaped(cell.text)}]({cell.href})" if cell.href else escaped(cell.text)
