"""The uncertainty budget: which input brings how much of each figure's interval, and what to find out next."""

from __future__ import annotations

from collections.abc import Iterator

from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.language import Words, percent
from tonne.report.page.pictures import Bar, bars_chart
from tonne.report.page.quantities import CARBON, ENERGY, HEADLINE
from tonne.report.page.subject import Subject

SHOWN = 6
LABELS = 176
LEAST = 0.005  # a smaller share is none


def spread(subject: Subject, words: Words) -> Section:
    """Shares of the variance as bars, for CO2e where it is known, else energy; all figures in the table."""
    return Section(key="spread", title=words.of("section.spread"), blocks=tuple(_blocks(subject, words)), narrow=True)


def input_name(name: str, words: Words) -> str:
    """An input in words."""
    return words.either(f"input.{name}", name.replace("_", " "))


def _blocks(subject: Subject, words: Words) -> Iterator[Block]:
    shares = {} if subject.account is None else {k: v for k, v in subject.account.uncertainty.items() if v}
    path = next((p for p in (CARBON.path, ENERGY.path, *(q.path for q in HEADLINE)) if shares.get(p)), None)
    if path is None:
        yield Text(text=words.of("spread.project" if subject.is_project else "spread.none"))
        return
    ordered = sorted(shares[path].items(), key=lambda item: -item[1])
    quantity = words.of(f"quantity.{path}")
    first, share = ordered[0]
    yield Text(text=words.of("spread.next", quantity=quantity, input=input_name(first, words), share=percent(share)))
    bars = [
        Bar(name=input_name(name, words), value=100 * share, text=percent(share))
        for name, share in ordered[:SHOWN]
        if share >= LEAST
    ]
    yield Picture(
        key="uncertainty-budget",
        title=words.of("spread.title", quantity=quantity),
        description=words.of("spread.description", items=words.listed([f"{bar.name} {bar.text}" for bar in bars])),
        chart=lambda: bars_chart(bars, words.of("chart.variance"), labels=LABELS),
        table=_table(shares, words),
    )


def _table(shares: dict[str, dict[str, float]], words: Words) -> Table:
    paths = [quantity.path for quantity in HEADLINE if quantity.path in shares]
    weight = {name: sum(shares[path].get(name, 0.0) for path in paths) for path in paths for name in shares[path]}
    names = [name for name in sorted(weight, key=lambda name: -weight[name]) if weight[name] >= LEAST]
    rows = tuple(
        (Cell(text=input_name(name, words)), *(_share(shares[path].get(name, 0.0)) for path in paths)) for name in names
    )
    heads = (words.of("table.input"), *(words.of(f"short.{path}") for path in paths))
    caption = words.of("spread.caption")
    return Table(caption=caption, heads=heads, rows=rows, numeric=frozenset(range(1, len(heads))))


def _share(share: float) -> Cell:
    return Cell(text="0 %" if not share else "< 0.5 %" if share < LEAST else percent(share))
