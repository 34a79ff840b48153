"""The headline: the figures with intervals and basis, and what was run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tonne.forecasting.searches import layout_text
from tonne.ledger.records import FORECAST, Run
from tonne.reference.grids import GridFactor
from tonne.report.numbers import COUNT, SIZE_BYTES, TIME_S, rounded
from tonne.report.page.blocks import Block, Cards, Cell, Figure, Section, Table, Text
from tonne.report.page.grid_hours import zone_of
from tonne.report.page.language import Words, number_text, percent, pretty, shown
from tonne.report.page.notes import phrase_cell
from tonne.report.page.quantities import CARBON, ENERGY, HEADLINE, SPEED, Quantity, estimate_at
from tonne.report.page.subject import Subject
from tonne.report.page.unknown import unknown, why

if TYPE_CHECKING:
    from tonne.forecasting import Forecast

FLOP = ((1.0, "FLOP"),)
MOST_CERTAIN = 0.99


def headline(subject: Subject, words: Words) -> Section:
    """Figures as cards; then what was run."""
    blocks: list[Block] = [Text(text=words.of("headline.lead")), Cards(figures=tuple(_figures(subject, words)))]
    if not subject.is_project:
        blocks.append(_facts(subject, words))
    return Section(key="headline", title=words.of("section.headline"), blocks=tuple(blocks))


def _figures(subject: Subject, words: Words) -> Iterator[Figure]:
    for quantity in HEADLINE:
        label, estimate = words.of(f"quantity.{quantity.path}"), estimate_at(subject.account, quantity.path)
        if estimate is None:
            yield Figure(label=label, value=words.of("unknown.short"), remark=words.of(
                "because", why=why(subject, quantity.path, words)), unknown=True)  # fmt: skip
            continue
        text = shown(estimate, quantity.units, words)
        yield Figure(
            label=label,
            value=text.value,
            interval=text.interval,
            cell=Cell(text=words.basis(estimate.basis.value), basis=estimate.basis.value),
            remark=" ".join(_remarks(subject, quantity, words)),
        )


def _remarks(subject: Subject, quantity: Quantity, words: Words) -> Iterator[str]:
    """What has to be read with a figure: its boundary, how much of it was measured, of how many runs it is."""
    account, counted = subject.account, len(subject.counted)
    assert account is not None
    remark = words.either(f"remark.{quantity.path}", "")
    if remark:
        yield remark
    if subject.is_project and quantity.path == "duration_s":
        yield words.of("remark.added_durations")
    if quantity is ENERGY and account.energy.coverage is not None:
        yield words.of("remark.coverage", share=percent(account.energy.coverage))
    if quantity is CARBON:
        yield from _intensity(subject, words)
    known = subject.known.get(quantity.path, counted)
    if subject.is_project and known < counted:
        yield words.of("remark.known", known=known, all=counted)


def _intensity(subject: Subject, words: Words) -> Iterator[str]:
    """What a kilowatt-hour emitted, over the whole."""
    energy, carbon = estimate_at(subject.account, ENERGY.path), estimate_at(subject.account, CARBON.path)
    if energy is not None and carbon is not None and energy.value and not subject.is_project:
        yield words.of("remark.intensity", value=pretty(rounded(1000 * carbon.value / energy.value, 3)))


def _facts(subject: Subject, words: Words) -> Table:
    rows = [(Cell(text=label), cell) for label, cell in _rows(subject, words)]
    heads = (words.of("facts.what"), words.of("facts.value"))
    return Table(caption=words.of("facts.caption"), heads=heads, rows=tuple(rows))


def _rows(subject: Subject, words: Words) -> Iterator[tuple[str, Cell]]:
    run = subject.run
    yield words.of("facts.kind"), Cell(text=words.of(f"kind.{run.kind}"))
    if run.kind != FORECAST:
        yield words.of("facts.status"), Cell(text=words.either(f"status.{run.status}", run.status))
        yield words.of("facts.begun"), Cell(text=moment(run.begun_unix_s))
        ended = words.of("unknown", why=words.of("why.ended"))
        yield words.of("facts.ended"), Cell(text=ended if run.ended_unix_s is None else moment(run.ended_unix_s))
        yield words.of("facts.purpose"), Cell(text=purpose_text(run, words))
    yield words.of("facts.project"), Cell(text=run.project or words.of("facts.none"))
    if run.tags:
        yield words.of("facts.tags"), Cell(text=words.listed(list(run.tags)))
    yield words.of("facts.hardware"), Cell(text=hardware_text(run, words))
    yield words.of("facts.place"), Cell(text=place_text(run, words))
    yield from _worked(subject, words)
    yield from _speed(subject, words)
    if subject.is_forecast and subject.forecast is not None:
        yield from _laid_out(subject.forecast, words)


def _worked(subject: Subject, words: Words) -> Iterator[tuple[str, Cell]]:
    """The model and the work, as far as it is known."""
    work = subject.run.work
    counts = [("parameters", work.parameters), ("tokens", work.tokens), ("steps", work.steps)]
    if work.active_parameters is not None and work.active_parameters != work.parameters:
        counts.insert(1, ("active_parameters", work.active_parameters))
    for name, count in counts:
        if count is not None:
            yield words.of(f"facts.{name}"), Cell(text=count_text(count, words))
    if work.training_flop is not None:
        yield words.of("facts.training_flop"), Cell(text=number_text(work.training_flop, FLOP, words))
    for name in ("loss", "held_out_loss", "bits_per_byte"):
        value = getattr(work, name)
        if value is not None:
            yield words.of(f"facts.{name}"), Cell(text=rounded(value, 4))
    for name, value in work.metrics.items():
        yield name, Cell(text=rounded(value, 4))


def _speed(subject: Subject, words: Words) -> Iterator[tuple[str, Cell]]:
    for quantity in SPEED:
        estimate = estimate_at(subject.account, quantity.path)
        if estimate is not None:
            text = shown(estimate, quantity.units, words)
            yield (
                words.of(f"quantity.{quantity.path}"),
                Cell(text=words.of("value.with_interval", value=text.value, interval=text.interval)),
            )
    if estimate_at(subject.account, "throughput.step_time_s") is None:
        path = "throughput.step_time_s"
        yield words.of(f"quantity.{path}"), Cell(text=unknown(subject, path, words))


def _laid_out(forecast: Forecast, words: Words) -> Iterator[tuple[str, Cell]]:
    """How a planned run is laid out, and whether it fits."""
    if forecast.layout is not None:
        yield words.of("facts.layout"), phrase_cell(layout_text(forecast.layout.chosen), words)
    memory = forecast.memory
    if memory is not None and memory.needed is not None:
        text = shown(memory.needed, SIZE_BYTES, words)
        needed = words.of("value.with_interval", value=text.value, interval=text.interval)
        yield words.of("facts.memory"), Cell(text=needed)
    if memory is not None and memory.fit_probability is not None:
        yield words.of("facts.fits"), Cell(text=_probability(float(memory.fit_probability)))


def _probability(share: float) -> str:
    """A probability in percent, none of them certain."""
    if share > MOST_CERTAIN:
        return f"> {percent(MOST_CERTAIN)}"
    return f"< {percent(1 - MOST_CERTAIN)}" if share < 1 - MOST_CERTAIN else percent(share)


def count_text(count: int, words: Words) -> str:
    """A count in full, and where it is large, as people say it."""
    if count < 1e6:
        return f"{count:,}"
    return words.of("value.with_interval", value=number_text(count, COUNT, words), interval=f"{count:,}")


def moment(unix_s: float) -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def purpose_text(run: Run, words: Words) -> str:
    """What a run was for."""
    if run.purpose is None:
        return words.of("unknown", why=words.of("why.purpose"))
    return words.either(f"purpose.{run.purpose}", run.purpose)


def hardware_text(run: Run, words: Words) -> str:
    """How many of what, on how many nodes."""
    if not run.hardware:
        return words.of("unknown", why=words.of("why.hardware"))
    parts = [f"{count:,} × {name}" for name, count in run.hardware.items()]
    key = "facts.node" if run.nodes == 1 else "facts.nodes"
    nodes = "" if run.nodes is None else words.of(key, nodes=run.nodes)
    return f"{words.listed(parts)}{nodes}"


def place_text(run: Run, words: Words) -> str:
    """Where it ran: zone, region, or the intensity that was given."""
    site = run.site or {}
    for name in ("region", "grid"):
        if site.get(name):
            factor = zone_of(run)
            if factor is None:
                return str(site[name])
            zone = "" if factor.zone == site[name] else words.of("facts.zone", zone=factor.zone)
            return words.of("facts.place_named", place=site[name], zone=zone, name=zone_name(factor, words))
    if site.get("grid_gco2e_per_kwh") is not None:
        return words.of("facts.intensity_given")
    return words.of("unknown", why=words.of("why.place"))


def zone_name(factor: GridFactor, words: Words) -> str:
    """The name of a grid's zone."""
    return factor.name_zh if words.language == "zh" and factor.name_zh else factor.name_en


def lasted(run: Run, words: Words) -> str:
    """How long a run took."""
    estimate = estimate_at(run.account, "duration_s")
    return words.of("unknown.short") if estimate is None else number_text(estimate.value, TIME_S, words)
