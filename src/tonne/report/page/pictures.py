"""Charts of a report: forecast and measurement as dots on bands, and bars of shares, times and changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tonne.report.charts import altair
from tonne.report.page.drawing import LABELS, RIGHT, ROW, WIDTH, data, number_axis, row_axis
from tonne.report.page.language import Words
from tonne.report.page.palette import FORECAST, INK, MEASURED, MUTED

PLOT = WIDTH - LABELS - RIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One row of forecast against measured, both relative to the forecast's value."""

    name: str
    low: float
    high: float
    measured: float
    measured_low: float
    measured_high: float
    text: str  # written at its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of a bar chart, with its interval where it has one."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None


def against_chart(bands: Sequence[Band], words: Words) -> Any:  # noqa: ANN401 - Altair's
    """The forecast's interval as a band with its value as a tick, the measurement as a dot with its own interval."""
    alt = altair()
    order = [band.name for band in bands]
    ends = [n for b in bands for n in (b.low, b.high, b.measured_low, b.measured_high, b.measured, 1.0) if n > 0]
    least = min(ends)  # what reaches down to zero is drawn to the edge
    records = [{"row": b.name, "low": max(b.low, least), "high": b.high, "one": 1.0, "dot": b.measured,
                "from": max(b.measured_low, least), "to": b.measured_high, "text": b.text} for b in bands]  # fmt: skip
    scale = alt.Scale(type="log", domain=[least / 1.08, max(ends) * 1.08], nice=False)
    axis = number_axis(PLOT, values=_ticks(least, max(ends)), grid=True)
    base, y = alt.Chart(data(records)), row_axis(order)

    def x(field: str) -> Any:  # noqa: ANN401 - Altair's
        return alt.X(f"{field}:Q", scale=scale, axis=axis, title=words.of("chart.relative"))

    layers = (
        base.mark_rule(strokeWidth=10, opacity=0.4, color=FORECAST).encode(x=x("low"), x2="high:Q", y=y),
        base.mark_tick(thickness=2, size=14, color=INK).encode(x=x("one"), y=y),
        base.mark_rule(strokeWidth=2, color=MEASURED).encode(x=x("from"), x2="to:Q", y=y),
        base.mark_point(filled=True, size=70, opacity=1, color=MEASURED).encode(x=x("dot"), y=y),
        _ends(base, y, PLOT),
    )
    return alt.layer(*layers).properties(width=PLOT, height=ROW * len(order))


def _ticks(low: float, high: float) -> list[float]:
    """Ratios that are read without effort, as many as there is room for."""
    close = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 2.0)
    wide = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    return [tick for tick in (close if high / low < 4 else wide) if low <= tick <= high]


def bars_chart(bars: Sequence[Bar], title: str, *, colour: str = FORECAST, labels: int = LABELS) -> Any:  # noqa: ANN401
    """Bars with their numbers written at the right; of changes, bars to either side of zero.

    Args:
        bars: From top to bottom.
        title: Of the axis, with its unit.
        colour: Of the bars.
        labels: Width of the rows' names [px].
    """
    alt = altair()
    records = [
        {"row": b.name, "value": b.value, "zero": 0.0, "text": b.text, "from": b.low, "to": b.high} for b in bars
    ]
    order = [bar.name for bar in bars]
    base, y, plot = alt.Chart(data(records)), row_axis(order, labels), WIDTH - labels - RIGHT
    ends = [0.0, *(end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None)]
    scale = alt.Scale(domain=[min(ends), max(ends) or 1.0], nice=True)
    axis = number_axis(plot)
    drawn = base.mark_bar(color=colour, height=13).encode(x=alt.X("value:Q", title=title, scale=scale, axis=axis), y=y)
    zero = base.mark_rule(color=MUTED, strokeWidth=1).encode(x=alt.X("zero:Q", title=title, scale=scale, axis=axis))
    spans = base.transform_filter("isValid(datum.from) && datum.to > datum.from")
    spread = spans.mark_rule(color=INK, strokeWidth=1.5).encode(
        x=alt.X("from:Q", title=title, axis=axis), x2="to:Q", y=y
    )
    has_spread = any(bar.low is not None for bar in bars)
    layers = (drawn, zero, *((spread,) if has_spread else ()), _ends(base, y, plot))
    return alt.layer(*layers).properties(width=plot, height=ROW * len(order))


def _ends(base: Any, y: Any, plot: int) -> Any:  # noqa: ANN401 - Altair's
    """Each row's number, at its right end, where no bar can hide it."""
    alt = altair()
    return base.mark_text(align="right", baseline="middle", color=INK).encode(
        x=alt.value(plot + RIGHT - 2), y=y, text="text:N"
    )
