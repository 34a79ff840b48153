"""What this machine will draw while it trains: by models of its parts, or as in earlier runs that were measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.estimate import Basis, Estimate, scaled
from tonne.measure.environment import Roots, roots_from_environment
from tonne.measure.facts import NodeFacts, node_facts
from tonne.measure.models.load import CpuTimes, Load, cpu_times, utilisation
from tonne.measure.parts import Node, node_energy
from tonne.workflow.paces import same_shape

if TYPE_CHECKING:
    from tonne.energy.use import EnergyUse
    from tonne.train.ahead import Ahead
    from tonne.workflow.paces import Pace

PARTS = ("accelerators", "cpu", "memory", "host_rest")
HOUR_S = 3600.0  # energy of an hour [kWh] is power [kW]
W_PER_KW = 1000.0
LEAST_LOOK_S = 0.2  # the kernel counts in hundredths of a second
AGAIN_SPREAD = 0.1  # of the power of a measured part between two runs of the same steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A machine's own facts, and how busy its processors were while a run's pieces were tried; None: too short."""

    facts: NodeFacts
    share: float | None


class Look:
    """Looks how busy the processors are from now on, whoever it is that keeps them busy."""

    def __init__(self, roots: Roots | None = None) -> None:
        """The first reading."""
        self._roots = roots or roots_from_environment()
        self._before = cpu_times(self._roots.proc)

    def ended(self) -> Looked:
        """What was seen since."""
        return Looked(facts=node_facts(self._roots), share=busy_share(self._before, cpu_times(self._roots.proc)))


def busy_share(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    """Busy share of all processors between two readings; None where they are too close together, or there are none."""
    if before is None or after is None:
        return None
    passed_s = after.busy_s - before.busy_s + after.idle_s - before.idle_s
    return utilisation(before, after) if passed_s >= LEAST_LOOK_S else None


def power_w(ahead: Ahead, looked: Looked, paces: list[Pace]) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    """Mean power of this node's parts in the run [W], without those that cannot be known, and notes on them.

    Args:
        ahead: The run.
        looked: The machine.
        paces: What is kept of it.
    """
    share = looked.share
    if share is None:
        share = min(1.0, ahead.threads * ahead.processes_here / max(looked.facts.threads, 1))
    load = Load.steady(HOUR_S, share)
    use, notes = node_energy(
        Node(read=(), facts=looked.facts, load=load, time_s=HOUR_S, silent_accelerators=ahead.chips)
    )
    found = watts_of(use, HOUR_S)
    own = [pace for pace in same_shape(paces, ahead.shape) if pace.watts]
    for part in PARTS:
        rows = [pace for pace in own if part in pace.watts]
        if rows:
            found[part] = _as_before(part, rows, found.get(part))
    return found, (*notes, f"processors {share:.0%} busy, as while the run's pieces were tried")


def _as_before(part: str, rows: list[Pace], modelled: Estimate | None) -> Estimate:
    """The power that earlier runs of the same steps had: read by sensors, or modelled by their load.

    What was modelled, or is not there, names the model's sources too: whoever compares must see that both sides rest
    on one.
    """
    value = statistics.fmean(pace.watts[part][0] for pace in rows)
    is_read = all(part in pace.measured_parts for pace in rows)
    before, low, high = rows[-1].watts[part]
    down, up = (low / before, high / before) if before > 0 else (1.0, 1.0)
    if is_read:
        down, up = min(down, 1 - AGAIN_SPREAD), max(up, 1 + AGAIN_SPREAD)
    model = () if modelled is None or (is_read and value > 0) else modelled.sources
    source = f"{len(rows)} earlier run{'s' if len(rows) > 1 else ''} on this machine"
    return Estimate(
        value=value,
        low=value * down,
        high=value * up,
        basis=Basis.MEASURED if is_read else Basis.MODELLED,
        sources=(*model, source),
    )


def watts_of(use: EnergyUse, time_s: float) -> dict[str, Estimate]:
    """Mean power of the parts that are known [W].

    Args:
        use: Energy of a node.
        time_s: Over which it was used [s].
    """
    per_kwh = W_PER_KW * HOUR_S / time_s
    energies = {part: getattr(use, f"{part}_kwh") for part in PARTS}
    return {part: scaled(one, per_kwh) for part, one in energies.items() if one is not None}
