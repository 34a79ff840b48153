"""CodeCarbon's CSV files as accounts, with what the file leaves open said."""

from __future__ import annotations

import csv
import hashlib
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
from tonne.estimate import Basis, Estimate, Propagated, propagate
from tonne.impact.place import factors_of
from tonne.measure.identity import slug
from tonne.reference import DATA_VERSION
from tonne.reference.grids import grid
from tonne.reference.measuring import measuring_constant
from tonne.units import SECONDS_PER_HOUR

NEEDED = ("timestamp", "duration", "emissions", "energy_consumed")
OURS = "tonne"  # what the version begins with where tonne wrote the row
LEFT_OUT = ("host_rest", "network", "storage")
G_PER_KG = 1000.0
SAME = 1e-6  # of two sums of the same numbers
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
    written: Written | None = None  # where a tracker or an export of tonne wrote it


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a row that tonne itself wrote says of its run, by which the run's own journal is found."""

    run_id: str  # of the tracker, or tonne's own where an export wrote it
    name: str
    is_task: bool = False


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
    for row in cells:
        run = _id_of(row)
        if run not in last or _number(row, "duration") >= _number(last[run], "duration"):
            last[run] = row
    if not last:
        raise MeasurementError(
            f"{path} has no row that can be used. Give a file that CodeCarbon has written to the end."
        )
    runs = tuple(_imported(run, row, site) for run, row in last.items())
    return Reading(runs=runs, notes=(*bad, *_tasks(last.values()), *_overlaps(last.values())))


def _id_of(row: Cells) -> str:
    """What tells a run, or a task of one, from others; of a file from before there were ids, all that its row says."""
    run = slug(row["run_id"]) if row.get("run_id") else _digest("\n".join(row.values()))
    return "-".join([run, *([_digest(row["task_name"])] if row.get("task_name") else [])])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _tasks(rows: Iterable[Cells]) -> list[str]:
    if not any(row.get("task_name") for row in rows):
        return []
    return ["these are tasks of runs: where emissions.csv is imported too, their energy is counted twice."]


def _rows(path: Path) -> tuple[list[Cells], list[str]]:
    """Rows that are whole, and a note on each that is not."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise MeasurementError(f"{path} cannot be read: {why}. Give the path of a CodeCarbon CSV file.") from None
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
        id=f"codecarbon-{run}",
        name=": ".join(filter(None, (row.get("project_name") or "codecarbon", row.get("task_name")))),
        status="finished",
        begun=begun.isoformat(timespec="seconds"),
        ended=ended.isoformat(timespec="seconds"),
        account=account_of_row(row, site),
        site=_place(row, site),
        hardware=_hardware(row),
        written=_written(row),
    )


def _written(row: Cells) -> Written | None:
    if not (row.get("codecarbon_version") or "").startswith(OURS):
        return None
    name, is_task = row.get("project_name") or "", bool(row.get("task_name"))
    return Written(run_id=row.get("run_id") or "", name=name, is_task=is_task)


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
    source = version if version.startswith(OURS) else f"CodeCarbon {version}"
    pue = max(_number(row, "pue", 1.0), 1.0)
    parts = _parts(row, pue, source, notes)
    factor = _factor(row, site, source, notes)
    whole = _whole(row, pue, source, notes) if None in parts.values() else None
    found = _sums(parts, whole, factor, pue)
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


def _sums(
    parts: Mapping[str, Estimate | None], whole: Estimate | None, factor: Estimate | None, pue: float
) -> Propagated:
    """Energy of the hosts, of all IT and of the facility, and CO2e; `whole` stands in where a part is not known."""
    known = {name: estimate for name, estimate in parts.items() if estimate is not None}
    others = {"whole": whole, "grid_gco2e_per_kwh": factor}
    inputs = {**known, **{name: estimate for name, estimate in others.items() if estimate is not None}}

    def sums(x: Mapping[str, float]) -> dict[str, float | None]:
        it = sum(x[name] for name in parts) if len(known) == len(parts) else x.get("whole")
        facility = None if it is None else it * pue
        grid = x.get("grid_gco2e_per_kwh")
        carbon = None if facility is None or grid is None else facility * grid / G_PER_KG
        hosts = x["cpu"] + x["memory"] if {"cpu", "memory"} <= set(known) else None
        return {"hosts": hosts, "it": it, "facility": facility, "carbon": carbon}

    summed = [*parts] if whole is None else ["whole"]
    carbon = [*summed, "grid_gco2e_per_kwh"]
    return propagate(
        sums, inputs, drivers={"hosts": ["cpu", "memory"], "it": summed, "facility": summed, "carbon": carbon}
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
    if _has_unread_boards(row):
        found["accelerators"] = None
        notes.append("accelerators with an energy of zero were not read: their energy is unknown.")
    return found


def _whole(row: Cells, pue: float, source: str, notes: list[str]) -> Estimate | None:
    """IT energy of a row that says its sum but not each part [kWh], as unsure as the least sure part may be."""
    kwh = _number(row, "energy_consumed") / pue
    parts = [_number(row, f"{part}_energy") for part in ("cpu", "gpu", "ram")]
    told = sum(part for part in parts if math.isfinite(part)) / pue
    if not math.isfinite(kwh) or kwh < told * (1 - SAME) or _has_unread_boards(row):
        return None
    notes.append("the row says its energy as a sum, not by part.")
    machine, module = measuring_constant("cpu_machine_factor"), measuring_constant("dimm_w")
    theirs = measuring_constant("codecarbon_dimm_w").value
    low, high = min(machine.low, module.low / theirs), max(machine.high, module.high / theirs)
    return Estimate(value=kwh, low=kwh * low, high=kwh * high, basis=Basis.MODELLED, sources=(source,))


def _has_unread_boards(row: Cells) -> bool:
    """Whether there are accelerators whose energy the row does not have."""
    gpu_kwh = _number(row, "gpu_energy")
    return _number(row, "gpu_count", 0.0) > 0 and not (math.isfinite(gpu_kwh) and gpu_kwh > 0)


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
    whole = [row for row in rows if (row.get("tracking_mode") or "machine") == "machine" and not row.get("task_name")]
    spans = sorted(_span(row) for row in whole)
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
