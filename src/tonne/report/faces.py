"""What a result shows of itself: a title, rows of quantities with interval and basis, notes. No markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.forecasting import Forecast
from tonne.ledger.records import FORECAST, Run
from tonne.report import numbers
from tonne.report.numbers import rounded, short, value_and_interval
from tonne.report.text import INPUT_WORDS, WHY_UNKNOWN, header

Units = Sequence[tuple[float, str]]
RATE = ((1e6, "M tokens/s"), (1e3, "k tokens/s"), (1.0, "tokens/s"))
ENERGY, EMBODIED = "energy.facility_kwh", "carbon.embodied_kgco2e"
QUANTITIES: dict[str, tuple[str, Units]] = {
    "duration_s": ("Duration", numbers.TIME_S),
    "accelerator_hours": ("Accelerator-hours", numbers.HOURS),
    "throughput.tokens_per_s": ("Speed", RATE),
    ENERGY: ("Energy, facility", numbers.ENERGY_KWH),
    "energy.it_kwh": ("of it IT", numbers.ENERGY_KWH),
    "energy.accelerators_kwh": ("of it accelerators", numbers.ENERGY_KWH),
    "carbon.operational_location_kgco2e": ("CO2e, grid", numbers.MASS_KG),
    "carbon.operational_market_kgco2e": ("CO2e, market", numbers.MASS_KG),
    EMBODIED: ("CO2e, embodied", numbers.MASS_KG),
    "water_l": ("Water", numbers.VOLUME_L),
    "cost_usd": ("Cost", numbers.MONEY_USD),
}
OPTIONAL = {"throughput.tokens_per_s", "energy.accelerators_kwh", "carbon.operational_market_kgco2e"}
WORDS = {**INPUT_WORDS, "servers_kwh": "energy of servers"}
REST_ON_ENERGY = {"energy.it_kwh", "carbon.operational_location_kgco2e", "water_l"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRow:
    """One quantity. ``why`` says why it is unknown, where there is no value; ``forecast`` what was forecast of it."""

    label: str
    value: str = ""
    interval: str = ""
    basis: str = ""
    driver: str = ""
    why: str = ""
    forecast: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What is shown of a result."""

    title: str
    subtitle: str
    rows: tuple[FaceRow, ...]
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Field and heading of the columns that have anything to say."""
        named = (("value", "value"), ("interval", "5 - 95 %"), ("basis", "basis"), ("driver", "main driver of spread"))
        told = any(row.forecast for row in self.rows)
        return (*named, ("forecast", "forecast")) if told else named


def face_of(result: Account | Forecast | Run) -> Face:
    """What a result shows."""
    if isinstance(result, Forecast):
        return _of_forecast(result)
    if isinstance(result, Run):
        return _of_run(result)
    return Face(title="Account", subtitle=_tables(result), rows=tuple(_rows(result)), notes=_notes(result))


def _of_forecast(made: Forecast) -> Face:
    title, _ = header(made)
    rows = [*_rows(made.account), *_work(made)]
    notes = tuple(dict.fromkeys((*_notes(made.account), *made.notes)))
    return Face(title=" ".join(title.split()), subtitle=_tables(made.account), rows=tuple(rows), notes=notes)


def _of_run(run: Run) -> Face:
    parts = [run.kind if run.kind == FORECAST else f"{run.kind}, {run.status}", run.id, _when(run.begun_unix_s)]
    parts += [text for text in (run.purpose, run.project, ", ".join(run.tags)) if text]
    facts = {
        "Tokens seen": (run.work.tokens, numbers.COUNT),
        "Loss": (run.work.loss, ((1.0, ""),)),
        "Loss, held out": (run.work.held_out_loss, ((1.0, ""),)),
    }
    told = [FaceRow(label=k, value=short(v, units, 4), interval="exact") for k, (v, units) in facts.items() if v]
    if run.account is None:
        return Face(
            title=f"Run {run.name}", subtitle=" · ".join(parts), rows=tuple(told), notes=("no account yet.", *run.notes)
        )
    rows = [*_rows(run.account, run.forecast), *told]
    notes = tuple(dict.fromkeys((*_notes(run.account), *run.notes)))
    return Face(title=f"Run {run.name}", subtitle=" · ".join(parts), rows=tuple(rows), notes=notes)


def _rows(account: Account, foretold: Account | None = None) -> Iterator[FaceRow]:
    for path, (label, units) in QUANTITIES.items():
        estimate, before = _at(account, path), None if foretold is None else _at(foretold, path)
        forecast = "" if before is None else _with_interval(before, units)
        if estimate is not None:
            value, interval = value_and_interval(estimate, units)
            driver = _driver(account.uncertainty, path)
            basis = estimate.basis.value
            yield FaceRow(label=label, value=value, interval=interval, basis=basis, driver=driver, forecast=forecast)
        elif path not in OPTIONAL or before is not None:
            yield FaceRow(label=label, why=_why(account, path), forecast=forecast)


def _work(made: Forecast) -> Iterator[FaceRow]:
    """What is counted: exact FLOP, and the memory of an accelerator."""
    if made.counts is not None:
        flop = f"{rounded(float(made.counts.training_flop), 3)} FLOP"
        yield FaceRow(label="Compute", value=flop, interval="exact")
    if made.memory is not None and made.memory.needed is not None:
        value, interval = value_and_interval(made.memory.needed, numbers.SIZE_BYTES)
        yield FaceRow(label="Memory", value=value, interval=interval, basis=made.memory.needed.basis.value)


def _why(account: Account, path: str) -> str:
    if path in REST_ON_ENERGY and account.energy.facility_kwh is None:
        return "its energy is unknown"
    if path == EMBODIED and account.accelerator_hours is not None and account.accelerator_hours.value == 0:
        return "no accelerator was used, and that of servers is not counted alone"
    return WHY_UNKNOWN.get(path, "see the notes")


def _driver(uncertainty: Mapping[str, Mapping[str, float]], path: str) -> str:
    shares = uncertainty.get(path) or uncertainty.get(path.removeprefix("energy."))
    if not shares:
        return ""
    largest = max(shares, key=lambda name: shares[name])
    return f"{WORDS.get(largest, largest.replace('_', ' '))} {shares[largest]:.0%}"


def _with_interval(estimate: Estimate, units: Units) -> str:
    value, interval = value_and_interval(estimate, units)
    return value if estimate.is_exact else f"{value} ({interval})"


def _notes(account: Account) -> tuple[str, ...]:
    left_out = [part.removesuffix("_kwh").replace("_", " ") for part in account.energy.left_out]
    return (*((f"not included: {', '.join(left_out)}.",) if left_out else ()), *account.notes)


def _tables(account: Account) -> str:
    return f"data {account.data_version} · 90 % intervals"


def _when(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _at(account: Account, path: str) -> Estimate | None:
    found: object = account
    for part in path.split("."):
        found = getattr(found, part)
    return found if isinstance(found, Estimate) else None
