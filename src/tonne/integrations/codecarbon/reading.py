"""CodeCarbon's CSV files as accounts, with what the file leaves open said."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tonne.account import Account, Carbon, Throughput
from tonne.describe.site import Site
from tonne.documents import plain
from tonne.energy.use import EnergyUse
from tonne.errors import MeasurementError, UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate
from tonne.impact.place import factors_of
from tonne.measure.identity import slug
from tonne.reference import DATA_VERSION
from tonne.reference.grids import grid
from tonne.reference.measuring import measuring_constant
from tonne.units import SECONDS_PER_HOUR

NEEDED = ("timestamp", "duration", "emissions", "energy_consumed")
LEFT_OUT = ("host_rest", "network", "storage")
G_PER_KG = 1000.0
Cells = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One run of a CodeCarbon file."""

    id: str
    name: str
    status: str
    begun: str  # local time of the machine that wrote it: the file has no zone
    ended: str
    account: Account
    site: Mapping[str, Any] | None = None  # the place that its factors are of
    hardware: Mapping[str, int] = field(default_factory=dict)  # accelerators, where the row names one kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All runs of a file, and what is to be said of it."""

    runs: tuple[Imported, ...]
    notes: tuple[str, ...]


def read_codecarbon(path: str | Path, site: Site | None = None) -> Reading:
    """The runs of a CodeCarbon CSV file of any version; of several rows of one run the last, which holds the others.

    Args:
        path: Of the file.
        site: Where they ran, in place of what the file says.

    Raises:
        MeasurementError: The file cannot be read, is not CodeCarbon's, or has no row that can be used.
    """
    cells, bad = _rows(Path(path))
    last: dict[str, Cells] = {}
    for number, row in enumerate(cells):
        run = row.get("run_id") or str(number)
        if run not in last or _number(row, "duration") >= _number(last[run], "duration"):
            last[run] = row
    if not last:
        raise MeasurementError(
            f"{path} has no row that can be used. Give a file that CodeCarbon has written to the end."
        )
    runs = tuple(_imported(run, row, site) for run, row in last.items())
    return Reading(runs=runs, notes=(*bad, *_overlaps(last.values())))


def _rows(path: Path) -> tuple[list[Cells], list[str]]:
    """Rows that are whole, and a note on each that is not."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MeasurementError(f"{path} cannot be read: {error}. Give the path of a CodeCarbon CSV file.") from None
    header = lines[0] if lines else []
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise MeasurementError(f"{path} is no file of CodeCarbon: it has no column {missing[0]!r}. Give emissions.csv.")
    good: list[Cells] = []
    bad: list[str] = []
    for number, line in enumerate(lines[1:], 2):
        row = dict(zip(header, line, strict=False))
        why = "has another number of cells than the header" if len(line) != len(header) else _fault(row)
        if line == header or not line:
            continue
        if why:
            bad.append(f"line {number} {why}: it is left out.")
        else:
            good.append(row)
    return good, bad


def _fault(row: Cells) -> str:
    try:
        datetime.fromisoformat(row["timestamp"])
    except ValueError:
        return f"has timestamp={row['timestamp']!r}, which is no time"
    if not _number(row, "duration") >= 0:
        return f"has duration={row['duration']!r}, which is no time"
    parts = [name for name in ("cpu_energy", "gpu_energy", "ram_energy", "energy_consumed") if name in row]
    negative = [name for name in parts if _number(row, name) < 0]
    return f"has {negative[0]}={row[negative[0]]}, which cannot be" if negative else ""


def _number(row: Cells, name: str, default: float = math.nan) -> float:
    try:
        return float(row[name]) if row.get(name) else default
    except ValueError:
        return math.nan


def _imported(run: str, row: Cells, site: Site | None) -> Imported:
    ended = datetime.fromisoformat(row["timestamp"])
    begun = ended - timedelta(seconds=_number(row, "duration"))
    return Imported(
        id=f"codecarbon-{slug(run)}",
        name=row.get("project_name") or "codecarbon",
        status="finished",
        begun=begun.isoformat(timespec="seconds"),
        ended=ended.isoformat(timespec="seconds"),
        account=account_of_row(row, site),
        site=_place(row, site),
        hardware=_hardware(row),
    )


def _hardware(row: Cells) -> dict[str, int]:
    """Accelerators by the name that CodeCarbon writes, "2 x NVIDIA A100"; several kinds run together there."""
    named = re.fullmatch(r"(\d+) x ((?:(?! x ).)+)", (row.get("gpu_model") or "").strip())
    return {named[2]: int(named[1])} if named and int(named[1]) == _number(row, "gpu_count") else {}


def _place(row: Cells, site: Site | None) -> dict[str, Any] | None:
    """The fields of its site, with the factors that its account has; None where the row's place is none."""
    pue = {"pue": {"value": max(_number(row, "pue", 1.0), 1.0), "source": "the row"}}
    if site is not None:
        return {name: value for name, value in plain(site).items() if value is not None} | pue
    emissions, energy = _number(row, "emissions"), _number(row, "energy_consumed")
    if not (math.isfinite(emissions) and emissions > 0 and energy > 0) or _is_fallback(row):
        return None
    try:
        zone = grid(row.get("country_iso_code") or "").record.zone
    except UnknownReferenceError:
        return None
    grams = {"value": emissions / energy * G_PER_KG, "source": "the row"}
    return {"grid": zone, "grid_gco2e_per_kwh": grams} | pue


def account_of_row(row: Cells, site: Site | None = None) -> Account:
    """What a row says, as an account: energy by part with intervals, and CO2e where its place can be believed.

    Args:
        row: By column, as CodeCarbon writes it.
        site: Where it ran, in place of what the row says.
    """
    notes: list[str] = []
    version = row.get("codecarbon_version") or "(version unknown)"
    source = version if version.startswith("tonne") else f"CodeCarbon {version}"
    pue = max(_number(row, "pue", 1.0), 1.0)
    parts = _parts(row, pue, source, notes)
    factor = _factor(row, site, source, notes)
    known = {name: estimate for name, estimate in parts.items() if estimate is not None}
    inputs = {**known, **({} if factor is None else {"grid_gco2e_per_kwh": factor})}

    def sums(x: Mapping[str, float]) -> dict[str, float | None]:
        it = sum(x[name] for name in parts) if len(known) == len(parts) else None
        facility = None if it is None else it * pue
        grid = x.get("grid_gco2e_per_kwh")
        carbon = None if facility is None or grid is None else facility * grid / G_PER_KG
        hosts = x["cpu"] + x["memory"] if {"cpu", "memory"} <= set(known) else None
        return {"hosts": hosts, "it": it, "facility": facility, "carbon": carbon}

    rests_on = {"hosts": ["cpu", "memory"], "it": [*parts], "facility": [*parts], "carbon": [*inputs]}
    found = propagate(sums, inputs, drivers=rests_on)
    out, duration_s = found.outputs, _number(row, "duration")
    wue = _number(row, "wue", 0.0)
    clock = "the clock of the machine"
    return Account(
        duration_s=Estimate.exact(duration_s, source=clock),
        accelerator_hours=Estimate.exact(_number(row, "gpu_count", 0.0) * duration_s / SECONDS_PER_HOUR, source=clock),
        throughput=Throughput(),
        energy=EnergyUse(
            accelerators_kwh=parts["accelerators"],
            cpu_kwh=parts["cpu"],
            memory_kwh=parts["memory"],
            hosts_kwh=out["hosts"],
            servers_kwh=out["it"],
            it_kwh=out["it"],
            facility_kwh=out["facility"],
            left_out=LEFT_OUT,
        ),
        carbon=Carbon(operational_location_kgco2e=out["carbon"]),
        water_l=None,
        water_on_site_l=Estimate.exact(wue * out["it"].value, Basis.MODELLED, source) if wue and out["it"] else None,
        cost_usd=None,
        development=None,
        uncertainty={path: shares for path, shares in found.shares.items() if shares},
        data_version=DATA_VERSION,
        notes=tuple(notes),
    )


def _parts(row: Cells, pue: float, source: str, notes: list[str]) -> dict[str, Estimate | None]:
    """IT energy by part [kWh]: CodeCarbon multiplies by PUE, and does not say which part it measured."""
    machine = measuring_constant("cpu_machine_factor")
    module, theirs = measuring_constant("dimm_w"), measuring_constant("codecarbon_dimm_w").value
    board = measuring_constant("nvml_error_fraction").value
    spreads = {
        "cpu": ("cpu_energy", machine.low, machine.high, Basis.MODELLED),
        "memory": ("ram_energy", module.low / theirs, module.high / theirs, Basis.MODELLED),
        "accelerators": ("gpu_energy", 1 - board, 1 + board, Basis.MEASURED),
    }
    found: dict[str, Estimate | None] = {}
    for part, (column, low, high, basis) in spreads.items():
        kwh = _number(row, column) / pue
        found[part] = (
            None
            if not math.isfinite(kwh)
            else Estimate(value=kwh, low=kwh * low, high=kwh * high, basis=basis, sources=(source,))
        )
    notes.append("CodeCarbon does not say whether it measured the processors: they are taken to be modelled.")
    accelerators = found["accelerators"]
    if _number(row, "gpu_count", 0.0) > 0 and (accelerators is None or accelerators.value == 0):
        found["accelerators"] = None
        notes.append("accelerators with an energy of zero were not read: their energy is unknown.")
    return found


def _factor(row: Cells, site: Site | None, source: str, notes: list[str]) -> Estimate | None:
    """Carbon intensity [g/kWh]: of the place that is given, else what the row's emissions and energy come to."""
    if site is not None:
        brought = factors_of(site)
        notes += [note for note in brought.notes if note.startswith(("grid", "CO2e"))]
        return brought.factors.get("grid_gco2e_per_kwh")
    emissions, energy = _number(row, "emissions"), _number(row, "energy_consumed")
    if not (math.isfinite(emissions) and energy > 0):
        notes.append("CO2e is unknown: the row has none. Give the place with --site.")
        return None
    if _is_fallback(row):
        notes.append(
            "CO2e is unknown: CodeCarbon writes Canada, Quebec where it could not find the place. If it ran there, "
            "say --site CA-QC; else the place where it ran."
        )
        return None
    grams = emissions / energy * G_PER_KG
    place = ", ".join(filter(None, (row.get("cloud_region"), row.get("region"), row.get("country_name"))))
    notes.append(f"grid {place or 'of the row'}: {grams:.0f} g/kWh, as {source} took it.")
    return Estimate.exact(grams, Basis.PUBLISHED, f"{source}, {place}")


def _is_fallback(row: Cells) -> bool:
    """Whether the place is the one that CodeCarbon takes where it finds none; a place that it found has coordinates."""
    is_quebec = row.get("country_iso_code") == "CAN" and (row.get("region") or "").lower() == "quebec"
    return is_quebec and row.get("on_cloud", "N") != "Y" and not (row.get("longitude") and row.get("latitude"))


def _overlaps(rows: Iterable[Cells]) -> list[str]:
    """A note where rows of one project overlap in time: each may hold the whole machine."""
    spans = sorted(_span(row) for row in rows if (row.get("tracking_mode") or "machine") == "machine")
    latest: dict[str, datetime] = {}
    among = 0
    for name, begun, ended in spans:
        among += name in latest and begun < latest[name]
        latest[name] = max(ended, latest.get(name, ended))
    if not among:
        return []
    return [
        f"{among + 1} rows overlap in time: CodeCarbon's machine mode gives each process the whole machine, so that "
        f"their sum counts a machine once for each process on it."
    ]


def _span(row: Cells) -> tuple[Any, datetime, datetime]:
    ended = datetime.fromisoformat(row["timestamp"])
    return row.get("project_name", ""), ended - timedelta(seconds=_number(row, "duration")), ended
