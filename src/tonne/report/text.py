"""A forecast as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tonne.account import Account
from tonne.count.memory import Memory
from tonne.estimate import Estimate
from tonne.forecasting import Forecast
from tonne.forecasting.modification import Modification, standing
from tonne.forecasting.searches import layout_text
from tonne.reference.calibration import Calibration
from tonne.report import numbers
from tonne.report.labels import LABEL, listed
from tonne.report.levers import Lever, levers
from tonne.report.numbers import count_text, rounded, scale_of, short, value_and_interval

__all__ = ["INPUT_WORDS", "LABEL", "VALUE", "WHY_UNKNOWN", "explanation_lines", "lines", "listed"]

VALUE, INTERVAL = 16, 30
WHY_UNKNOWN = {
    "carbon.operational_location_kgco2e": "no place given",
    "carbon.embodied_kgco2e": "no factor for this accelerator",
    "water_l": "a water factor is missing",
    "cost_usd": "no price given",
}
INPUT_WORDS = {
    "achieved_peak_fraction": "utilisation",
    "accelerator_power_w": "accelerator power",
    "host_power_w": "host power",
    "network_power_w": "network power",
    "server_power_w": "server power",
    "pue": "PUE",
    "grid_gco2e_per_kwh": "grid intensity",
    "market_gco2e_per_kwh": "market intensity",
    "embodied_card_kgco2e": "making of the card",
    "embodied_host_kgco2e": "making of the server",
    "lifetime_years": "years in service",
    "lifetime_use": "use over its life",
    "lost_time_power_fraction": "power in lost time",
    "cap_slow_down_error": "model of the cap",
    "usd_per_kwh": "price",
    "usd_per_accelerator_hour": "price",
    "wue_l_per_kwh": "water on site",
    "grid_wue_l_per_kwh": "water at power plants",
}


SHARE = ((1e-2, "%"),)
UNITS = {"kwh": "kWh", "kgco2e": "kg CO2e", "l": "L", "usd": "USD", "hours": "h"}


def lines(forecast: Forecast, calibration: Calibration | None = None, *, with_levers: bool = True) -> list[str]:
    """The whole answer: header, outputs, levers by the calibration of the forecast, what is left out, notes."""
    found = levers(forecast, calibration) if with_levers else ()
    text = [*header(forecast), "", _row("", "value", "5 - 95 %", "main driver of spread"), *rows(forecast)]
    text += ["", *listed("Levers", [_lever_text(lever) for lever in found])] if found else [""]
    text += listed("Not included", _left_out(forecast.account))
    text += [line for note in forecast.notes for line in listed("Note", [note])]
    return text


def header(forecast: Forecast) -> Iterator[str]:
    """What is forecast, in two lines."""
    plan, counts = forecast.plan, forecast.counts
    parts = [f"Forecast  {plan.name}"]
    if counts is not None:
        active = getattr(counts, "active_parameters", counts.parameters)
        mixture = f" ({short(active)} active)" if active != counts.parameters else ""
        parts.append(f"{short(counts.parameters)} parameters{mixture}")
    if plan.data is not None:
        parts.append(f"{count_text(plan.data.tokens)} tokens")
    if plan.workload is not None:
        parts.append(f"{count_text(plan.workload.examples)} examples")
    how_many = f"{plan.cluster.accelerators:,} x " if plan.cluster.accelerators else ""
    parts += [f"{how_many}{plan.cluster.record.id}", plan.training.precision]
    yield " · ".join(parts)
    yield f"          data {forecast.account.data_version} · offline"


def rows(forecast: Forecast) -> Iterator[str]:
    """One line per output."""
    yield from _output_rows(forecast)
    if forecast.counts is not None:
        flop = float(forecast.counts.training_flop)
        remark = "model FLOP, under the true mask" if forecast.plan.workload is None else "executed FLOP of the module"
        yield _row("Compute", f"{rounded(flop, 3)} FLOP", "exact", remark)
        yield from _trainable_row(forecast.counts)
    if forecast.layout is not None:
        yield f"  {'Layout':<{LABEL}}{layout_text(forecast.layout.chosen)}"
    yield from _memory_row(forecast.memory)
    if forecast.modification is not None:
        yield from _modification_rows(forecast.modification)


def _memory_row(memory: Memory | None) -> Iterator[str]:
    """What the fullest accelerator needs, and whether it fits."""
    if memory is None or memory.needed is None:
        return
    value, interval = value_and_interval(memory.needed, numbers.SIZE_BYTES)
    remark = ""
    if memory.capacity_bytes is not None and memory.fit_probability is not None:
        share = min(max(memory.fit_probability, 0.01), 0.99)
        sign = "" if share == memory.fit_probability else "> " if share > 0.5 else "< "
        usable = short(memory.capacity_bytes, numbers.SIZE_BYTES)
        remark = f"an accelerator, of {usable} usable; fits with {sign}{share:.0%}"
    yield _row("Memory", value, interval, remark)


def _trainable_row(counts: object) -> Iterator[str]:
    """The numbers that learn, where not all do."""
    whole, learned = getattr(counts, "parameters", 0), getattr(counts, "trainable_parameters", None)
    if learned is not None and learned != whole:
        yield _row("Learns", f"{short(learned)} numbers", "exact", f"{short(learned / whole, SHARE)} of the model's")


def _modification_rows(found: Modification) -> Iterator[str]:
    """The share of the original's compute, and the threshold at which the EU sees a new model's provider."""
    if found.share is not None and found.original_training_flop is not None:
        value, interval = value_and_interval(found.share, SHARE)
        yield _row("Of the original", value, interval, f"of its {rounded(found.original_training_flop.value, 3)} FLOP")
    words = {"below": "below it", "above": "above it", "straddles": "the interval straddles it"}
    limit, basis = found.threshold_flop.value, "one third of the original's compute"
    if found.share is None:
        basis = f"one third of {3 * limit:.0e} FLOP, as the original's is unknown".replace("e+", "e")
    yield _row("EU threshold", f"{rounded(limit, 2)} FLOP", words[standing(found)], f"{basis} (guidelines of 2025)")


def _output_rows(forecast: Forecast) -> Iterator[str]:
    a = forecast.account
    carbon, development = a.carbon, a.development
    if a.duration_s is not None:
        yield _output(a, "duration_s", "Duration", a.duration_s, numbers.TIME_S)
    yield _output(a, "accelerator_hours", "  accelerators", a.accelerator_hours, numbers.HOURS)
    energy_row = _output(a, "energy.facility_kwh", "Energy", a.energy.facility_kwh, numbers.ENERGY_KWH)
    yield "; ".join([energy_row, *_energy_parts(a)])
    yield _output(
        a, "carbon.operational_location_kgco2e", "CO2e, grid", carbon.operational_location_kgco2e, numbers.MASS_KG
    ) + _grid_text(forecast)
    if carbon.operational_market_kgco2e is not None:
        market = carbon.operational_market_kgco2e
        yield _output(a, "carbon.operational_market_kgco2e", "CO2e, market", market, numbers.MASS_KG)
    yield _output(a, "carbon.embodied_kgco2e", "CO2e, embodied", carbon.embodied_kgco2e, numbers.MASS_KG)
    yield _output(a, "water_l", "Water", a.water_l, numbers.VOLUME_L)
    yield _output(a, "cost_usd", "Cost", a.cost_usd, numbers.MONEY_USD)
    if development is not None:
        project = development.facility_kwh
        yield _output(a, "development.facility_kwh", "Whole project", project, numbers.ENERGY_KWH)


def _output(
    account: Account, path: str, label: str, estimate: Estimate | None, units: Sequence[tuple[float, str]]
) -> str:
    if estimate is None:
        why = WHY_UNKNOWN.get(path)
        return _row(label, f"unknown: {why}" if why else "unknown", "", "")
    value, interval = value_and_interval(estimate, units)
    return _row(label, value, interval, _driver(account, path))


def _grid_text(forecast: Forecast) -> str:
    """The intensity that was used, with its basis."""
    intensity = forecast.inputs.get("grid_gco2e_per_kwh")
    if intensity is None or forecast.account.carbon.operational_location_kgco2e is None:
        return ""
    text = f"; {rounded(intensity.value)} g/kWh"
    if forecast.plan.site.grid_gco2e_per_kwh is not None:
        return f"{text} as given"
    gas, accounting, year = intensity.sources[0].rsplit(", ", 3)[1:]  # of the factor used, not of what was asked for
    return f"{text} {gas}, {accounting}, {year}"


def _driver(account: Account, path: str) -> str:
    """The input that brings most of the spread, with its share."""
    shares = account.uncertainty.get(path)
    if not shares:
        return "no spread"
    largest = max(shares, key=lambda key: shares[key])
    return f"{INPUT_WORDS.get(largest, largest.replace('_', ' '))} {shares[largest]:.0%}"


def _energy_parts(account: Account) -> Iterator[str]:
    """What the facility's energy is made of, in its unit."""
    energy = account.energy
    if energy.facility_kwh is None:
        return
    size, _ = scale_of(energy.facility_kwh.value, numbers.ENERGY_KWH)
    parts = [("IT", energy.it_kwh), ("accelerators", energy.accelerators_kwh)]
    texts = [f"{name} {rounded(e.value / size, 2)}" for name, e in parts if e is not None]
    if energy.it_kwh is not None and energy.it_kwh.value:
        texts.append(f"PUE {energy.facility_kwh.value / energy.it_kwh.value:.2f}")
    yield f"facility; {', '.join(texts)}"


def _left_out(account: Account) -> list[str]:
    return [part.removesuffix("_kwh").replace("_", " ") for part in account.energy.left_out]


def _lever_text(lever: Lever) -> str:
    parts = [lever.name]
    if lever.carbon_change is not None and lever.saved_kgco2e is not None:
        parts.append(f"{lever.carbon_change:+.0%} CO2e ({short(-lever.saved_kgco2e, numbers.MASS_KG, 2)})")
    if lever.energy_change is not None and abs(lever.energy_change) >= 0.005:
        parts.append(f"{lever.energy_change:+.0%} energy")
    if lever.duration_change is not None and abs(lever.duration_change) >= 0.005:
        parts.append(f"{lever.duration_change:+.0%} time")
    return "  ".join(parts)


def _row(label: str, value: str, interval: str, remark: str) -> str:
    if value.startswith("unknown"):
        return f"  {label:<{LABEL}}{value}"
    return f"  {label:<{LABEL}}{value:<{VALUE}}{interval:<{INTERVAL}}{remark}".rstrip()


def explanation_lines(steps: Sequence[dict[str, object]]) -> list[str]:
    """Each number with its equation, inputs and sources."""
    text: list[str] = []
    for step in steps:
        inputs, sources = step.get("inputs"), step.get("sources")
        text.append(f"{step['output']} = {_with_interval(step)} {UNITS.get(str(step.get('unit')), step.get('unit'))}")
        text.append(f"    {step.get('equation')}")
        if isinstance(inputs, dict):
            text += [f"    {name} = {_plain_value(value)}" for name, value in inputs.items()]
        elif inputs:
            text.append(f"    inputs: {_joined(inputs)}")
        if sources:
            text.append(f"    sources: {_joined(sources)}")
    return text


def _with_interval(step: dict[str, object]) -> str:
    """The value of a step with its interval, where it has one."""
    value, low, high = step.get("value"), step.get("low"), step.get("high")
    if low is None or low == high:
        return _plain_value(value)
    return f"{_plain_value(value)} [{_plain_value(low)}, {_plain_value(high)}]"


def _plain_value(value: object) -> str:
    if isinstance(value, Estimate):
        interval = "" if value.is_exact else f" [{rounded(value.low, 3)}, {rounded(value.high, 3)}]"
        return f"{rounded(value.value, 4)}{interval}, {value.basis.value}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return rounded(float(value), 4)
    return "unknown" if value is None else str(value)


def _joined(items: object) -> str:
    return "; ".join(str(item) for item in items) if isinstance(items, list | tuple) else str(items)
