"""Power of memory without a sensor: by the module, not by the gigabyte."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.estimate import Estimate, propagate
from tonne.measure.facts import NodeFacts
from tonne.reference.measuring import measuring_constant


def memory_power_w(modules: float, module_w: float) -> float:
    """Power of memory.

    Equation: P = n P_module.

    Args:
        modules: Modules, n; a virtual machine may have a part of one.
        module_w: Power of one in use [W].

    Returns:
        Power [W].
    """
    return modules * module_w


def memory_energy_j(facts: NodeFacts, time_s: float) -> tuple[Estimate | None, str]:
    """Energy of the memory over a run, and a note; None where not even its size is known.

    Args:
        facts: The machine: its modules where the board tells them, else its memory, in modules of a common size.
        time_s: How long the run was [s].

    Returns:
        Energy [J].
    """
    if not facts.modules and not facts.memory_bytes:
        return None, "the size of the memory is not known"
    inputs = {"dimm_w": measuring_constant("dimm_w")}
    if facts.modules is None or facts.virtual:
        inputs["dimm_bytes"] = measuring_constant("dimm_bytes")

    def modules(values: Mapping[str, float]) -> float:
        if "dimm_bytes" not in values:
            return float(facts.modules or 1)
        count = facts.memory_bytes / values["dimm_bytes"]
        return count if facts.virtual else max(count, 1.0)

    def energy(values: Mapping[str, float]) -> dict[str, float]:
        return {"energy_j": memory_power_w(modules(values), values["dimm_w"]) * time_s}

    told = {name: constant.value for name, constant in inputs.items()}
    note = f"memory: {modules(told):.3g} modules of {told['dimm_w']:g} W"
    return propagate(energy, inputs).outputs["energy_j"], note
