"""A forecast as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.forecasting import Forecast
from tonne.report import numbers
from tonne.report.levers import Lever, levers
from tonne.report.numbers import count_text, rounded, scale_of, short, value_and_interval

WIDTH = 120
LABEL, VALUE, INTERVAL = 17, 16, 30
OUTPUTS_OF = {  # names under which the uncertainty budget may list an output
    "duration": ("duration_s", "accelerator_hours"),
    "energy": ("facility_kwh", "energy.facility_kwh"),
    "location": ("operational_location_kgco2e", "carbon.operational_location_kgco2e"),
    "market": ("operational_market_kgco2e", "carbon.operational_market_kgco2e"),
    "embodied": ("embodied_kgco2e", "carbon.embodied_kgco2e"),
    "water": ("water_l",),
    "cost": ("cost_usd",),
}
ALWAYS_OUT = "failed runs and sweeps (--overhead 1.5 adds them)"


def lines(forecast: Forecast, *, with_levers: bool = True) -> list[str]:
    """The whole answer: header, outputs, levers, what is left out, notes."""
    found = levers(forecast) if with_levers else ()
    text = [*header(forecast), "", _row("", "value", "5 - 95 %", "main driver of spread"), *rows(forecast)]
    text += ["", *_listed("Levers", [_lever_text(lever) for lever in found])] if found else [""]
    text += _listed("Not included", _left_out(forecast.account))
    text += [line for note in forecast.notes for line in _listed("Note", [note])]
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
    how_many = f"{plan.cluster.accelerators:,} x " if plan.cluster.accelerators else ""
    parts += [f"{how_many}{plan.cluster.record.id}", plan.training.precision]
    yield " · ".join(parts)
    yield f"          data {forecast.account.data_version} · offline"


def rows(forecast: Forecast) -> Iterator[str]:
    """One line per output."""
    a = forecast.account
    if a.duration_s is not None:
        yield _output(a, "Duration", a.duration_s, numbers.TIME_S, "duration")
    if a.accelerator_hours is not None:
        yield _output(a, "  accelerators", a.accelerator_hours, numbers.HOURS, "duration")
    yield _output(a, "Energy", a.energy.facility_kwh, numbers.ENERGY_KWH, "energy", inside=_energy_parts(a, forecast))
    yield _output(
        a, "CO2e, grid", a.carbon.operational_location_kgco2e, numbers.MASS_KG, "location", none="no place given"
    )
    if a.carbon.operational_market_kgco2e is not None:
        yield _output(a, "CO2e, market", a.carbon.operational_market_kgco2e, numbers.MASS_KG, "market")
    yield _output(a, "CO2e, embodied", a.carbon.embodied_kgco2e, numbers.MASS_KG, "embodied", none="no factor known")
    yield _output(a, "Water", a.water_l, numbers.VOLUME_L, "water", none="a water factor is missing")
    yield _output(a, "Cost", a.cost_usd, numbers.MONEY_USD, "cost", none="no price given")
    if forecast.counts is not None:
        flop = getattr(forecast.counts, "training_flop", None)
        if flop:
            yield _row("Compute", f"{rounded(float(flop), 3)} FLOP", "exact", "model FLOP; by causal or full mask")
    if a.development is not None:
        yield _output(a, "With development", a.development.facility_kwh, numbers.ENERGY_KWH, "energy")


def _output(
    account: Account,
    label: str,
    estimate: Estimate | None,
    units: Sequence[tuple[float, str]],
    output: str,
    *,
    inside: str = "",
    none: str = "",
) -> str:
    if estimate is None:
        return _row(label, "unknown" + (f": {none}" if none else ""), "", "")
    value, interval = value_and_interval(estimate, units)
    remarks = [text for text in (_driver(account, output), inside) if text]
    return _row(label, value, interval, "; ".join(remarks))


def _driver(account: Account, output: str) -> str:
    """The input that brings most of the spread, with its share."""
    for name in OUTPUTS_OF[output]:
        shares = account.uncertainty.get(name)
        if shares:
            largest = max(shares, key=lambda key: shares[key])
            return f"{largest.replace('_', ' ')} {shares[largest]:.0%}"
    return ""


def _energy_parts(account: Account, forecast: Forecast) -> str:
    """What the facility's energy is made of, in its unit."""
    energy = account.energy
    if energy.facility_kwh is None:
        return ""
    size, unit = scale_of(energy.facility_kwh.value, numbers.ENERGY_KWH)
    parts = [("IT", energy.it_kwh), ("accelerators", energy.accelerators_kwh)]
    texts = [f"{name} {rounded(e.value / size, 2)}" for name, e in parts if e is not None]
    if energy.it_kwh is not None and energy.it_kwh.value:
        texts.append(f"PUE {energy.facility_kwh.value / energy.it_kwh.value:.2f}")
    return f"facility; {', '.join(texts)} [{unit}]"


def _left_out(account: Account) -> list[str]:
    development = [ALWAYS_OUT] if account.development is None else []
    return [*(part.removesuffix("_kwh").replace("_", " ") for part in account.energy.left_out), *development]


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


def _listed(label: str, items: Sequence[str]) -> list[str]:
    """Items after a label, wrapped and indented below it."""
    if not items:
        return []
    indent = " " * (LABEL + 2)
    text = wrap(" · ".join(items), WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    return [f"  {label:<{LABEL}}{text[0]}", *(indent + line for line in text[1:])]


def explanation_lines(steps: Sequence[dict[str, object]]) -> list[str]:
    """Each number with its equation, inputs and sources."""
    text: list[str] = []
    for step in steps:
        inputs, sources = step.get("inputs"), step.get("sources")
        text.append(f"{step['output']} = {_plain_value(step.get('value'))} {step.get('unit') or ''}".rstrip())
        text.append(f"    {step.get('equation')}")
        if isinstance(inputs, dict):
            text += [f"    {name} = {_plain_value(value)}" for name, value in inputs.items()]
        elif inputs:
            text.append(f"    inputs: {_joined(inputs)}")
        if sources:
            text.append(f"    sources: {_joined(sources)}")
    return text


def _plain_value(value: object) -> str:
    if isinstance(value, Estimate):
        return f"{rounded(value.value, 4)} [{rounded(value.low, 3)}, {rounded(value.high, 3)}], {value.basis.value}"
    if isinstance(value, dict) and "value" in value:
        return f"{rounded(value['value'], 4)} [{rounded(value['low'], 3)}, {rounded(value['high'], 3)}]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return rounded(float(value), 4)
    return "unknown" if value is None else str(value)


def _joined(items: object) -> str:
    return "; ".join(str(item) for item in items) if isinstance(items, list | tuple) else str(items)
