"""A row a run as CodeCarbon writes it: kilograms, kilowatt-hours with PUE in them; no coordinates, no host names."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from tonne.errors import UnknownReferenceError
from tonne.estimate import Estimate
from tonne.ledger.lenses.scopes import site_of_run
from tonne.ledger.records import FORECAST, Run
from tonne.reference.grids import country_iso3, grid
from tonne.reference.regions import region
from tonne.report.exports import facts
from tonne.report.exports.codecarbon_columns import UNKNOWN, EmissionsData, with_rates
from tonne.report.exports.forms import Export
from tonne.report.exports.subject import Subject
from tonne.report.labels import no_formula

PARTS = {"cpu_energy": "cpu_kwh", "gpu_energy": "accelerators_kwh", "ram_energy": "memory_kwh"}
ON_CLOUD = {"owned": "N", "colo": "N", "cloud": "Y"}
FORMAT = "%Y-%m-%dT%H:%M:%S"


def codecarbon(subject: Subject) -> Export:
    """The rows as CSV. CodeCarbon's boundary is processors, memory and accelerators, times PUE."""
    rows = [row_of(run, subject.declared.control) for run in subject.runs]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0].values)
    writer.writerows([_cell(value) for value in row.values.values()] for row in rows)
    missing = [
        f"{run.name}: {', '.join(gaps)}" for run, row in zip(subject.runs, rows, strict=True) if (gaps := _gaps(row))
    ]
    note = "energy_consumed is that of processors, memory and accelerators times PUE: CodeCarbon counts no other part"
    return Export(text=text.getvalue(), missing=tuple(missing), notes=(note,))


def row_of(run: Run, control: str | None = None) -> EmissionsData:
    """One run by CodeCarbon's columns; what is unknown is NaN or empty.

    Args:
        run: Of any kind.
        control: Whose hardware it is, where that was declared: owned, cloud or colo.
    """
    account = run.account
    row = EmissionsData(
        timestamp=datetime.fromtimestamp(_ended(run), UTC).strftime(FORMAT),
        project_name=run.name,
        run_id=run.id,
        experiment_id=run.project or "",
        duration=UNKNOWN if account is None or account.duration_s is None else float(account.duration_s.value),
        python_version=run.evidence.python or "",
        codecarbon_version=f"tonne {run.evidence.tonne_version or ''}".strip(),
        tracking_mode="forecast" if run.kind == FORECAST else "machine",
        **_energies(run),
        **_place(run, ON_CLOUD.get(control or "", "")),
        **_machine(run),
    )
    return with_rates(row) if row.duration > 0 else row


def _ended(run: Run) -> float:
    lasted = 0.0 if run.account is None or run.account.duration_s is None else run.account.duration_s.value
    return run.begun_unix_s + lasted if run.ended_unix_s is None else run.ended_unix_s


def _energies(run: Run) -> dict[str, Any]:
    """Energy by part and in all, PUE in it, and CO2e of just that energy [kWh, kg]."""
    if run.account is None:
        return {"pue": UNKNOWN, "wue": UNKNOWN}
    energy, carbon = run.account.energy, run.account.carbon.operational_location_kgco2e
    facility, it_kwh = _value(energy.facility_kwh), _value(energy.it_kwh)
    pue = facility / it_kwh if it_kwh > 0 else UNKNOWN
    parts = {column: _value(getattr(energy, name)) * pue for column, name in PARTS.items()}
    consumed = sum(parts.values())  # NaN where one is unknown
    share = consumed / facility if facility > 0 else UNKNOWN
    water = _value(run.account.water_on_site_l)
    return {
        **parts,
        "energy_consumed": consumed,
        "emissions": _value(carbon) * share,
        "water_consumed": water * share,
        "pue": pue,
        "wue": water / it_kwh if it_kwh > 0 else UNKNOWN,  # of IT, as it is defined: CodeCarbon's has PUE in it too
    }


def _value(estimate: Estimate | None) -> float:
    return UNKNOWN if estimate is None else float(estimate.value)


def _place(run: Run, on_cloud: str) -> dict[str, Any]:
    """Country, region and cloud; a grid zone alone does not say whether it was on a cloud."""
    site = site_of_run(run)
    found = {"on_cloud": on_cloud}
    try:
        zone = str(site.get("grid") or "")
        if site.get("region"):
            place = region(str(site["region"])).record
            found = {"cloud_provider": place.provider, "cloud_region": place.region, "region": place.location}
            found |= {"on_cloud": on_cloud or "Y"}
            zone = place.country
        if zone:
            found |= {"country_name": grid(zone).record.name_en, "country_iso_code": country_iso3(zone)}
    except UnknownReferenceError:
        return found
    return found


def _machine(run: Run) -> dict[str, Any]:
    boards, processors = facts.accelerator_names(run), facts.processor_names(run)
    return {
        "cpu_count": UNKNOWN,  # of threads, which no run tells
        "gpu_count": sum(boards.values()) if boards or processors else UNKNOWN,  # zero is a count too
        "gpu_model": ", ".join(f"{count} x {name}" for name, count in boards.items()),
        "cpu_model": ", ".join(processors),
        "os": run.evidence.platform or "",
    }


def _gaps(row: EmissionsData) -> list[str]:
    """Columns that matter and are empty."""
    return [name for name in ("duration", "emissions", "energy_consumed") if row.values[name] != row.values[name]]


def _cell(value: Any) -> Any:  # noqa: ANN401 - of whatever type the column is
    if isinstance(value, str):
        return no_formula(value)
    return "" if value != value else value  # noqa: PLR0124 - NaN
