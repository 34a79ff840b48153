"""Accelerators that the bus shows, whether or not their driver does."""

from __future__ import annotations

from pathlib import Path

NVIDIA, AMD = "0x10de", "0x1002"
GRAPHICS, COMPUTE = "0x0300", ("0x0302", "0x0380", "0x1200")  # classes of the PCI bus


def boards(sys: Path, vendor: str, *, graphics: bool = True) -> int:
    """How many accelerators of a vendor are on the PCI bus.

    Args:
        sys: Where the kernel shows its devices, /sys.
        vendor: Its number.
        graphics: Whether cards that drive a screen count; AMD's processors hold one.
    """
    kinds = {GRAPHICS, *COMPUTE} if graphics else set(COMPUTE)
    return sum(_is_board(device, vendor, kinds) for device in sorted((sys / "bus/pci/devices").glob("*")))


def _is_board(device: Path, vendor: str, kinds: set[str]) -> bool:
    try:
        kind = (device / "class").read_text(encoding="ascii").strip()
        return (device / "vendor").read_text(encoding="ascii").strip() == vendor and kind[:6] in kinds
    except OSError:
        return False
