"""Gates 1 and 4: published figures that are hours times constants, from those constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tonne.estimate import Estimate
from tonne.reference.table import Row
from tonne.validation.peers import peer_energy_mwh
from tonne.validation.published import (
    KG_PER_T,
    KWH_PER_MWH,
    chip_family,
    forecast_from_hours,
    last_digit_half_unit,
    runs,
)
from tonne.validation.result import Comparison, Gate, LeftOut, gate_of

TOLERANCE = 0.01
PATTERSON_TOLERANCE = 0.008  # the paper's own rounding: its printed inputs give its printed results this closely
PATTERSON_TABLE_4 = ("et-nas", "t5-11b", "meena", "gshard-600b", "switch-c-1.6t", "gpt-3-175b")
TO_THE_DIGIT = ("bloom-176b", "palm-540b")
ENERGY, CO2E = "energy_mwh", "co2e_t"


class Figure(NamedTuple):
    """A figure of a row: its column, the columns it is made of, and how its printed text is judged."""

    quantity: str
    column: str
    constants: tuple[str, ...]


CONSTANTS = ("chip_hours", "avg_chip_power_w_reported")
FIGURES = (
    Figure(ENERGY, "energy_mwh_reported", CONSTANTS),
    Figure(CO2E, "co2e_t_reported", (*CONSTANTS, "grid_g_per_kwh")),
)
Judge = Callable[[float, str], bool]


def within_one_percent(value: float, printed: str) -> bool:
    """Within 1 % of a printed figure, or half a unit of its last digit."""
    published = float(printed)
    return abs(value - published) <= max(TOLERANCE * published, last_digit_half_unit(printed))


def within_patterson(value: float, printed: str) -> bool:
    """Within 0.8 % of a printed figure."""
    return abs(value / float(printed) - 1.0) <= PATTERSON_TOLERANCE


def to_the_digit(value: float, printed: str) -> bool:
    """Rounds to the printed figure."""
    return abs(value - float(printed)) <= last_digit_half_unit(printed)


def gate_1() -> Gate:
    """Rows whose energy or CO2e is hours times constants, from their own constants."""
    rows, left_out = _compared([row for row in runs() if row["gate_energy"] == "1"], within_one_percent)
    rule = "each within 1 % or half a unit of the last printed digit"
    return gate_of(1, ("hours x constants, own constants", rule), all(r.passed for r in rows), rows, left_out)


def gate_4() -> Gate:
    """Patterson 2021, table 4; BLOOM and PaLM to the digit."""
    by_id = {row["id"]: row for row in runs()}
    patterson, missing = _compared([by_id[name] for name in PATTERSON_TABLE_4], within_patterson)
    exact, missing_too = _compared([by_id[name] for name in TO_THE_DIGIT], to_the_digit)
    rows = [*patterson, *exact]
    rule = "Patterson 2021 table 4 within 0.8 %; BLOOM and PaLM to the digits printed"
    return gate_of(4, ("published tables", rule), all(r.passed for r in rows), rows, [*missing, *missing_too])


def _compared(rows: list[Row], judge: Judge) -> tuple[list[Comparison], list[LeftOut]]:
    found: list[Comparison] = []
    left_out: list[LeftOut] = []
    for row in rows:
        for figure in FIGURES:
            if not row[figure.column]:
                continue
            lacking = [name for name in (*figure.constants, *_pue_needed(row, figure)) if not row[name]]
            if lacking:
                left_out.append(LeftOut(id=row["id"], reason=f"{figure.quantity}: lacks {', '.join(lacking)}"))
            else:
                found.append(_comparison(row, figure, judge))
    return found, left_out


def _pue_needed(row: Row, figure: Figure) -> tuple[str, ...]:
    """PUE, unless the row's boundary is the accelerators alone (there CO2e takes the row's PUE if it gives one)."""
    return () if row["boundary"] == "accelerators" or (figure.quantity == ENERGY and not row["boundary"]) else ("pue",)


def _comparison(row: Row, figure: Figure, judge: Judge) -> Comparison:
    account = forecast_from_hours(
        row,
        {
            "accelerator_power_w": float(row["avg_chip_power_w_reported"]),
            "host_power_w": 0,
            "network_power_w": 0,
        },
    ).account
    boards = row["boundary"] == "accelerators"
    peers = peer_energy_mwh(row)
    if figure.quantity == ENERGY:
        value = in_unit(account.energy.accelerators_kwh if boards else account.energy.facility_kwh, KWH_PER_MWH)
    else:
        value = in_unit(account.carbon.operational_location_kgco2e, KG_PER_T)
        peers = {name: mwh * float(row["grid_g_per_kwh"]) / KG_PER_T for name, mwh in peers.items()}
    return Comparison(
        id=row["id"],
        quantity=figure.quantity,
        family=chip_family(row),
        published=float(row[figure.column]),
        forecast=value.value,
        low=value.low,
        high=value.high,
        passed=judge(value.value, row[figure.column]),
        peers=peers,
    )


def in_unit(estimate: Estimate | None, per_unit: float) -> Estimate:
    """An estimate that must be known, in a larger unit."""
    assert estimate is not None  # the constants are all given
    return Estimate(
        value=estimate.value / per_unit,
        low=estimate.low / per_unit,
        high=estimate.high / per_unit,
        basis=estimate.basis,
        sources=estimate.sources,
    )
