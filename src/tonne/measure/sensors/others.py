"""Accelerators of other makes, which nothing here reads: a machine that has one is not a machine without any."""

from __future__ import annotations

from tonne.measure.environment import Roots
from tonne.measure.sensors.pci import devices
from tonne.measure.sensors.protocol import Missing, accelerator

# Vendor on the PCI bus -> make, and its devices that are accelerators; None for all of them.
MAKES = {
    "0x1ae0": ("TPU", ("0x0027", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076", "0x007c", "0x0083")),
    "0x1d0f": ("Neuron", ("0x7064", "0x7164", "0x7264", "0x7364", "0x7564", "0x7565")),
    "0x1da3": ("Gaudi", None),
}
NVGPU = "module/nvgpu"  # the driver of a Jetson's graphics, which are on no bus
MEND = "name a meter of it, or of the whole machine, in TONNE_METERS; see docs/sensors.md"


def other_accelerators(roots: Roots) -> list[Missing]:
    """The accelerators of this machine that no driver of tonne knows."""
    found = [
        make
        for vendor, (make, ids) in MAKES.items()
        for device in devices(roots.sys, vendor)
        if ids is None or device in ids
    ]
    if (roots.sys / NVGPU).is_dir():
        found.append("Jetson")
    return [Missing(accelerator(i), f"nothing here reads the energy of {make}", MEND) for i, make in enumerate(found)]
