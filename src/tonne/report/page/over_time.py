"""Power and grid over time, and the loss over the energy that it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tonne.estimate import Basis
from tonne.ledger.records import Series
from tonne.report.numbers import COUNT, ENERGY_KWH, TIME_S, rounded
from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.grid_hours import GridHours, grid_hours
from tonne.report.page.language import Words
from tonne.report.page.pictures_time import Line, lines_chart, loss_chart
from tonne.report.page.quantities import PARTS, POWER_W, estimate_at
from tonne.report.page.subject import Subject

ROWS = 40  # of a table that a chart's numbers are read from; all of them are in the JSON document
PARTS_SHOWN = 6  # lines of one panel; the weakest others are left to the table
Column = Sequence[float | None]


def over_time(subject: Subject, words: Words) -> Section:
    """Power by part, and the grid's intensity below it."""
    series, hours = subject.run.series, None if subject.is_forecast else grid_hours(subject.run)
    blocks: list[Block] = []
    if series.time_s and series.power_w:
        blocks.append(_power_picture(series, hours, words))
        blocks += _modelled(subject, words)
        blocks += _about_the_grid(hours, words)
    else:
        blocks.append(Text(text=words.of(f"over_time.{_why_none(subject)}")))
    return Section(key="over-time", title=words.of("section.over_time"), blocks=tuple(blocks), narrow=True)


def _why_none(subject: Subject) -> str:
    """The key of why there is no power over time: nothing ran, nothing read it, or nothing kept it."""
    if subject.is_forecast:
        return "not_run"
    energy = None if subject.account is None else subject.account.energy
    return "no_sensor" if energy is not None and energy.coverage == 0 else "unread"


def _modelled(subject: Subject, words: Words) -> Iterator[Text]:
    """Which lines are of no sensor: a part's line has the basis of its energy."""
    parts = [part for part in subject.run.series.power_w if f"{part}_kwh" in PARTS]
    energies = {part: estimate_at(subject.account, f"energy.{part}_kwh") for part in parts}
    found = [
        part_name(part, words)
        for part, energy in energies.items()
        if energy is not None and energy.basis is not Basis.MEASURED
    ]
    if found:
        yield Text(text=words.of("over_time.modelled", parts=words.listed(found)))


def _about_the_grid(hours: GridHours | None, words: Words) -> Iterator[Text]:
    """Whether the grid's hours are those of the run, typical ones, or unknown."""
    if hours is None:
        yield Text(text=words.of("over_time.no_grid"))
    elif hours.typical_of is not None:
        yield Text(text=words.of("over_time.typical_grid", zone=hours.zone, year=hours.typical_of))


def part_name(part: str, words: Words) -> str:
    """The name of a line of power: translated where it is a part of ours, else as its sensor is called."""
    return words.either(f"part.{part}", part)


def _power_picture(series: Series, hours: GridHours | None, words: Words) -> Picture:
    largest = max((w for watts in series.power_w.values() for w in watts if w is not None), default=1.0)
    size, unit = words.scaled(largest, POWER_W)
    last_s = max([*series.time_s, *(() if hours is None else hours.time_s)])
    per, time_unit = words.scaled(last_s or 1.0, TIME_S)
    names = sorted(series.power_w, key=lambda part: -_mean(series.power_w[part]))
    time = [t / per for t in series.time_s]
    lines = [
        Line(name=part_name(part, words), x=time, y=[None if w is None else w / size for w in series.power_w[part]])
        for part in names
    ]
    panels = [(words.of("chart.power", unit=unit), lines[:PARTS_SHOWN])]
    if hours is not None:
        at, grid = _steps(hours, last_s)
        panels.append(
            (words.of("chart.grid"), [Line(name=words.of("over_time.grid"), x=[t / per for t in at], y=grid)])
        )
    means = [f"{line.name} {rounded(_mean(line.y), 3)} {unit}" for line in lines]
    return Picture(
        key="power-over-time",
        title=words.of("over_time.title" if hours is None else "over_time.title_grid"),
        description=words.of("over_time.description", items=words.listed(means)),
        chart=lambda: lines_chart(panels, words.of("chart.since_begin", unit=time_unit)),
        table=_power_table(series, names, words),
    )


def _mean(values: Column) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _steps(hours: GridHours, last_s: float) -> tuple[list[float], list[float]]:
    """The grid's intensity as a staircase: each value holds until the next."""
    at: list[float] = []
    values: list[float] = []
    ends = [*hours.time_s[1:], last_s]
    for begin, end, value in zip(hours.time_s, ends, hours.gco2e_per_kwh, strict=True):
        at += [begin, end]
        values += [value, value]
    return at, values


def thinned(count: int) -> list[int]:
    """Which rows of so many a table shows: all, or evenly spaced ones with the first and the last."""
    if count <= ROWS:
        return list(range(count))
    return sorted({round(i * (count - 1) / (ROWS - 1)) for i in range(ROWS)})


def _power_table(series: Series, names: list[str], words: Words) -> Table:
    heads = [words.of("chart.since_begin", unit=words.unit("s"))]
    heads += [f"{part_name(name, words)} [W]" for name in names]
    rows = []
    for i in thinned(len(series.time_s)):
        values = [series.power_w[name][i] for name in names]
        rows.append((_number(series.time_s[i], words), *(_number(value, words) for value in values)))
    caption = words.of("over_time.title")
    if len(rows) < len(series.time_s):
        caption += words.of("table.thinned", rows=len(rows), all=len(series.time_s))
    return Table(caption=caption, heads=tuple(heads), rows=tuple(rows), numeric=frozenset(range(len(heads))))


def _number(value: float | None, words: Words) -> Cell:
    if value is None:
        return Cell(text=words.of("unknown.short"))
    return Cell(text=f"{value:,}" if isinstance(value, int) else rounded(value, 4))


def learning(subject: Subject, words: Words) -> Section:
    """The loss over facility energy; over tokens or steps where no energy is known beside them."""
    blocks = tuple(_learning(subject, words))
    return Section(key="learning", title=words.of("section.learning"), blocks=blocks, narrow=True)


def _learning(subject: Subject, words: Words) -> Iterator[Block]:
    series = subject.run.series
    if not series.step_loss:
        yield Text(text=words.of("learning.not_run" if subject.is_forecast else "learning.untold"))
        return
    by_energy = any(kwh is not None for kwh in series.step_kwh)
    if not by_energy:
        yield Text(text=words.of("learning.no_energy"))
    columns: list[Column] = [series.step_kwh, series.step_tokens, series.steps]
    which = 0 if by_energy else 1 if series.step_tokens else 2
    kept = [i for i, x in enumerate(columns[which]) if x is not None and i < len(series.step_loss)]
    x = [float(columns[which][i] or 0.0) for i in kept]
    size, unit = words.scaled(max(x) or 1.0, ENERGY_KWH if which == 0 else COUNT)
    axis = words.of(("chart.energy_used", "chart.tokens", "chart.steps")[which], unit=_bracketed(unit))
    loss = [series.step_loss[i] for i in kept]
    yield Picture(
        key="loss-over-energy",
        title=words.of("learning.title" if by_energy else "learning.title_work"),
        description=words.of("learning.description", first=rounded(loss[0], 3), last=rounded(loss[-1], 3),
                             used=f"{rounded(x[-1] / size, 3)} {unit}".rstrip()),
        chart=lambda: loss_chart([Line(name="", x=[one / size for one in x], y=loss)], axis, words.of("chart.loss")),
        table=_loss_table(series, words),
    )  # fmt: skip


def _bracketed(unit: str) -> str:
    return f" [{unit}]" if unit else ""


def _loss_table(series: Series, words: Words) -> Table:
    columns: list[tuple[str, Column]] = [
        (words.of("facts.steps"), series.steps),
        (words.of("facts.tokens"), series.step_tokens),
        (words.of("chart.loss"), series.step_loss),
        (words.of("chart.energy", unit="kWh"), series.step_kwh),
    ]
    columns = [(head, column) for head, column in columns if len(column) >= len(series.step_loss)]
    rows = [tuple(_number(column[i], words) for _, column in columns) for i in thinned(len(series.step_loss))]
    caption = words.of("section.learning")
    if len(rows) < len(series.step_loss):
        caption += words.of("table.thinned", rows=len(rows), all=len(series.step_loss))
    heads = tuple(head for head, _ in columns)
    return Table(caption=caption, heads=heads, rows=tuple(rows), numeric=frozenset(range(len(heads))))
