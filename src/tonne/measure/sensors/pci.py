"""Accelerators that the bus shows, whether or not their driver does."""

from __future__ import annotations

from pathlib import Path

NVIDIA, AMD = "0x10de", "0x1002"
DISPLAY, ACCELERATOR = "0x03", "0x12"  # classes of the PCI bus


def boards(sys: Path, vendor: str) -> int:
    """How many accelerators of a vendor are on the PCI bus; a consumer's graphics card counts as one."""
    return sum(_is_board(device, vendor) for device in sorted((sys / "bus/pci/devices").glob("*")))


def _is_board(device: Path, vendor: str) -> bool:
    try:
        kind = (device / "class").read_text(encoding="ascii").strip()
        return (device / "vendor").read_text(encoding="ascii").strip() == vendor and kind[:4] in {DISPLAY, ACCELERATOR}
    except OSError:
        return False
