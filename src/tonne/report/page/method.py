"""How each figure was reached: in words, as an equation, and what its letters mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from inspect import getdoc
from typing import Any

from tonne.energy import power
from tonne.forecasting.explain import EQUATIONS, equation_of
from tonne.impact import equations as impact
from tonne.report.page.blocks import Block, Formula, Section, Text
from tonne.report.page.coefficients import source_cell
from tonne.report.page.language import Words
from tonne.report.page.quantities import estimate_at
from tonne.report.page.spread import input_name
from tonne.report.page.subject import Subject
from tonne.timing import steps

LETTER = re.compile(r"(\S+) = ([a-z0-9_]+)")
MEASURED_EQUATIONS: dict[str, Callable[..., Any]] = {
    "energy.facility_kwh": power.facility_kwh,
    "carbon.operational_location_kgco2e": impact.operational_kgco2e,
    "carbon.operational_market_kgco2e": impact.operational_kgco2e,
    "carbon.embodied_kgco2e": impact.embodied_kgco2e,
    "water_on_site_l": impact.water_on_site_l,
    "water_off_site_l": impact.water_off_site_l,
    "cost_usd": impact.hours_cost_usd,
    "energy_cost_usd": impact.energy_cost_usd,
}
FROM_HOURS = {"duration_s", "accelerator_hours"}  # given, not calculated, where a plan starts from accelerator-hours


def method(subject: Subject, words: Words) -> Section:
    """Words that hold for all figures, then each figure that is known."""
    blocks: list[Block] = [Text(text=words.of("method.interval")), Text(text=words.of("method.basis"))]
    if subject.is_project:
        blocks.append(Text(text=words.of("method.project")))
    blocks.append(Text(text=words.of("method.forecast" if subject.is_forecast else "method.measured")))
    blocks += _formulas(subject, words)
    return Section(key="method", title=words.of("section.method"), blocks=tuple(blocks))


def _formulas(subject: Subject, words: Words) -> Iterator[Formula]:
    by_hours = any((run.plan or {}).get("schedule", {}).get("accelerator_hours") for run in subject.counted)
    if subject.is_forecast and not by_hours:
        yield _formula("useful_time", steps.useful_time_s, words)
    equations = EQUATIONS if subject.is_forecast else MEASURED_EQUATIONS
    for path, function in equations.items():
        if estimate_at(subject.account, path) is None or (by_hours and path in FROM_HOURS):
            continue
        yield _formula(path, _priced(subject, path, function), words)


def _priced(subject: Subject, path: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The equation of the money: rent of hours where their rate is known, else electricity alone."""
    if path != "cost_usd" or subject.account is None:
        return function
    return impact.energy_cost_usd if subject.account.cost_usd == subject.account.energy_cost_usd else function


def _formula(path: str, function: Callable[..., Any], words: Words) -> Formula:
    stated, _, legend = equation_of(function).rstrip(".").partition(", with ")
    letters = tuple((letter, input_name(name, words)) for letter, name in LETTER.findall(legend))
    key = "cost_usd.electricity" if function is impact.energy_cost_usd and path == "cost_usd" else path
    return Formula(
        title=words.of(f"quantity.{path}"),
        words=words.of(f"method.{key}"),
        equation=stated,
        letters=letters,
        source=source_cell(_cited(function), words),
    )


def _cited(function: Callable[..., Any]) -> str:
    found = re.search(r"^Source: (.+)$", getdoc(function) or "", re.MULTILINE)
    return found.group(1).rstrip(".") if found else ""
