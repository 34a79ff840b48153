"""Runs of the ledger as text: a list, one run, and sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.ledger.records import FORECAST, Run
from tonne.ledger.rows import Row, Totals
from tonne.report.labels import listed as with_label
from tonne.report.measured_line import between
from tonne.report.measured_text import account_lines
from tonne.report.numbers import ENERGY_KWH, HOURS, MASS_KG, MONEY_USD, TIME_S, VOLUME_L, WORK_FLOP, short

if TYPE_CHECKING:
    from tonne.measure.progress import Expected

MOST_WIDE = {"id": 44, "name": 24, "purpose": 20, "project": 20}
BEGUN = "begun (UTC)"
NOBODY_SAID = "(not said)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One run, and the account of it that is shown: all of it, a view, or a window."""

    run: Run
    account: Account | None
    view: str = "node"
    folder: str | None = None
    windows: Mapping[str, int] = field(default_factory=dict)
    expected: Expected | None = None


def list_lines(rows: Sequence[Row]) -> list[str]:
    """Runs as a table; columns that say nothing of any run are left out."""
    cells = [_cells(row) for row in rows]
    names = [name for name in _cells(rows[0]) if any(one[name] for one in cells)]
    widths = {name: max(len(name), *(len(one[name]) for one in cells)) for name in names}
    right = {"lasted", "energy", "CO2e"}

    def line(values: Mapping[str, str]) -> str:
        put = [f"{values[n]:>{widths[n]}}" if n in right else f"{values[n]:<{widths[n]}}" for n in names]
        return "  ".join(put).rstrip()

    return [line({name: name for name in names}), *map(line, cells)]


def _cells(row: Row) -> dict[str, str]:
    return {
        "id": row.id,
        "name": row.name[: MOST_WIDE["name"]],
        "status": row.status,
        BEGUN: _day(row.begun_unix_s),
        "lasted": "" if row.duration_s is None else short(row.duration_s, TIME_S),
        "energy": "" if row.facility_kwh is None else short(row.facility_kwh, ENERGY_KWH),
        "CO2e": "" if row.operational_location_kgco2e is None else short(row.operational_location_kgco2e, MASS_KG),
        "purpose": row.purpose or "",
        "project": (row.project or "")[: MOST_WIDE["project"]],
        "tags": " ".join(row.tags),
    }


def _day(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M") if unix_s else ""


def run_lines(shown: Shown) -> list[str]:
    """All that is worth a line of one run."""
    run = shown.run
    title = {"node": "", "job": " · this job's share", "others": " · without this job's share"}[shown.view]
    lines = [f"Run  {run.name} · {run.status} · {run.id}{title}", ""]
    said = [run.purpose, run.project, *run.tags]
    lines += with_label("Said of it", [word for word in said if word])
    if run.begun_unix_s:
        lines += with_label("Begun", [f"{_day(run.begun_unix_s)} UTC"])
    account = ["  No account of it is known yet."] if shown.account is None else account_lines(shown.account)
    if run.kind == FORECAST:  # a part of it that nobody models is no loss
        account = [line for line in account if not (line.startswith("    ") and line.endswith("unknown"))]
    lines += [*account, "", *_work_lines(run)]
    if run.forecast is not None:
        lines += _forecast_lines(run.forecast)
    if shown.windows:
        lines += with_label("Windows", [f"{name} x {count}" for name, count in shown.windows.items()])
    lines += with_label("Links", [f"{link.kind} {link.to}" for link in run.links])
    account_notes = () if shown.account is None else shown.account.notes
    if shown.account is not None:
        lines += with_label("Not included", list(shown.account.energy.left_out))
    return lines + [line for note in dict.fromkeys([*account_notes, *run.notes]) for line in with_label("Note", [note])]


def _work_lines(run: Run) -> list[str]:
    work = run.work
    told = [
        None if work.parameters is None else f"{short(work.parameters)} parameters",
        None if work.tokens is None else f"{short(work.tokens)} tokens",
        None if work.steps is None else f"{work.steps} steps",
        None if work.training_flop is None else short(work.training_flop, WORK_FLOP),
        None if work.loss is None else f"loss {work.loss:.4g}",
        None if work.held_out_loss is None else f"held out {work.held_out_loss:.4g}",
        *(f"{name} {value:.4g}" for name, value in work.metrics.items()),
    ]
    return with_label("Forecast of" if run.kind == FORECAST else "Worked", [one for one in told if one])


def _forecast_lines(forecast: Account) -> list[str]:
    """What was forecast before the run."""
    told = []
    if forecast.duration_s is not None:
        told.append(between(forecast.duration_s, TIME_S))
    if forecast.energy.facility_kwh is not None:
        told.append(between(forecast.energy.facility_kwh, ENERGY_KWH))
    if forecast.carbon.operational_location_kgco2e is not None:
        told.append(f"{between(forecast.carbon.operational_location_kgco2e, MASS_KG)} CO2e")
    return with_label("Was forecast", told)


def totals_lines(whole: Totals, groups: Mapping[str | None, Totals]) -> list[str]:
    """Sums over runs, and over groups of them."""
    lines = [f"{whole.runs} {'run' if whole.runs == 1 else 'runs'}", ""]
    for label, name, units in QUANTITIES:
        value: Estimate | None = getattr(whole, name)
        unknown = whole.unknown.get(name, 0)
        told = "unknown" if value is None else between(value, units)
        without = (
            f"   without {unknown} {'run' if unknown == 1 else 'runs'} of which it is unknown"
            if unknown and value is not None
            else ""
        )
        lines.append(f"  {label:<20}{told}{without}".rstrip())
    lines += _again_lines(whole)
    if groups:
        lines += ["", *_group_lines(groups)]
    return lines


def _again_lines(whole: Totals) -> list[str]:
    """What the sums hold more than once, and what is left without it."""
    if not whole.side_by_side:
        return []
    lines = [
        "",
        f"  {whole.side_by_side} runs went on side by side on one machine. Each counts all that the machine drew, so "
        "that these sums hold about so much more than once:",
    ]
    for label, name, units in QUANTITIES:
        value, again = getattr(whole, name), whole.counted_again.get(name)
        if value is not None and again:
            left = f"{short(value.value - again, units)} without it"
            lines.append(f"    {label:<18}{short(again, units)}   {left}")
    return [*lines, "  A run's own share: tonne runs show ID --view job"]


QUANTITIES = (
    ("Time, added up", "duration_s", TIME_S),
    ("Accelerators", "accelerator_hours", HOURS),
    ("Energy", "facility_kwh", ENERGY_KWH),
    ("CO2e, grid", "operational_location_kgco2e", MASS_KG),
    ("CO2e, embodied", "embodied_kgco2e", MASS_KG),
    ("Water", "water_l", VOLUME_L),
    ("Cost", "cost_usd", MONEY_USD),
)


def _group_lines(groups: Mapping[str | None, Totals]) -> list[str]:
    width = max(len(key or NOBODY_SAID) for key in groups)
    has_shared = any(one.side_by_side for one in groups.values())
    again_head = f"  {'of it more than once':>20}" if has_shared else ""
    lines = [f"  {'':<{width}}  {'runs':>7}  {'energy':>10}{again_head}  {'CO2e':>10}"]
    for key, one in groups.items():
        energy, carbon = one.facility_kwh, one.operational_location_kgco2e
        told = "unknown" if energy is None else short(energy.value, ENERGY_KWH)
        grams = "unknown" if carbon is None else short(carbon.value, MASS_KG)
        again = one.counted_again.get("facility_kwh")
        more = f"  {'' if not again else f'about {short(again, ENERGY_KWH)}':>20}" if has_shared else ""
        lines.append(f"  {key or NOBODY_SAID:<{width}}  {one.runs:>7}  {told:>10}{more}  {grams:>10}")
    return lines
