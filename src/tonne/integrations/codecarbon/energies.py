"""From accounts to the energies of a row: CodeCarbon's boundary is processors, memory and accelerators.

Fans, power supplies and drives, which an account has as the rest of the host, are outside of it; `tracker.meter` has
them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tonne.estimate import Basis, Estimate
from tonne.integrations.codecarbon.columns import UNKNOWN
from tonne.integrations.codecarbon.settings import Settings
from tonne.measure.environment import roots_from_environment, visible_variables
from tonne.measure.facts import node_facts
from tonne.measure.models.cpu import design_power
from tonne.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from tonne.energy.use import EnergyUse
    from tonne.measure.meter import Meter

PARTS = ("cpu_kwh", "accelerators_kwh", "memory_kwh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energies:
    """IT energy of a row [kWh]; NaN where it is not known."""

    lasted_s: float
    cpu_kwh: float
    accelerators_kwh: float
    memory_kwh: float

    @property
    def sum_kwh(self) -> float:
        """All of it."""
        return self.cpu_kwh + self.accelerators_kwh + self.memory_kwh


def energies_of(meter: Meter, settings: Settings, lasted_s: float, window: str | None = None) -> Energies:
    """What a row of this process says: its share of the job, or of all that the node took.

    Of a node that several processes of one run track, each row has a part, so that the rows add up to the node.

    Args:
        meter: Of the run.
        settings: Of the tracker; they may give power that takes the place of a model's.
        lasted_s: Time that this process was in it [s]; of one that is alone, its journal knows better.
        window: Only the windows of this name.

    Raises:
        MeasurementError: Nothing was measured.
    """
    account = meter.account(window=window)
    use = account.energy
    found = {name: _known(getattr(use, name)) for name in PARTS}
    is_shared = len(list(Path(meter.folder or ".").glob("*.jsonl"))) > 1
    by_process = settings.tracking_mode == "process"
    if is_shared or by_process:
        node = meter.account().energy
        mine = meter.share().energy if is_shared else node
        job = meter.account("job").energy if by_process else node
        for name in PARTS:
            found[name] *= _fraction(mine, node, name) * _fraction(job, node, name)
    if settings.gpu_ids is None and any(visible_variables().values()) and not by_process:
        from tonne.measure.accounting import visible_account  # noqa: PLC0415 - pydantic stays away until there is a row

        seen = visible_account(meter._measured(meter._main_window()), site=meter.site).energy
        found["accelerators_kwh"] *= _fraction(seen, meter.account().energy, "accelerators_kwh")
    told_s = lasted_s if is_shared or account.duration_s is None else float(account.duration_s.value)
    return _as_told(found, use, settings, told_s)


def _known(estimate: Estimate | None) -> float:
    return UNKNOWN if estimate is None else float(estimate.value)


def _fraction(part: EnergyUse, whole: EnergyUse, name: str) -> float:
    """A part's share of the whole; all of nothing is nothing."""
    above, below = _known(getattr(part, name)), _known(getattr(whole, name))
    return above / below if below else 1.0


def _as_told(found: dict[str, float], use: EnergyUse, settings: Settings, lasted_s: float) -> Energies:
    """With the power that the script gives: of memory, and of processors at full load that nothing reads."""
    if settings.force_ram_power is not None:
        found["memory_kwh"] = settings.force_ram_power * lasted_s / SECONDS_PER_HOUR / 1000
    is_read = use.cpu_kwh is not None and use.cpu_kwh.basis is Basis.MEASURED
    if not is_read:
        assumed = design_power(node_facts(roots_from_environment()))
        told_w = settings.default_cpu_power if not assumed.known else None
        told_w = told_w if settings.force_cpu_power is None else settings.force_cpu_power
        found["cpu_kwh"] *= 1.0 if told_w is None else told_w / assumed.watts.value
    return Energies(lasted_s=lasted_s, **found)
