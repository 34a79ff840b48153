"""A reconciliation as lines of text: the table, why each figure differs, coverage, and what was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from tonne.estimate import Estimate
from tonne.ledger.records import Run
from tonne.reconcile import Comparison, Coverage, Factor, Reconciliation
from tonne.reconcile.result import ABOVE, BELOW, INSIDE, UNKNOWN
from tonne.reference.own_runs import SPEED, OwnRun
from tonne.report.numbers import (
    ENERGY_KWH,
    HOURS,
    MASS_KG,
    MONEY_USD,
    TIME_S,
    VOLUME_L,
    rounded,
    scale_of,
    value_and_interval,
)
from tonne.report.text import listed

WIDTH = 120
LABEL, FORECAST, MEASURED, RATIO = 17, 36, 15, 22
SHARE = ((1e-2, "%"),)
Units = Sequence[tuple[float, str]]
ROWS: dict[str, tuple[str, Units]] = {
    "duration_s": ("Duration", TIME_S),
    "accelerator_hours": ("  accelerators", HOURS),
    "throughput.step_time_s": ("  a step", TIME_S),
    "throughput.achieved_peak_fraction": ("Utilisation", SHARE),
    "throughput.goodput": ("Goodput", SHARE),
    "energy.facility_kwh": ("Energy", ENERGY_KWH),
    "energy.accelerators_kwh": ("  accelerators", ENERGY_KWH),
    "energy.cpu_kwh": ("  processors", ENERGY_KWH),
    "energy.memory_kwh": ("  memory", ENERGY_KWH),
    "energy.host_rest_kwh": ("  rest of host", ENERGY_KWH),
    "energy.hosts_kwh": ("  hosts", ENERGY_KWH),
    "energy.network_kwh": ("  network", ENERGY_KWH),
    "energy.storage_kwh": ("  storage", ENERGY_KWH),
    "energy.it_kwh": ("  IT", ENERGY_KWH),
    "carbon.operational_location_kgco2e": ("CO2e, grid", MASS_KG),
    "carbon.operational_market_kgco2e": ("CO2e, contract", MASS_KG),
    "carbon.embodied_kgco2e": ("CO2e, embodied", MASS_KG),
    "water_l": ("Water", VOLUME_L),
    "cost_usd": ("Cost", MONEY_USD),
}
EXPLAINED = ("duration_s", "energy.facility_kwh", "carbon.operational_location_kgco2e", "cost_usd")
ENERGIES = tuple(name for name in ROWS if name.startswith("energy."))
WORDS = {
    "tokens": "tokens",
    "steps": "steps",
    "flop_per_token": "FLOP of a token",
    "flop_per_step": "FLOP of a step",
    "flop_per_s": "speed",
    "goodput": "goodput",
    "accelerators": "number of accelerators",
    "it_over_servers": "network and storage",
    "pue": "PUE",
    "grid_gco2e_per_kwh": "grid",
    "market_gco2e_per_kwh": "contract",
    "embodied_gco2e_per_hour": "making",
    "water_l_per_kwh": "water of a kWh",
    "usd_per_hour": "price of an hour",
    "usd_per_kwh": "price of a kWh",
    "s_per_step": "time of a step",
    "servers_w": "power of servers",
    "accelerators_w": "power of accelerators",
    "cpu_w": "power of processors",
}
UNITS = {
    "tokens": "", "steps": "", "flop_per_token": "", "flop_per_step": "", "flop_per_s": "FLOP/s", "goodput": "",
    "accelerators": "", "it_over_servers": "", "pue": "", "grid_gco2e_per_kwh": "g/kWh",
    "market_gco2e_per_kwh": "g/kWh", "embodied_gco2e_per_hour": "g/h", "water_l_per_kwh": "L/kWh",
    "usd_per_hour": "USD/h", "usd_per_kwh": "USD/kWh", "servers_w": "W", "accelerators_w": "W", "cpu_w": "W",
}  # fmt: skip
VERDICTS = {INSIDE: "inside", ABOVE: "ABOVE", BELOW: "BELOW", UNKNOWN: "cannot be said"}
NO_CHANGE = 5e-4  # of a ratio: printed as 1.00 either way


def lines(run: Run, found: Reconciliation) -> list[str]:
    """All of a reconciliation."""
    shown = [one for name in ROWS for one in found.comparisons if one.quantity == name]
    said = [one for one in shown if one.verdict != UNKNOWN]
    text = [f"Reconciliation  {run.name} · {run.status} · {run.id}", ""]
    text.append(_columns("", "forecast, 5 - 95 %", "measured", "ratio, 5 - 95 %", "of the 90 % band"))
    text += [_row(one) for one in said]
    text += ["", *_explanations(shown), "", *_verdict(said)]
    unsaid = [one for one in shown if one.verdict == UNKNOWN]
    for why, same in groupby(unsaid, key=lambda one: one.why):
        text += listed("Cannot be said", [f"{', '.join(_name(one) for one in same)}: {why}"])
    return text + [line for note in found.notes for line in listed("Note", [note])]


def brief_lines(found: Reconciliation) -> list[str]:
    """The main figures of a reconciliation, and why the energy, else the time, differs: for the end of a run."""
    shown = [one for name in EXPLAINED for one in found.comparisons if one.quantity == name]
    said = [one for one in shown if one.verdict != UNKNOWN]
    if not said:
        return []
    head = _columns("", "forecast, 5 - 95 %", "measured", "ratio, 5 - 95 %", "of the 90 % band")
    energy_last = [one for one in said if one.quantity in EXPLAINED[:2]][-1:]
    return [head, *(_row(one) for one in said), *_explanations(energy_last)]


def _columns(label: str, *cells: str) -> str:
    widths = (FORECAST, MEASURED, RATIO)
    padded = "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False))
    return f"  {label:<{LABEL}}{padded}{cells[-1]}".rstrip()


def _name(one: Comparison) -> str:
    label = ROWS[one.quantity][0].strip()
    if one.quantity == "accelerator_hours":
        return "accelerator-hours"
    return f"energy of {label}" if one.quantity in ENERGIES and label != "Energy" else label


def _row(one: Comparison) -> str:
    label, units = ROWS[one.quantity]
    assert one.forecast is not None
    assert one.measured is not None
    value, interval = value_and_interval(one.forecast, units)
    size, unit = scale_of(one.measured.value, units)
    measured = f"{rounded(one.measured.value / size)} {unit}"
    ratio = "" if one.ratio is None else _times(one.ratio)
    edge = "" if one.sure else " (its own interval is not)"
    return _columns(label, f"{value} [{interval}]", measured, ratio, VERDICTS[one.verdict] + edge)


def _times(ratio: Estimate) -> str:
    interval = "" if ratio.is_exact else f" [{ratio.low:.2f} - {ratio.high:.2f}]"
    return f"x{ratio.value:.2f}{interval}"


def _explanations(shown: Sequence[Comparison]) -> Iterator[str]:
    """Why the main figures differ: all factors; of one that follows from another, only the further ones."""
    known: list[tuple[str, ...]] = []
    before = ""
    for one in shown:
        if one.quantity not in EXPLAINED or one.ratio is None:
            continue
        names = [factor.names for factor in one.factors]
        follows = bool(known) and names[: len(known)] == known
        further = one.factors[len(known) :] if follows else one.factors
        parts = [f"{before}'s"] if follows else []
        parts += [_factor(factor) for factor in further]
        label, text = ROWS[one.quantity][0], " · ".join(parts)
        yield from _wrapped(f"{label} x{one.ratio.value:.2f} =", text)
        if one.quantity == "energy.facility_kwh":
            known, before = names, label


def _factor(factor: Factor) -> str:
    *others, last = [_word(part) for part in factor.names]
    name = f"{', '.join(others)} and {last} together" if others else last
    if abs(factor.ratio.value - 1.0) < NO_CHANGE and factor.ratio.is_exact:
        return f"{name} x1"
    text = f"{name} {_times(factor.ratio)}"
    if factor.forecast is None or factor.measured is None:
        return text
    unit = UNITS.get(factor.names[0], "W" if factor.names[0].endswith("_w") else "")
    numbers = f"{rounded(factor.forecast.value)} -> {rounded(factor.measured.value)} {unit}".rstrip()
    return f"{text} ({numbers})"


def _word(name: str) -> str:
    return WORDS.get(name) or f"power of {name.removesuffix('_w').replace('_', ' ')}"


def _wrapped(label: str, text: str) -> list[str]:
    return [f"  {line}" for line in wrap(f"{label} {text}", WIDTH - 4, subsequent_indent="    ")]


def _verdict(said: Sequence[Comparison]) -> list[str]:
    outside = [f"{_name(one)} {one.verdict}" for one in said if one.verdict != INSIDE]
    count = f"{len(said) - len(outside)} of {len(said)} figures are inside their 90 % band"
    return wrap(f"Verdict: {count}{'; ' + ', '.join(outside) if outside else ''}.", WIDTH, subsequent_indent="  ")


def coverage_lines(coverage: Sequence[Coverage]) -> list[str]:
    """How often forecasts held."""
    if not coverage:
        return []
    text = ["", "Forecasts so far, of finished runs that were forecast before they began:"]
    for one in coverage:
        outside = ", ".join(f"{n} {word}" for word, n in ((ABOVE, one.above), (BELOW, one.below)) if n)
        text.append(
            f"  {ROWS[one.quantity][0].strip():<{LABEL}}{one.inside} of {one.runs} inside their 90 % band: "
            f"{one.share:.0%} [{one.low:.0%} - {one.high:.0%}]" + (f"; {outside}" if outside else "")
        )
    return text


def kept_lines(rows: Sequence[OwnRun], reasons: Sequence[str], file: str | None) -> list[str]:
    """What was learnt of the run, where it lies and how it is undone; or why nothing was."""
    text = [""]
    if rows:
        accelerator, framework, precision, kind = rows[0].stack
        text += listed(
            "Calibration",
            [
                f"forecasts of {kind} in {precision} on {accelerator}, {_named(framework)}, use this run from now on: "
                f"{'; '.join(_learnt(row) for row in rows)}",
                f"kept in {file}; `tonne calibration delete {rows[0].run}` takes it out",
            ],
        )
    if reasons:
        text += listed("Calibration" if not rows else "Not kept", list(reasons if rows else ["nothing kept", *reasons]))
    return text


def _named(framework: str) -> str:
    return "framework unknown" if framework == "unknown" else framework


def _learnt(row: OwnRun) -> str:
    if row.quantity == SPEED:
        return f"{row.measured:.1%} of the peak, modelled {row.modelled:.1%}"
    return f"{row.quantity.removesuffix('_power_w')} {row.measured:,.0f} W, modelled {row.modelled:,.0f} W"


def calibration_lines(rows: Sequence[OwnRun]) -> list[str]:
    """The calibration file as a table: a line a run."""
    text = []
    for run, own in groupby(rows, key=lambda row: row.run):
        members = list(own)
        accelerator, framework, precision, kind = members[0].stack
        stack = f"{members[0].accelerators} x {accelerator} · {framework} · {precision} · {kind}"
        old = "" if members[0].is_current else f" · not used: of data {members[0].data_version}, reconcile it again"
        text += [f"{run}  {members[0].made}  {stack}{old}", *(f"    {_learnt(row)}" for row in members)]
    return text
