"""Power of accelerators and their servers while training, by family, from measured runs.

A family's values can be derived again with sources left out, so that a run is not forecast from its own measurement.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from tonne.errors import UnknownReferenceError
from tonne.reference.table import Row, number, table

WIDE = "wide"
LIMIT_FRACTION_MAX = 0.98  # a board held at its limit never averages it: steps wait for links, data and checkpoints
Interval = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFamily:
    """Power while stepping, per accelerator, each as value, low, high (90 %).

    fraction_*: accelerator over its board's limit. host_w: server less accelerators. network_w: switches; none in one
    node. whole_server_w: accelerators and host together. Where only whole servers are known (TPUs), fraction_* and
    host_w are None.
    """

    family: str
    accelerator_id: str
    board_power_limit_w: float | None
    fraction_value: float | None
    fraction_low: float | None
    fraction_high: float | None
    host_w: float | None
    host_low: float | None
    host_high: float | None
    network_w: float
    network_low: float
    network_high: float
    whole_server_w: float | None
    whole_server_low: float | None
    whole_server_high: float | None
    cooling: str
    basis: str
    source: str
    note: str


def power_family(accelerator_id: str, leave_out: Collection[str] = ()) -> PowerFamily:
    """The power values that hold for an accelerator.

    Args:
        accelerator_id: Id of accelerators.csv.
        leave_out: Keys of sources.csv whose measurements may not be used.

    Raises:
        UnknownReferenceError: No accelerator has this id.
    """
    member = _member(accelerator_id)
    limit_w = number(next(r["board_power_limit_w"] for r in table("accelerators") if r["id"] == accelerator_id))
    family = _family(member["family"], accelerator_id, limit_w)
    if member["note"] and member["family"] != WIDE:
        family = replace(family, note="; ".join(text for text in (member["note"], family.note) if text))
    evidence = [row for row in table("power_evidence") if row["family"] == family.family and row["used"] == "yes"]
    if not any(row["source_key"] in leave_out for row in evidence):
        return family
    kept = [row for row in evidence if row["source_key"] not in leave_out]
    return _without(family, kept, leave_out)


def _member(accelerator_id: str) -> Row:
    for row in table("power_family_members"):
        if row["accelerator_id"] == accelerator_id:
            return row
    raise UnknownReferenceError(
        f"no accelerator has the id {accelerator_id!r}. Look it up with `tonne reference accelerators NAME`."
    )


def _family(name: str, accelerator_id: str, limit_w: float | None) -> PowerFamily:
    row = next(row for row in table("power_families") if row["family"] == name)
    fraction = _interval(row, "fraction_value", "fraction_low", "fraction_high")
    host = _interval(row, "host_w", "host_low", "host_high") or _host_by_ratio(row, fraction, limit_w)
    server = _interval(row, "whole_server_w", "whole_server_low", "whole_server_high")
    network = _interval(row, "network_w", "network_low", "network_high") or (0.0, 0.0, 0.0)
    return PowerFamily(
        family=name,
        accelerator_id=accelerator_id,
        board_power_limit_w=limit_w,
        **_named("fraction", "value", fraction),
        **_named("host", "w", host),
        network_w=network[0],
        network_low=network[1],
        network_high=network[2],
        **_named("whole_server", "w", server),
        cooling=row["cooling"],
        basis=row["basis"],
        source=row["source"],
        note=row["note"],
    )


def _named(prefix: str, central: str, interval: Interval | None) -> dict[str, float | None]:
    value, low, high = interval or (None, None, None)
    return {f"{prefix}_{central}": value, f"{prefix}_low": low, f"{prefix}_high": high}


def _interval(row: Row, *columns: str) -> Interval | None:
    cells = [number(row[column]) for column in columns]
    value, low, high = cells
    return None if value is None or low is None or high is None else (value, low, high)


def _host_by_ratio(row: Row, fraction: Interval | None, limit_w: float | None) -> Interval | None:
    """Host watts as a share of the accelerator's mean watts, where no server of the family was measured."""
    ratio = _interval(row, "host_ratio", "host_ratio_low", "host_ratio_high")
    if ratio is None or fraction is None or limit_w is None:
        return None
    accelerator_w = fraction[0] * limit_w
    return ratio[0] * accelerator_w, ratio[1] * accelerator_w, ratio[2] * accelerator_w


def _without(family: PowerFamily, kept: list[Row], leave_out: Collection[str]) -> PowerFamily:
    note = f"derived without {', '.join(sorted(leave_out))}"
    if family.fraction_value is None:
        return _server_without(family, kept, leave_out, note)
    fraction = _pooled(row for row in kept if row["kind"] == "accelerators") or family.fraction_value
    fraction = min(fraction, LIMIT_FRACTION_MAX)
    scale = fraction / family.fraction_value
    changed: dict[str, float | None] = {
        "fraction_value": fraction,
        "fraction_low": _times(family.fraction_low, scale),
        "fraction_high": max(fraction, min(_times(family.fraction_high, scale) or fraction, LIMIT_FRACTION_MAX)),
    }
    return replace(family, **changed, **_host_without(family, kept, fraction, leave_out), basis="assumed", note=note)  # type: ignore[arg-type]


def _host_without(
    family: PowerFamily, kept: list[Row], fraction: float, leave_out: Collection[str]
) -> dict[str, float | None]:
    """Host and whole server where a measured server was left out: the other servers, else the wide prior."""
    servers = [row for row in _used(family.family) if row["kind"] == "servers"]
    if family.board_power_limit_w is None or not any(row["source_key"] in leave_out for row in servers):
        return {}
    limit_w = family.board_power_limit_w
    server = _pooled(row for row in kept if row["kind"] == "servers")
    if server is None:
        wide = _family(WIDE, family.accelerator_id, limit_w)
        ratios = [
            _times(w, fraction / (wide.fraction_value or 1.0)) for w in (wide.host_w, wide.host_low, wide.host_high)
        ]
        return {
            **dict(zip(("host_w", "host_low", "host_high"), ratios, strict=True)),
            **_named("whole_server", "w", None),
        }
    host = max(server * limit_w - fraction * limit_w, family.host_low or 0.0)
    whole = fraction * limit_w + host
    scale = whole / (family.whole_server_w or whole)
    return {
        "host_w": host,
        "host_low": min(family.host_low or host, host),
        "host_high": max(family.host_high or host, host),
        **_named(
            "whole_server",
            "w",
            (whole, scale * (family.whole_server_low or whole), scale * (family.whole_server_high or whole)),
        ),
    }


def _server_without(family: PowerFamily, kept: list[Row], leave_out: Collection[str], note: str) -> PowerFamily:
    """A family of which only whole servers are known: its other sources, else the other such families, widened."""
    ratio = _pooled(kept)
    widened = 1.0
    if ratio is None:
        alike = [r["family"] for r in table("power_families") if not r["fraction_value"]]
        rows = [r for name in alike for r in _used(name) if r["source_key"] not in leave_out]
        ratio, widened = _pooled(rows, by="family"), 1.25
        note += ", from the other chips of which only whole servers are known"
    if ratio is None or family.board_power_limit_w is None:
        return replace(_family(WIDE, family.accelerator_id, family.board_power_limit_w), note=note)
    server = ratio * family.board_power_limit_w
    scale = server / (family.whole_server_w or server)
    return replace(
        family,
        whole_server_w=server,
        whole_server_low=scale * (family.whole_server_low or server) / widened,
        whole_server_high=scale * (family.whole_server_high or server) * widened,
        basis="assumed",
        note=note,
    )


def _used(family: str) -> list[Row]:
    return [row for row in table("power_evidence") if row["family"] == family and row["used"] == "yes"]


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _pooled(rows: Iterable[Row], by: str = "source_key") -> float | None:
    """Geometric mean over sources of watts relative to the board's limit; every source counts once."""
    logs: dict[str, list[float]] = {}
    for row in rows:
        logs.setdefault(row[by], []).append(math.log(float(row["watts"]) / float(row["limit_w"])))
    if not logs:
        return None
    return math.exp(sum(sum(values) / len(values) for values in logs.values()) / len(logs))
