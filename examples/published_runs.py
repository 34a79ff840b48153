"""Published training runs, forecast from their plan files and set beside what was published.

Run with `python examples/published_runs.py [FOLDER]`; the charts go to build/published/ unless a folder is named.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import tonne
from tonne.energy.use import EnergyUse
from tonne.report import numbers
from tonne.report.charts import Comparison, comparison_chart, save

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "build" / "published"
KWH_PER_MWH = 1000.0
KG_PER_T = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One row of published.csv."""

    plan: str
    model: str
    chip_hours: float
    energy_mwh: float | None
    boundary: str
    basis: str
    co2e_t: float | None
    source: str
    remark: str


def published_runs() -> list[Published]:
    """The rows of published.csv; what was not published is None."""
    with (HERE / "published.csv").open(encoding="utf-8", newline="") as file:
        return [
            Published(
                plan=row["plan"],
                model=row["model"],
                chip_hours=float(row["chip_hours"]),
                energy_mwh=float(row["energy_mwh"]) if row["energy_mwh"] else None,
                boundary=row["energy_boundary"],
                basis=row["power_basis"],
                co2e_t=float(row["co2e_t"]) if row["co2e_t"] else None,
                source=f"{row['source']}, {row['locator']}",
                remark=row["remark"],
            )
            for row in csv.DictReader(file)
        ]


def scaled(estimate: tonne.Estimate, factor: float) -> tonne.Estimate:
    """The estimate in another unit."""
    return replace(estimate, value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor)


def energy_at(energy: EnergyUse, boundary: str) -> tonne.Estimate | None:
    """Forecast energy [MWh] at the boundary that the published figure has."""
    part, _, times_pue = boundary.partition(" x ")
    found = {"accelerators": energy.accelerators_kwh, "servers": energy.servers_kwh, "it": energy.it_kwh}.get(part)
    if found is None or energy.facility_kwh is None or energy.it_kwh is None:
        return None
    pue = energy.facility_kwh.value / energy.it_kwh.value if times_pue else 1.0
    return scaled(found, pue / KWH_PER_MWH)


def beside(estimate: tonne.Estimate | None, published: float | None, show: Callable[[float], str]) -> str:
    """The forecast with its interval, what was published, the difference, and whether the interval holds it."""
    if estimate is None:
        return "not forecast"
    text = f"{show(estimate.value):>9} [{show(estimate.low)}, {show(estimate.high)}]"
    if published is None:
        return f"{text:<34} not published"
    inside = "inside" if estimate.low <= published <= estimate.high else "OUTSIDE"
    return f"{text:<34} {show(published):>9}  {estimate.value / published - 1:+7.0%}  {inside}"


def print_run(run: Published, forecast: tonne.Forecast) -> None:
    """Hours always; energy and CO2e at the published boundary, where they were published."""
    account = forecast.account
    print(f"\n{run.model}  ({run.source})")
    print(f"  {'chip-hours':<24}{beside(account.accelerator_hours, run.chip_hours, numbers.short)}")
    energy = energy_at(account.energy, run.boundary)
    if run.energy_mwh is not None:
        print(f"  {'MWh, ' + run.boundary:<24}{beside(energy, run.energy_mwh, numbers.rounded)}")
    whole, carbon = account.energy.facility_kwh, account.carbon.operational_location_kgco2e
    if energy is not None and whole is not None and carbon is not None:
        tonnes = scaled(carbon, energy.value * KWH_PER_MWH / whole.value / KG_PER_T)
        print(f"  {'t CO2e, ' + run.boundary:<24}{beside(tonnes, run.co2e_t, numbers.rounded)}")
    if run.remark:
        print(f"  {'remark':<24}{run.remark}")


def print_whole(forecast: tonne.Forecast) -> None:
    """One line with everything: parameters, training FLOP, MWh, t CO2e and millions of dollars."""
    counts, account = forecast.counts, forecast.account
    energy, carbon, cost = account.energy.facility_kwh, account.carbon.operational_location_kgco2e, account.cost_usd
    if counts is None or energy is None or carbon is None or cost is None:
        return
    print(
        f"  {'whole facility':<24}{numbers.short(counts.parameters)} parameters, {counts.training_flop:.3g} FLOP, "
        f"{numbers.rounded(energy.value / KWH_PER_MWH)} MWh, {numbers.rounded(carbon.value / 1e3)} t CO2e, "
        f"{numbers.rounded(cost.value / 1e6)} million USD"
    )


def main(folder: Path) -> None:
    """Forecast all runs, print them beside what was published, and draw the comparison."""
    hours: list[Comparison] = []
    energies: list[Comparison] = []
    print("forecast [5 %, 95 %]      beside published, difference, and whether the 90 % interval holds it")
    for run in published_runs():
        forecast = tonne.forecast(tonne.TrainingPlan.from_toml(HERE / f"{run.plan}.toml"))
        print_run(run, forecast)
        print_whole(forecast)
        if forecast.account.accelerator_hours is not None:
            held = forecast.account.accelerator_hours
            hours.append(Comparison(run=run.model, forecast=held, published=run.chip_hours))
        energy = energy_at(forecast.account.energy, run.boundary)
        if energy is not None and run.energy_mwh is not None:
            label = f"{run.model} ({run.boundary.replace(' x ', ' × ')})"
            energies.append(Comparison(run=label, forecast=energy, published=run.energy_mwh))
    chart = comparison_chart(
        [("accelerator-hours", hours), ("energy at the published boundary [MWh]", energies)],
        "Training runs: forecast beside published",
    )
    png, svg = save(chart, folder, "published_runs")
    print(f"\nCharts: {png} and {svg}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT)
