"""Power of a processor without a sensor, from its name and how busy it is.

The machine term dominates: with nothing known but its design power, a processor draws 0.55 to 1.8 times what the curve
says, all the way through a run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate, propagate
from tonne.measure.facts import NodeFacts
from tonne.measure.models.load import Load
from tonne.reference.cpus import cpu as cpu_record
from tonne.reference.measuring import measuring_constant
from tonne.reference.table import number, table

SINCE = 2017  # servers older than this are hardly rented any more


def curve(share: float, curvature: float) -> float:
    """Rise of a processor's power from idle, 0, to full load, 1.

    Equation: s(u) = (1 - exp(-c u)) / (1 - exp(-c)).

    Args:
        share: Busy share of its threads, u [1].
        curvature: How early it saturates, c [1].

    Source: codecarbon, load sweeps of four machines.
    """
    return (1 - math.exp(-curvature * share)) / (1 - math.exp(-curvature))


def cpu_power_w(tdp_w: float, rise: float, machine_factor: float, idle_fraction: float, range_fraction: float) -> float:
    """Power of a processor.

    Equation: P = TDP k (a + b s), with s from `curve`.

    Args:
        tdp_w: Thermal design power, TDP [W].
        rise: Where between idle and full load it is, s [1].
        machine_factor: What sets this machine apart from others, k [1].
        idle_fraction: Idle power as a share of TDP, a [1].
        range_fraction: Full less idle power as a share of TDP, b [1].

    Returns:
        Power [W], of package alone: without memory, converters, fans.

    Source: codecarbon, load sweeps of four machines.
    """
    return tdp_w * machine_factor * (idle_fraction + range_fraction * rise)


def guest_rise(share: float, host_share: float, curvature: float) -> float:
    """A virtual machine's part of its host's rise, by its part of the host's busy time.

    Equation: s_vm = s(u_host) u / u_host, per thread that it has.

    Args:
        share: Busy share of its own threads, u [1].
        host_share: Busy share of the host's threads, u_host [1].
        curvature: c of `curve` [1].
    """
    return curve(host_share, curvature) * share / host_share


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPower:
    """Design power of the threads that a machine has [W], whether a table knows its processor, and a note."""

    watts: Estimate
    known: bool
    note: str


def design_power(facts: NodeFacts) -> DesignPower:
    """Design power of a machine's processors; of a virtual machine, of the threads that it was given."""
    try:
        record = cpu_record(facts.cpu).record
    except UnknownReferenceError:
        record = None
    if record is None or record.tdp_w is None:
        by_thread = _watts_by_thread()
        scaled = {end: getattr(by_thread, end) * facts.threads for end in ("value", "low", "high")}
        name = facts.cpu or "without a name"
        note = f"cpus.csv does not know the processor {name!r}: design power is that of servers, by the thread"
        return DesignPower(
            watts=Estimate(**scaled, basis=Basis.ASSUMED, sources=by_thread.sources), known=False, note=note
        )
    sockets: float = facts.sockets
    if facts.virtual:
        threads = record.threads or (record.cores or facts.threads) * measuring_constant("threads_per_core").value
        sockets = facts.threads / threads
    note = f"processor {record.model}: {record.tdp_w:g} W of design power for each of {sockets:g}"
    return DesignPower(
        watts=Estimate.exact(record.tdp_w * sockets, Basis.PUBLISHED, record.source), known=True, note=note
    )


@cache
def _watts_by_thread() -> Estimate:
    """Design power of a thread of servers' processors since 2017: median, 5th and 95th percentile of cpus.csv [W]."""
    per_core = measuring_constant("threads_per_core").value
    rows = [r for r in table("cpus") if r["segment"] == "server" and (number(r["year"]) or 0) >= SINCE]
    watts = [float(r["tdp_w"]) / (float(r["cores"]) * per_core) for r in rows if r["tdp_w"] and r["cores"]]
    cuts = statistics.quantiles(watts, n=20)
    return Estimate(
        value=statistics.median(watts), low=cuts[0], high=cuts[-1], basis=Basis.ASSUMED, sources=("cpus.csv, servers",)
    )


def cpu_energy_j(facts: NodeFacts, load: Load | None, time_s: float) -> tuple[Estimate, str]:
    """Energy of the processors over a run, and a note on what it rests on.

    Args:
        facts: The machine.
        load: How busy it was; None where nobody looked: then the share that machines have, with its whole interval.
        time_s: How long the run was [s]; time that the load does not cover was as busy as the rest.

    Returns:
        Energy [J].
    """
    power = design_power(facts)
    constants = ("cpu_machine_factor", "cpu_idle_fraction", "cpu_range_fraction", "cpu_curvature", "host_utilisation")
    inputs = {"tdp_w": power.watts, **{name: measuring_constant(name) for name in constants}}
    if not power.known:
        inputs["cpu_unknown_factor"] = measuring_constant("cpu_unknown_factor")
    looked = load is not None and load.time_s > 0
    if looked and not facts.virtual:
        del inputs["host_utilisation"]  # it plays no part

    def energy(values: Mapping[str, float]) -> dict[str, float]:
        host_share = values.get("host_utilisation", 1.0)
        shares = load.shares() if load is not None and looked else [(1.0, host_share)]
        c = values["cpu_curvature"]
        rises = [guest_rise(u, host_share, c) if facts.virtual else curve(u, c) for _, u in shares]
        rise = sum(r * t for r, (t, _) in zip(rises, shares, strict=True)) / sum(t for t, _ in shares)
        k = values["cpu_machine_factor"] * values.get("cpu_unknown_factor", 1.0)
        watts = cpu_power_w(values["tdp_w"], rise, k, values["cpu_idle_fraction"], values["cpu_range_fraction"])
        return {"energy_j": watts * time_s}

    found = propagate(energy, inputs).outputs["energy_j"]
    assert found is not None
    return found, power.note


def calibrated_machine_factor(measured_w: float, share: float, tdp_w: float) -> Estimate:
    """Machine factor from the power of this machine, once measured at a known load.

    Equation: k = P / (TDP (a + b s(u))).

    Args:
        measured_w: Power of the package, as a counter or a meter told it, P [W].
        share: Busy share at that time, u [1].
        tdp_w: Thermal design power, TDP [W].
    """
    rise = curve(share, measuring_constant("cpu_curvature").value)
    fractions = [measuring_constant(f"cpu_{name}_fraction").value for name in ("idle", "range")]
    value = measured_w / cpu_power_w(tdp_w, rise, 1.0, *fractions)
    spread = measuring_constant("cpu_calibrated_factor")
    return Estimate(
        value=value, low=value * spread.low, high=value * spread.high, basis=spread.basis, sources=spread.sources
    )
