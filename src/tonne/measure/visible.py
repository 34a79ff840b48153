"""Which accelerators a process may use, as its variables say: each selects boards of one make, by its own numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tonne.measure.sensors.numbering import AMD_BOARDS, OWN
from tonne.measure.sensors.protocol import ACCELERATOR, Description, accelerator

NONE_VISIBLE = {"", "-1", "none", "void", "NoDevFiles"}
ALL_VISIBLE = "all"
CUDA, NVIDIA_CONTAINER, HIP, ROCR = (
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
)  # fmt: skip
NVIDIA, AMD, INTEL, APPLE = "nvidia", "amd", "intel", "apple"
MAKES = {
    "nvml:": NVIDIA, "amdsmi:": AMD, AMD_BOARDS: AMD, "hwmon:xe-": INTEL, "hwmon:i915-": INTEL, "apple:": APPLE,
}  # fmt: skip


def is_visible(part: str, boards: Sequence[Description], told: Mapping[str, str]) -> bool:
    """Whether a process may use an accelerator.

    A board of another make than any variable is about is the process's, unless one names boards of its own make: a
    program is built for one. HIP obeys CUDA_VISIBLE_DEVICES too, which is NVIDIA's where there are boards of NVIDIA;
    its numbers count the devices that ROCR_VISIBLE_DEVICES left.

    Args:
        part: The accelerator, as "accelerator:0".
        boards: What is known of the machine's sensors.
        told: The variables of the process that are set, by their names.
    """
    make = _make_of(part, boards) if _is_numbered(part) else None
    if make is None:  # of a driver that we do not know: whichever variable comes first
        return not told or _is_named(next(iter(told.values())), part, part, boards)
    makes = {_make_of(one, boards) for board in boards for one in _accelerators(board)} - {None}
    chosen = _chosen(make, makes, told)
    if not chosen:
        others = [text for other in makes - {make} for text in _chosen(other, makes, told)]
        return all(text in NONE_VISIBLE for text in others)
    first = _first_of(make, boards)
    number = int(part.removeprefix(ACCELERATOR)) - first
    for text in chosen:
        place = _place(text, number, part, boards)
        if place is None:
            return False
        number = place
    return True


def _chosen(make: str | None, makes: Collection[str | None], told: Mapping[str, str]) -> list[str]:
    """What variables say of the boards of a make, each about those that the one before left."""
    if make == NVIDIA:
        return [told[name] for name in (CUDA, NVIDIA_CONTAINER) if name in told][:1]
    if make == AMD:
        names = (HIP,) if NVIDIA in makes else (HIP, CUDA)
        return [told[name] for name in (ROCR,) if name in told] + [told[name] for name in names if name in told][:1]
    return []


def _place(text: str, number: int, part: str, boards: Sequence[Description]) -> int | None:
    """The number that a device has among those that a variable names; None where it is not one of them."""
    if text == ALL_VISIBLE or "MIG-" in text:  # a slice does not say of which board it is
        return number
    if text in NONE_VISIBLE:
        return None
    words = [word.strip() for word in text.split(",")]
    return next((i for i, word in enumerate(words) if _is_named(word, accelerator(number), part, boards)), None)


def _is_named(text: str, counted: str, part: str, boards: Sequence[Description]) -> bool:
    """Whether a text names a board, by the number that it is counted by or by the beginning of its id."""
    if text == ALL_VISIBLE or "MIG-" in text:
        return True
    if text in NONE_VISIBLE:
        return False
    ids = {board.device_id for board in boards if part in board.covers and board.device_id}
    for word in (word.strip() for word in text.split(",")):
        index = word.partition(":")[0]  # "0:1" is a slice of the first board
        if index.isdigit() and accelerator(int(index)) == counted:
            return True
        if not word.isdigit() and any(one.startswith(word) for one in ids):
            return True
    return False


def _make_of(part: str, boards: Sequence[Description]) -> str | None:
    """The make of an accelerator, by the driver that reads it; where none does, that of all others."""
    of_it = [board for board in boards if part in board.covers and not board.name.startswith(OWN)]
    named = {make for board in of_it or boards for begin, make in MAKES.items() if board.name.startswith(begin)}
    return next(iter(named)) if len(named) == 1 else None


def _first_of(make: str, boards: Sequence[Description]) -> int:
    """The number of the machine that a make's own number 0 has."""
    firsts = []
    for board in boards:
        numbers = [
            int(part.removeprefix(ACCELERATOR)) for part in _accelerators(board) if _make_of(part, boards) == make
        ]
        own = board.name.partition(":")[2]  # the libraries' sensors are called by their own numbers
        firsts += [min(numbers) - (int(own) if own.isdigit() else 0)] if numbers else []
    return min(firsts, default=0)


def _accelerators(board: Description) -> list[str]:
    return [part for part in board.covers if _is_numbered(part)]


def _is_numbered(part: str) -> bool:
    return part.startswith(ACCELERATOR) and part.removeprefix(ACCELERATOR).isdigit()
