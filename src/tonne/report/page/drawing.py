"""How charts of reports are drawn: sizes, axes and configuration that all of them share; and their files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from tonne.report.charts import PNG_SCALE, altair
from tonne.report.page.blocks import Picture
from tonne.report.page.palette import INK, LINES, MUTED

WIDTH = 360  # a chart is read at its own size on a telephone, and a third larger on a page
LABELS, RIGHT = 112, 64  # beside the plot: names of rows, and numbers written at their ends
ROW = 24
TICK_PX = 60  # of the plot for each number of an axis
APART_PX = 8  # between two numbers: the page's own font may be wider than the one they were measured in
FONT = "Arial, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"  # the page puts its own in its place


def data(records: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - Altair's
    """Records as a chart's data."""
    return altair().Data(values=records)


def row_axis(order: list[str], width: int = LABELS) -> Any:  # noqa: ANN401 - Altair's
    """The names of rows, at a width of their own so that charts line up."""
    alt = altair()
    return alt.Y(
        "row:N",
        sort=order,
        title=None,
        axis=alt.Axis(
            labelLimit=width - 6,
            grid=False,
            ticks=False,
            domain=False,
            minExtent=width,
            maxExtent=width,
            labelPadding=5,
        ),
    )


def number_axis(pixels: int, **more: Any) -> Any:  # noqa: ANN401 - Altair's
    """An axis of numbers as many as there is room for; of two that would touch, one is left out."""
    count = max(pixels // TICK_PX, 3)
    return altair().Axis(
        **{
            "format": ",~r",
            "tickCount": count,
            "labelOverlap": "greedy",
            "labelSeparation": APART_PX,
            "labelFlush": False,
        }
        | more
    )


def finished(chart: Any, *, background: str = "transparent", padding: int = 2) -> Any:  # noqa: ANN401 - Altair's
    """The chart with the configuration of all; its inner parts say nothing to screen readers, the whole does."""
    return (
        chart.configure(aria=False, font=FONT, background=background, padding=padding)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=MUTED, gridColor=LINES, tickColor=LINES, domainColor=MUTED,
            labelFontSize=11, titleFontSize=11, titleFontWeight="normal", titlePadding=6,
        )
        .configure_legend(labelColor=INK, labelFontSize=11, symbolSize=60, titleColor=MUTED, labelLimit=150)
        .configure_text(color=INK, fontSize=11)
        .configure_title(color=INK, fontSize=13, anchor="start", offset=8)
    )  # fmt: skip


def svg(picture: Picture) -> str:
    """The chart as SVG, of a width that its frame decides; its title and description are said once, for the whole."""
    text = io.StringIO()
    finished(picture.chart()).save(text, format="svg")
    found = text.getvalue()
    found = re.sub(r"\s(?:role|aria-[a-z]+)=\"[^\"]*\"", "", found)
    found = _own_ids(found, picture.key)
    head = re.match(r"<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", found)
    assert head is not None, "vl-convert's SVG begins with its root"
    names = f'aria-labelledby="{picture.key}-title {picture.key}-desc"'
    width = head.group(1).split()[2]
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" {names} viewBox="{head.group(1)}" '
        f'data-width="{width}">'
    )
    said = (
        f'<title id="{picture.key}-title">{_escaped(picture.title)}</title>'
        f'<desc id="{picture.key}-desc">{_escaped(picture.description)}</desc>'
    )
    return root + said + found[head.end() :]


def save(picture: Picture, folder: Path) -> tuple[Path, Path]:
    """Write the chart as SVG and PNG, with its title and on white, and return the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    titled = finished(altair().vconcat(picture.chart()).properties(title=picture.title), background="white", padding=12)
    paths = folder / f"{picture.key}.svg", folder / f"{picture.key}.png"
    titled.save(str(paths[0]))
    titled.save(str(paths[1]), scale_factor=PNG_SCALE)
    return paths


def _own_ids(text: str, key: str) -> str:
    """Ids that no other chart of the page has: a clip of another chart would cut this one."""
    return re.sub(r'(id="|url\(#|href="#)', rf"\1{key}-", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
