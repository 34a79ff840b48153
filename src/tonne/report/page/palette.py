"""The colours of reports: each as on white, and as on a dark page. Apart for the colour-blind, and in grey."""

from __future__ import annotations

from tonne.report import charts

INK, FORECAST, MEASURED = charts.INK, charts.FORECAST, charts.PUBLISHED
MUTED, LINES = "#52606d", "#e4e7eb"
SERIES = (FORECAST, MEASURED, "#6b8f2f", "#8a5ea8", "#a8770f", "#4c4c4c", "#1f877a", "#a1506a")
CHANGE = SERIES[6]
DASHES = ([1, 0], [5, 2], [2, 2], [7, 2, 2, 2], [1, 2], [9, 3], [4, 1, 1, 1], [3, 3])
DARK = {
    INK: "#e6edf3",
    MUTED: "#a9b4c0",
    LINES: "#343b45",
    FORECAST: "#6cb6dd",
    MEASURED: "#f0836b",
    "#6b8f2f": "#a3c76a",
    "#8a5ea8": "#c3a0dd",
    "#a8770f": "#e0b24c",
    "#4c4c4c": "#bdbdbd",
    "#1f877a": "#5cc7b8",
    "#a1506a": "#e194ab",
}


def dark_rules() -> str:
    """The CSS that turns a chart's colours into those of a dark page; the chart itself stays fit for paper."""
    return "\n".join(
        f'.chart [fill="{light}"] {{ fill: {dark}; }} .chart [stroke="{light}"] {{ stroke: {dark}; }}'
        for light, dark in DARK.items()
    )
