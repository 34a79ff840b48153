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


def devices(sys: Path, vendor: str) -> list[str]:
    """Numbers of all devices of a vendor on the PCI bus, whatever they are, as "0x005e"."""
    places = sorted((sys / "bus/pci/devices").glob("*"))
    return [_text(place / "device") for place in places if _text(place / "vendor") == vendor]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _is_board(device: Path, vendor: str, kinds: set[str]) -> bool:
    return _text(device / "vendor") == vendor and _text(device / "class")[:6] in kinds
