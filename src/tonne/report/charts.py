"""Charts of forecasts beside what was published. Needs the extra `report` (Altair, vl-convert)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.errors import MissingPackageError
from tonne.estimate import Estimate

INK, FORECAST, PUBLISHED = "#1f2933", "#3b7ea1", "#c8553d"  # apart for the colour-blind, and in grey
ROW_HEIGHT, PANEL_WIDTH, PNG_SCALE = 30, 420, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One quantity of one run: what was forecast, and what was published (None where it was not)."""

    run: str
    forecast: Estimate
    published: float | None


def comparison_chart(panels: Sequence[tuple[str, Sequence[Comparison]]], title: str) -> Any:  # noqa: ANN401
    """Interval bars with the published points, one panel per quantity, logarithmic.

    Args:
        panels: Title of the axis, with its unit, and the comparisons in it.
        title: Title of the whole chart.

    Returns:
        An Altair chart.

    Raises:
        MissingPackageError: Altair is not installed.
    """
    alt = altair()
    charts = [_panel(alt, axis, comparisons) for axis, comparisons in panels]
    heading = alt.TitleParams(
        title, subtitle="bar: 90 % interval; circle: forecast; diamond: published", anchor="start", offset=14
    )
    return (
        alt.vconcat(*charts, title=heading, spacing=26)
        .configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=INK, gridColor="#e4e7eb", labelFontSize=12, titleFontSize=12)
        .configure_title(color=INK, fontSize=16, subtitleFontSize=12, subtitleColor=INK)
        .configure_legend(labelFontSize=12, titleFontSize=12)
    )


def save(chart: Any, folder: Path, name: str) -> tuple[Path, Path]:  # noqa: ANN401 - an Altair chart
    """Write the chart as PNG and SVG into a folder, and return the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    chart.save(str(png), scale_factor=PNG_SCALE)
    chart.save(str(svg))
    return png, svg


def _panel(alt: Any, axis: str, comparisons: Sequence[Comparison]) -> Any:  # noqa: ANN401 - the altair module
    order = [c.run for c in comparisons]
    records = [
        {"run": c.run, "low": c.forecast.low, "high": c.forecast.high, "value": c.forecast.value, "what": "forecast"}
        for c in comparisons
    ]
    points = [{"run": c.run, "value": c.published, "what": "published"} for c in comparisons if c.published is not None]
    scale = alt.Scale(type="log", nice=True)
    y = alt.Y("run:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, grid=False, ticks=False, domain=False))
    colour = alt.Color(
        "what:N",
        title=None,
        scale=alt.Scale(domain=["forecast", "published"], range=[FORECAST, PUBLISHED]),
        legend=alt.Legend(orient="top"),
    )
    shape = alt.Shape(
        "what:N",
        title=None,
        scale=alt.Scale(domain=["forecast", "published"], range=["circle", "diamond"]),
        legend=alt.Legend(orient="top"),
    )
    decades = _decades([number for record in records for number in (record["low"], record["high"])])
    x_axis = alt.Axis(values=decades, format="~s" if decades[0] >= 1 else ",~r")
    bars = (
        alt.Chart(alt.Data(values=records))
        .mark_rule(strokeWidth=7, opacity=0.35, color=FORECAST)
        .encode(x=alt.X("low:Q", scale=scale, title=axis, axis=x_axis), x2="high:Q", y=y)
    )
    dots = (
        alt.Chart(alt.Data(values=records + points))
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x=alt.X("value:Q", scale=scale, title=axis, axis=x_axis), y=y, color=colour, shape=shape)
    )
    return (bars + dots).properties(width=PANEL_WIDTH, height=ROW_HEIGHT * len(order))


def _decades(values: Sequence[Any]) -> list[float]:
    """Powers of ten that span the values: the grid lines of a logarithmic axis."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [float(f"1e{exponent}") for exponent in range(first, last + 1)]


def altair() -> Any:  # noqa: ANN401 - a module
    """The module that draws.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        import altair as alt  # noqa: PLC0415 - an extra; only charts pay for it
        import vl_convert  # noqa: F401, PLC0415
    except ImportError:
        raise MissingPackageError(
            "Charts need Altair and vl-convert, which are not installed. Run: pip install 'tonne[report]'"
        ) from None
    return alt
