"""The published runs, and the plans that their rows describe."""

from __future__ import annotations

from typing import Any

from tonne.describe.plan import TrainingPlan
from tonne.forecasting import Forecast, forecast
from tonne.reference.accelerators import accelerator
from tonne.reference.calibration import POOLED, family_of
from tonne.reference.table import Row, table

KWH_PER_MWH = 1000.0
KG_PER_T = 1000.0


def runs() -> tuple[Row, ...]:
    """Rows of published_runs.csv."""
    return table("published_runs")


def chip_family(row: Row) -> str:
    """Chip generation of a row, or the chip itself where it stands alone."""
    family = family_of(accelerator(row["chip"]).record.id)
    return row["chip"] if family == POOLED else family


def last_digit_half_unit(printed: str) -> float:
    """Half a unit of the last digit of a printed number: 0.05 of "24.1", 0.5 of "1287"."""
    mantissa, _, exponent = printed.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(0.5 * 10.0 ** (int(exponent or 0) - decimals))


def forecast_from_hours(row: Row, power: dict[str, Any]) -> Forecast:
    """The forecast of a run whose chip-hours are known.

    Args:
        row: The run; its PUE and grid where it gives them, else PUE 1 and no place.
        power: accelerator_power_w, host_power_w, network_power_w of the cluster [W].
    """
    site: dict[str, Any] = {"pue": float(row["pue"] or 1.0)}
    if row["grid_g_per_kwh"]:
        site["grid_gco2e_per_kwh"] = float(row["grid_g_per_kwh"])
    plan = TrainingPlan.from_fields(
        {
            "name": row["id"],
            "cluster": {"accelerator": row["chip"], **power},
            "site": site,
            "schedule": {"accelerator_hours": float(row["chip_hours"])},
        },
        origin=row["id"],
    )
    return forecast(plan)
