"""Charts of a report over time: power by part with the grid below it, and the loss over the energy it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tonne.report.charts import altair
from tonne.report.page.drawing import WIDTH, data, number_axis
from tonne.report.page.palette import DASHES, MEASURED, MUTED, SERIES

SIDE = 46  # of the numbers beside a vertical axis, so that panels line up
HEIGHT, LOW = 150, 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series: its name, and its points; None where it is unknown, and the line is broken."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


def lines_chart(panels: Sequence[tuple[str, Sequence[Line]]], x_title: str) -> Any:  # noqa: ANN401 - Altair's
    """Panels above each other with one shared horizontal axis.

    Args:
        panels: Title of the vertical axis with its unit, and the lines of each panel.
        x_title: Title of the horizontal axis, with its unit.
    """
    alt = altair()
    last = max(x for _, lines in panels for line in lines for x in line.x)
    drawn = [
        _panel(title, lines, x_title if number == len(panels) - 1 else None, last, HEIGHT if number == 0 else LOW)
        for number, (title, lines) in enumerate(panels)
    ]
    return (
        drawn[0]
        if len(drawn) == 1
        else alt.vconcat(*drawn, spacing=10).resolve_scale(color="independent", strokeDash="independent")
    )


def _panel(title: str, lines: Sequence[Line], x_title: str | None, last: float, height: int) -> Any:  # noqa: ANN401
    alt = altair()
    names = [line.name for line in lines]
    records = [
        {"x": x, "y": y, "name": line.name} for line in lines for x, y in zip(line.x, line.y, strict=True)
    ]  # a None breaks the line
    several = len(lines) > 1
    legend = alt.Legend(orient="top", title=None, columns=3, symbolType="stroke", symbolStrokeWidth=2)
    colour = alt.Color(
        "name:N", sort=names, scale=alt.Scale(domain=names, range=list(SERIES[: len(names)])),
        legend=legend if several else None,
    )  # fmt: skip
    dash = alt.StrokeDash(
        "name:N", sort=names, scale=alt.Scale(domain=names, range=list(DASHES[: len(names)])),
        legend=legend if several else None,
    )  # fmt: skip
    return (
        alt.Chart(data(records))
        .mark_line(strokeWidth=1.6, interpolate="linear", invalid="break-paths-show-path-domains")
        .encode(x=_x(x_title, last), y=_y(), color=colour, strokeDash=dash)
        .properties(width=WIDTH - SIDE - 16, height=height, title=_above(title))
    )


def _x(title: str | None, last: float, first: float = 0.0) -> Any:  # noqa: ANN401 - Altair's
    alt = altair()
    axis = number_axis(WIDTH - SIDE - 16, labels=title is not None, ticks=title is not None)
    return alt.X("x:Q", title=title, scale=alt.Scale(domain=[first, last], nice=False), axis=axis)


def _y(*, zero: bool = True) -> Any:  # noqa: ANN401 - Altair's
    alt = altair()
    axis = number_axis(HEIGHT, tickCount=4, minExtent=SIDE - 16, maxExtent=SIDE - 16)
    return alt.Y("y:Q", title=None, scale=alt.Scale(zero=zero, nice=True), axis=axis)


def _above(title: str) -> Any:  # noqa: ANN401 - Altair's
    """The title of a vertical axis, above it, where it is read without turning one's head."""
    return altair().TitleParams(
        title, anchor="start", frame="bounds", fontSize=11, fontWeight="normal", color=MUTED, offset=4
    )  # fmt: skip


def loss_chart(lines: Sequence[Line], x_title: str, y_title: str) -> Any:  # noqa: ANN401 - Altair's
    """The loss over what it took."""
    alt = altair()
    records = [{"x": x, "y": y, "name": line.name} for line in lines for x, y in zip(line.x, line.y, strict=True)]
    return (
        alt.Chart(data(records))
        .mark_line(strokeWidth=1.6, color=MEASURED, invalid="break-paths-show-path-domains")
        .encode(x=_x(x_title, max(x for line in lines for x in line.x)), y=_y(zero=False))
        .properties(width=WIDTH - SIDE - 16, height=HEIGHT, title=_above(y_title))
    )
