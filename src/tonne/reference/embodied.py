"""Emissions of making hardware: per card, per host server, and how they are spread over its life."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.errors import UnknownReferenceError
from tonne.reference.table import Row, table


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedRecord:
    """Emissions of making one thing [kgCO2e], with the 90 % interval; unit says of what."""

    id: str
    kgco2e: float
    low: float
    high: float
    unit: str
    basis: str
    source: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeRecord:
    """A quantity by which embodied emissions are spread: lifetime [year] or used share of the hours owned."""

    value: float
    low: float
    high: float
    unit: str
    basis: str
    source: str


def embodied_for(accelerator_id: str) -> EmbodiedRecord | None:
    """Emissions of making one card [kgCO2e/card], host not included; None where nothing is published."""
    for row in table("embodied_cards"):
        if row["accelerator_id"] == accelerator_id:
            return EmbodiedRecord(
                id=accelerator_id,
                kgco2e=float(row["kgco2e"]),
                low=float(row["kgco2e_low"]),
                high=float(row["kgco2e_high"]),
                unit="kgCO2e/card",
                basis=row["basis"],
                source=row["source"],
                note=row["note"],
            )
    return None


def host_server_embodied() -> EmbodiedRecord:
    """Emissions of making a server for eight accelerators, accelerators not included [kgCO2e/server]."""
    row = _default("host_server_kgco2e")
    return EmbodiedRecord(
        id="host-server",
        kgco2e=float(row["value"]),
        low=float(row["low"]),
        high=float(row["high"]),
        unit=row["unit"],
        basis=row["basis"],
        source=row["source"],
        note=row["note"],
    )


def lifetime_years() -> LifeRecord:
    """Years over which embodied emissions are spread [year]."""
    return _life("lifetime_years")


def utilisation_fraction() -> LifeRecord:
    """Share of the hours owned in which the hardware is used."""
    return _life("utilisation_fraction")


def _life(key: str) -> LifeRecord:
    row = _default(key)
    return LifeRecord(
        value=float(row["value"]),
        low=float(row["low"]),
        high=float(row["high"]),
        unit=row["unit"],
        basis=row["basis"],
        source=row["source"],
    )


def _default(key: str) -> Row:
    for row in table("embodied_defaults"):
        if row["key"] == key:
            return row
    raise UnknownReferenceError(f"embodied_defaults.csv has no {key!r}. Add a row with its source.")
