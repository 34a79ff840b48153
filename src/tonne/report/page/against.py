"""Forecast against measured: each figure of both, their ratio, and whether the forecast's interval held it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tonne.estimate import Estimate
from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.differences import differences
from tonne.report.page.language import Words, change, shown
from tonne.report.page.pictures import Band, against_chart
from tonne.report.page.quantities import HEADLINE, Quantity, estimate_at
from tonne.report.page.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One figure, forecast and measured."""

    quantity: Quantity
    forecast: Estimate
    measured: Estimate

    @property
    def ratio(self) -> float:
        """Measured over forecast."""
        return float(self.measured.value / self.forecast.value)

    @property
    def place(self) -> str:
        """Where the measured value lies: inside, above or below the forecast's interval."""
        if self.measured.value > self.forecast.high:
            return "above"
        return "below" if self.measured.value < self.forecast.low else "inside"


def pairs(subject: Subject) -> list[Pair]:
    """The headline figures that both sides know."""
    found = []
    for quantity in HEADLINE:
        forecast = estimate_at(subject.run.forecast, quantity.path)
        measured = estimate_at(subject.account, quantity.path)
        if forecast is not None and measured is not None and forecast.value > 0 and measured.value > 0:
            found.append(Pair(quantity=quantity, forecast=forecast, measured=measured))
    return found


def against(subject: Subject, words: Words) -> Section:
    """Dots on bands and their table; or why there is nothing to compare."""
    blocks = tuple(_blocks(subject, words))
    return Section(key="against", title=words.of("section.against"), blocks=blocks, narrow=True)


def _blocks(subject: Subject, words: Words) -> Iterator[Block]:
    if subject.is_forecast:
        yield Text(text=words.of("against.not_run"))
        return
    found = pairs(subject)
    if not found:
        key = "against.no_forecast" if subject.run.forecast is None else "against.no_pair"
        yield Text(text=words.of(key))
        return
    inside = sum(pair.place == "inside" for pair in found)
    verdict = words.of("against.verdict", inside=inside, all=len(found))
    yield Text(text=verdict)
    yield Picture(
        key="forecast-against-measured",
        title=words.of("against.title"),
        description=f"{words.of('against.description')} {verdict} {'; '.join(_said(pair, words) for pair in found)}.",
        chart=lambda: against_chart([_band(pair, words) for pair in found], words),
        table=_table(found, words),
    )
    yield from differences(subject.run, words)


def _band(pair: Pair, words: Words) -> Band:
    whole = pair.forecast.value
    return Band(
        name=words.of(f"short.{pair.quantity.path}"),
        low=pair.forecast.low / whole,
        high=pair.forecast.high / whole,
        measured=pair.ratio,
        measured_low=pair.measured.low / whole,
        measured_high=pair.measured.high / whole,
        text=change(pair.ratio - 1),
    )


def _said(pair: Pair, words: Words) -> str:
    return f"{words.of(f'quantity.{pair.quantity.path}')} {change(pair.ratio - 1)}"


def _table(found: list[Pair], words: Words) -> Table:
    heads = ("facts.what", "chart.forecast", "table.interval", "chart.measured", "table.interval", "table.change",
             "table.place")  # fmt: skip
    return Table(
        caption=words.of("against.title"),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_row(pair, words) for pair in found),
        numeric=frozenset({1, 2, 3, 4, 5}),
    )


def _row(pair: Pair, words: Words) -> tuple[Cell, ...]:
    forecast, measured = (shown(one, pair.quantity.units, words) for one in (pair.forecast, pair.measured))
    texts = (
        words.of(f"quantity.{pair.quantity.path}"), forecast.value, forecast.interval, measured.value,
        measured.interval, change(pair.ratio - 1), words.of(f"place.{pair.place}"),
    )  # fmt: skip
    return tuple(Cell(text=text) for text in texts)
