"""Gate 2: metered energy with chip-hours given, the run's own measurements left out of the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.reference.accelerators import accelerator
from tonne.reference.power import PowerFamily, power_family
from tonne.reference.table import Row, table
from tonne.validation.arithmetic import in_unit
from tonne.validation.peers import peer_energy_mwh
from tonne.validation.published import KWH_PER_MWH, chip_family, forecast_from_hours, runs
from tonne.validation.result import Comparison, Gate, LeftOut, gate_of

MEDIAN_ALLOWED, P90_ALLOWED, NOMINAL = 0.12, 0.40, 0.90
# A row's source, and what copied its watts: they are left out together.
OWN_SOURCES = {
    "Patterson et al. 2021": ("patterson2021carbon", "rae2021gopher", "thoppilan2022lamda"),
    "Dodge et al. 2022": ("dodge2022measuring",),
}
SHARE_FAMILIES = ("a100-sxm", "h100-sxm")  # servers of which accelerators and the whole were both measured
CHIP_OF_UNMEASURED = "google-tpu-v3"  # TPU v2 has no chip mean: its limit times the v3's mean over its limit
PHYSICS_LOW, PHYSICS_HIGH = 0.70, 1.45  # share of the server 0.5 to 0.85, chip mean within 10 %


def gate_2() -> Gate:
    """Metered energy at the row's own boundary, own source left out."""
    rows: list[Comparison] = []
    left_out: list[LeftOut] = []
    for row in runs():
        if row["gate_energy"] != "2":
            continue
        if row["exclude_reason"]:
            left_out.append(LeftOut(id=row["id"], reason=row["exclude_reason"]))
        else:
            rows.append(_comparison(row))
    rule = (
        f"median |error| at most {MEDIAN_ALLOWED:.0%}, 90th percentile at most {P90_ALLOWED:.0%}, "
        "the interval of the coverage holds 90 %"
    )
    gate = gate_of(2, ("metered energy, chip-hours given", rule), True, rows, left_out)
    return _judged(gate)


def _judged(gate: Gate) -> Gate:
    close = gate.median <= MEDIAN_ALLOWED and gate.p90 <= P90_ALLOWED
    covered = (gate.coverage_low or 0.0) <= NOMINAL <= (gate.coverage_high or 0.0)
    return gate_of(2, (gate.name, gate.rule), close and covered, gate.rows, gate.left_out)


def _comparison(row: Row) -> Comparison:
    own = next(keys for start, keys in OWN_SOURCES.items() if row["source"].startswith(start))
    power = cluster_power(row["boundary"], power_family(accelerator(row["chip"]).record.id, leave_out=own), own)
    energy = in_unit(_at_boundary(forecast_from_hours(row, power).account, row["boundary"]), KWH_PER_MWH)
    return Comparison(
        id=row["id"],
        quantity="energy_mwh",
        family=chip_family(row),
        published=float(row["energy_mwh_reported"]),
        forecast=energy.value,
        low=energy.low,
        high=energy.high,
        peers=peer_energy_mwh(row),
    )


def _at_boundary(account: Account, boundary: str) -> Estimate | None:
    return account.energy.accelerators_kwh if boundary == "accelerators" else account.energy.facility_kwh


def cluster_power(boundary: str, family: PowerFamily, left_out: tuple[str, ...]) -> dict[str, Any]:
    """Watts of the cluster section at a row's boundary, from a family's values without some sources.

    Args:
        boundary: "servers x PUE", "accelerators x PUE" or "accelerators".
        family: Power values, derived without the sources.
        left_out: The sources; of a family of which only whole servers are known and no other source is left, the
            servers follow from the chip's mean power and the accelerators' share of other servers.

    Returns:
        accelerator_power_w, host_power_w and network_power_w (no boundary here holds the network) [W].
    """
    if family.fraction_value is None:
        return {"accelerator_power_w": _server(family, left_out), "host_power_w": 0, "network_power_w": 0}
    limit_w = family.board_power_limit_w or 0.0
    fraction = (family.fraction_value, family.fraction_low, family.fraction_high)
    host = (family.host_w, family.host_low, family.host_high) if boundary.startswith("servers") else None
    return {
        "accelerator_power_w": _quantity(*((share or 0.0) * limit_w for share in fraction)),
        "host_power_w": 0 if host is None else _quantity(*((watts or 0.0) for watts in host)),
        "network_power_w": 0,
    }


def _quantity(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "source": "family default without the run's own source"}


def _server(family: PowerFamily, left_out: tuple[str, ...]) -> Mapping[str, Any]:
    evidence = [r for r in table("power_evidence") if r["family"] == family.family and r["used"] == "yes"]
    if any(row["source_key"] not in left_out for row in evidence):
        return _quantity(family.whole_server_w or 0.0, family.whole_server_low or 0.0, family.whole_server_high or 0.0)
    server = chip_mean_w(family.accelerator_id, family.board_power_limit_w) / accelerators_share()
    return _quantity(server, PHYSICS_LOW * server, PHYSICS_HIGH * server)


def chip_mean_w(accelerator_id: str, limit_w: float | None) -> float:
    """Mean power of a chip alone; where none is measured, its limit times the mean of the TPU v3 over its limit [W]."""
    means = {row["accelerator_id"]: float(row["mean_chip_w"]) for row in table("chip_power")}
    if accelerator_id in means:
        return means[accelerator_id]
    known_limit = accelerator(CHIP_OF_UNMEASURED).record.board_power_limit_w
    return means[CHIP_OF_UNMEASURED] * (limit_w or 0.0) / (known_limit or 1.0)


def accelerators_share() -> float:
    """Share of a server's power that its accelerators take, mean of the families where both were measured."""
    members = [row["accelerator_id"] for row in table("power_family_members") if row["family"] in SHARE_FAMILIES]
    shares = {family.family: _share(family) for family in map(power_family, members)}
    return sum(shares.values()) / len(shares)


def _share(family: PowerFamily) -> float:
    return (family.fraction_value or 0.0) * (family.board_power_limit_w or 0.0) / (family.whole_server_w or 1.0)
