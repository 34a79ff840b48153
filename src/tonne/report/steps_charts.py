"""Charts of the time model's validation. Needs the extra `report` (Altair, vl-convert)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tonne.report.charts import FORECAST, INK, altair
from tonne.validation.throughput import Slice, StepValidation

SIDE, BAR_HEIGHT = 420, 30
COLOURS = ("#3b7ea1", "#c8553d", "#7a9e3e", "#8a5ea8", "#d19a2a", "#4c4c4c", "#2a9d8f", "#b56576")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "circle", "square")


def predicted_against_measured(found: StepValidation) -> Any:  # noqa: ANN401 - an Altair chart
    """Every step that a fit did not see, predicted against measured, both logarithmic, by source."""
    alt = altair()
    names = [part.name for part in found.sources]
    records = [{"measured": r.measured_s, "predicted": r.known_s, "source": r.source, "row": r.id} for r in found.rows]
    ends = [min(r.measured_s for r in found.rows) / 1.3, max(r.measured_s for r in found.rows) * 1.3]
    scale = alt.Scale(type="log", domain=ends, nice=False)
    points = (
        alt.Chart(alt.Data(values=records))
        .mark_point(size=45, opacity=0.75)
        .encode(
            x=alt.X("measured:Q", scale=scale, title="measured [s]"),
            y=alt.Y("predicted:Q", scale=scale, title="predicted without any row of the model [s]"),
            color=alt.Color("source:N", title=None, scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)]))),
            shape=alt.Shape("source:N", title=None, scale=alt.Scale(domain=names, range=list(SHAPES[: len(names)]))),
        )
    )
    line = alt.Chart(alt.Data(values=[{"x": end, "y": end} for end in ends])).mark_line(color=INK, strokeWidth=1)
    exact = line.encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale))
    return _styled((exact + points).properties(width=SIDE, height=SIDE, title="Step time, predicted against measured"))


def errors_by_slice(found: StepValidation) -> Any:  # noqa: ANN401 - an Altair chart
    """Median and 90th percentile of the error by slice, for a known and an unseen stack."""
    alt = altair()
    records = [
        {"slice": part.name, "stack": stack, "median": 100 * error.median, "p90": 100 * error.p90}
        for part in found.slices
        for stack, error in (("known stack", part.known), ("unseen stack", part.unseen))
    ]
    order = [part.name for part in found.slices]
    rows = alt.Y("stack:N", title=None, axis=alt.Axis(ticks=False, domain=False))
    base = alt.Chart(alt.Data(values=records))
    bars = base.mark_bar(color=FORECAST, opacity=0.35).encode(x=alt.X("p90:Q", title="error [%]"), y=rows)
    ticks = base.mark_tick(color=INK, thickness=3, size=18).encode(x=alt.X("median:Q", title="error [%]"), y=rows)
    panels = (bars + ticks).properties(width=SIDE, height=2 * BAR_HEIGHT)
    faceted = panels.facet(
        row=alt.Row("slice:N", sort=order, title=None, header=alt.Header(labelAngle=0, labelAlign="left")), spacing=8
    )
    return _styled(faceted.properties(title="Error of the step time; bar: 90th percentile, tick: median"))


def coverage_by_slice(found: StepValidation) -> Any:  # noqa: ANN401 - an Altair chart
    """Share of rows that the 90 % interval holds, with the exact binomial interval of that share."""
    alt = altair()
    records = [record for part in found.slices for record in _coverage_records(part)]
    order = [part.name for part in found.slices]
    rows = alt.Y("stack:N", title=None, axis=alt.Axis(ticks=False, domain=False))
    scale = alt.Scale(domain=[0, 100])
    base = alt.Chart(alt.Data(values=records))
    bars = base.mark_rule(color=FORECAST, strokeWidth=7, opacity=0.35).encode(
        x=alt.X("low:Q", scale=scale, title="rows inside the 90 % interval [%]"), x2="high:Q", y=rows
    )
    dots = base.mark_point(color=FORECAST, filled=True, size=80, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, title="rows inside the 90 % interval [%]"), y=rows
    )
    nominal = base.mark_rule(color="#c8553d", strokeDash=[4, 3]).encode(x=alt.X("nominal:Q", scale=scale))
    panels = (nominal + bars + dots).properties(width=SIDE, height=2 * BAR_HEIGHT)
    faceted = panels.facet(
        row=alt.Row("slice:N", sort=order, title=None, header=alt.Header(labelAngle=0, labelAlign="left")), spacing=8
    )
    return _styled(faceted.properties(title="Coverage; dashed: nominal; bar: exact binomial interval"))


def _coverage_records(part: Slice) -> Sequence[dict[str, Any]]:
    stacks = (("known stack", part.known), ("unseen stack", part.unseen))
    return [
        {
            "slice": part.name,
            "stack": name,
            "value": 100 * error.coverage,
            "low": 100 * (error.coverage_low or 0.0),
            "high": 100 * (error.coverage_high or 0.0),
            "nominal": 90,
        }
        for name, error in stacks
        if error.coverage is not None
    ]


def _styled(chart: Any) -> Any:  # noqa: ANN401 - an Altair chart
    return (
        chart.configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=INK, gridColor="#e4e7eb", labelFontSize=12, titleFontSize=12)
        .configure_title(color=INK, fontSize=15, anchor="start", offset=12)
        .configure_legend(labelFontSize=12, labelLimit=260)
        .configure_header(labelFontSize=12, labelColor=INK)
    )
