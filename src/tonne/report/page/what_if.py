"""What could be changed, and what it would bring: each change with its own interval, in which shared inputs cancel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tonne.describe.plan import TrainingPlan
from tonne.errors import TonneError
from tonne.estimate import Estimate
from tonne.forecasting import forecast
from tonne.ledger.records import Run
from tonne.planning import Difference, compare
from tonne.reference.calibration import Calibration
from tonne.reference.grids import GridFactor, grid
from tonne.report.levers import CLEANER_GRIDS, WORTH_SAYING, Lever, levers
from tonne.report.numbers import MASS_KG
from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.coefficients import factors_behind
from tonne.report.page.language import Words, change, number_text
from tonne.report.page.palette import CHANGE
from tonne.report.page.pictures import Bar, bars_chart
from tonne.report.page.quantities import CARBON, ENERGY, estimate_at
from tonne.report.page.subject import Subject

GRID = "grid_gco2e_per_kwh"
DURATION = "duration_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A relative change with its 90 % interval; without one where how the two errors hang together is not known."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def unclear(self) -> bool:
        """Whether the interval leaves open in which direction it goes."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high and self.low < self.high

    def text(self, words: Words) -> str:
        """The change, its interval, and whether it can be told from none."""
        if self.low is None or self.high is None or self.low == self.high:
            return change(self.value)
        key = "what_if.unclear" if self.unclear else "what_if.between"
        return words.of(key, value=change(self.value), low=change(self.low), high=change(self.high))


NONE = Relative(value=0.0, low=0.0, high=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change and what it brings, relative to what was or will be used."""

    name: str
    carbon: Relative | None
    energy: Relative | None
    duration: Relative | None


def what_if(subject: Subject, words: Words) -> Section:
    """Levers of the plan; of a run without one, the same energy on other grids."""
    return Section(key="what-if", title=words.of("section.what_if"), blocks=tuple(_blocks(subject, words)), narrow=True)


def changes(subject: Subject, words: Words) -> list[Change]:
    """What is worth saying, the largest change of CO2e first."""
    if subject.forecast is not None:
        found = list(_of_levers(subject.forecast.plan, subject.calibration, words))
    else:
        found = list(_other_grids(subject, words))
    return sorted(found, key=lambda one: (one.carbon or one.energy or NONE).value)


def _of_levers(plan: TrainingPlan, calibration: Calibration | None, words: Words) -> Iterator[Change]:
    """Each lever beside the plan as it is: a pair of forecasts, both made now, for a document's is of other days."""
    try:
        base = forecast(plan, calibration)
    except TonneError:
        return
    for lever in levers(base, calibration):
        pair = compare(base, lever.forecast).pairs[0].differences
        yield Change(
            name=_name(lever, words),
            carbon=_relative(pair, CARBON.path),
            energy=_relative(pair, ENERGY.path),
            duration=_relative(pair, DURATION),
        )


def _name(lever: Lever, words: Words) -> str:
    option, _, value = lever.name.partition(" ")
    return words.either(f"lever.{option}", lever.name).format(value=words.either(f"zone.{value}", value))


def _relative(pair: Mapping[str, Difference | None], path: str) -> Relative | None:
    """Later over first, minus one; None where a side is unknown or nothing."""
    difference = pair[path]
    if difference is None or difference.ratio is None:
        return None
    ratio = difference.ratio
    return Relative(value=ratio.value - 1, low=ratio.low - 1, high=ratio.high - 1)


def _other_grids(subject: Subject, words: Words) -> Iterator[Change]:
    """The same energy where electricity is cleaner, by the carbon accounting that the run's own place has."""
    both = [(estimate_at(run.account, ENERGY.path), estimate_at(run.account, CARBON.path)) for run in subject.counted]
    known = [(energy.value, carbon.value) for energy, carbon in both if energy is not None and carbon is not None]
    kwh, kg = sum(energy for energy, _ in known), sum(carbon for _, carbon in known)
    if not kwh or not kg:
        return
    here = 1000 * kg / kwh
    factor = _factor_here([run for run in subject.counted if estimate_at(run.account, CARBON.path) is not None])
    basis = str((subject.run.site or {}).get("grid_basis") or "lifecycle")
    for zone in CLEANER_GRIDS:
        try:
            there = grid(zone, basis).record
        except TonneError:
            continue
        if there.gco2e_per_kwh / here - 1 < -WORTH_SAYING:
            name = words.of("lever.--grid", value=words.either(f"zone.{zone}", zone))
            yield Change(name=name, carbon=_moved(here, factor, there), energy=NONE, duration=NONE)


def _factor_here(runs: Sequence[Run]) -> Estimate | None:
    """The intensity of the grid that all runs are on; None where it is not one for all."""
    found = {factors_behind(run).get(GRID) for run in runs if run.account is not None}
    return found.pop() if len(found) == 1 else None


def _moved(here: float, factor: Estimate | None, there: GridFactor) -> Relative:
    """The change of CO2e by a move: the energy is the same on both sides and cancels, the two grids do not.

    Equation: g = there / here, low and high = g exp(-/+ sqrt(a^2 + b^2)), a and b the logarithmic widths of the two
    intensities on the side that moves g that way.

    Source: tonne
    """
    ratio = there.gco2e_per_kwh / here
    if factor is None or min(factor.low, there.low) <= 0:
        return Relative(value=ratio - 1)
    down = math.hypot(math.log(there.gco2e_per_kwh / there.low), math.log(factor.high / factor.value))
    up = math.hypot(math.log(there.high / there.gco2e_per_kwh), math.log(factor.value / factor.low))
    return Relative(value=ratio - 1, low=ratio * math.exp(-down) - 1, high=ratio * math.exp(up) - 1)


def _blocks(subject: Subject, words: Words) -> Iterator[Block]:
    found = changes(subject, words)
    if not found:
        known = estimate_at(subject.account, CARBON.path) is not None
        yield Text(text=words.of("what_if.none" if known else "what_if.no_place"))
        return
    yield Text(text=f"{words.of(_lead(subject))} {words.of('what_if.interval')}")
    of_carbon = [(one.name, one.carbon) for one in found if one.carbon is not None]
    shown = of_carbon or [(one.name, one.energy) for one in found if one.energy is not None]
    yield Picture(
        key="what-if",
        title=words.of("what_if.title" if of_carbon else "what_if.title_energy"),
        description=words.of(
            "what_if.description", items=words.listed([f"{name} {one.text(words)}" for name, one in shown])
        ),
        chart=lambda: bars_chart(
            [_bar(name, one) for name, one in shown],
            words.of("chart.change" if of_carbon else "chart.change_energy"),
            colour=CHANGE,
        ),
        table=_table(subject, found, words),
    )


def _lead(subject: Subject) -> str:
    """The key of what the rows are: forecasts of a plan, of the plan of a run that was measured, or other grids."""
    if subject.forecast is None:
        return "what_if.grids"
    return "what_if.forecast" if subject.is_forecast else "what_if.measured"


def _bar(name: str, one: Relative) -> Bar:
    low, high = (None if bound is None else 100 * bound for bound in (one.low, one.high))
    return Bar(name=name, value=100 * one.value, text=change(one.value), low=low, high=high)


def _table(subject: Subject, found: list[Change], words: Words) -> Table:
    heads = ("what_if.change", "short.carbon.operational_location_kgco2e", "what_if.then", "short.energy.facility_kwh",
             "short.duration_s")  # fmt: skip
    carbon = estimate_at(subject.account, CARBON.path)
    return Table(
        caption=words.of("what_if.caption"),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_row(one, carbon, words) for one in found),
        numeric=frozenset({1, 2, 3, 4}),
    )


def _row(one: Change, carbon: Estimate | None, words: Words) -> tuple[Cell, ...]:
    then = unknown = words.of("unknown.short")
    if carbon is not None and one.carbon is not None:
        then = number_text(carbon.value * (1 + one.carbon.value), MASS_KG, words, digits=2)
    texts = [unknown if value is None else value.text(words) for value in (one.carbon, one.energy, one.duration)]
    return Cell(text=one.name), Cell(text=texts[0]), Cell(text=then), Cell(text=texts[1]), Cell(text=texts[2])
