"""NVIDIA accelerators through NVML: the energy counter where the chip has one, else its power.

NVML tells of whole boards. Slices of a board (MIG) have no sensor of their own: the board is read, and `slices_of` says
what share of it each slice is.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tonne.measure.environment import Roots
from tonne.measure.sensors.pci import NVIDIA, boards
from tonne.measure.sensors.protocol import UNUSED, Clock, Missing, Readable, ReadingError, accelerator, once
from tonne.reference.measuring import measuring_constant

MILLI = 1e-3
LIBRARY = "libnvidia-ml.so.1"
NOT_COUNTED = (2**64 - 1, 2**32 - 1)  # what drivers answer where they have no number
CEILING_OVER_LIMIT = 2.0  # a board passes its limit for milliseconds, never for seconds
OF_THE_MOMENT = re.compile(r"\b(A100X?|A800|A30X?|CMP 170HX)\b")  # GA100: of Ampere, yet without an averaging window


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of a board (a MIG device) and its share of the board's compute."""

    uuid: str
    fraction: float


def open_nvidia(roots: Roots, clock: Clock) -> tuple[list[Readable], list[Missing]]:
    """A sensor for every board that the driver shows.

    Source: nvidia2026nvml, device queries.
    """
    if not _has_library():
        return [], _without_library(roots)
    try:
        import pynvml  # noqa: PLC0415 - 30 ms that only machines with the driver spend
    except ImportError:
        return [], [Missing(accelerator(0), "the binding of NVML is not installed", "pip install nvidia-ml-py")]
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_DRIVER_NOT_LOADED and not boards(roots.sys, NVIDIA):
            return [], []  # the library alone, as in images that nodes without boards start from too
        mend = "run `nvidia-smi`, which says more; after an update of the driver, reboot or load its module again"
        return [], [Missing(accelerator(0), f"NVML does not start: {error}", mend)]
    return _open_boards(pynvml, clock)


def _without_library(roots: Roots) -> list[Missing]:
    """Boards of the bus: those whose kernel module is loaded may be in use all the same, as in a container."""
    present = range(boards(roots.sys, NVIDIA))
    if not (roots.sys / "module/nvidia").is_dir():
        return [Missing(UNUSED, "an NVIDIA board without a driver", "install the NVIDIA driver") for _ in present]
    mend = "start the container with `--gpus all` and NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    return [Missing(accelerator(i), f"{LIBRARY} of the driver is not there", mend) for i in present]


def _has_library() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def _open_boards(nvml: Any, clock: Clock) -> tuple[list[Readable], list[Missing]]:  # noqa: ANN401 - an untyped module
    sensors: list[Readable] = []
    missing: list[Missing] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            sensors.append(_sensor(nvml, index, clock))
        except (nvml.NVMLError, ReadingError) as error:
            reason = f"the driver tells neither energy nor power: {error}"
            missing.append(Missing(accelerator(index), reason, _mend(nvml), _name(nvml, index)))
    nvml.nvmlShutdown()  # each sensor holds a start of its own
    return sensors, missing


def _sensor(nvml: Any, index: int, clock: Clock) -> Readable:  # noqa: ANN401
    board = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(board)
    energy = _milli(nvml.nvmlDeviceGetTotalEnergyConsumption, board)
    power = _milli(nvml.nvmlDeviceGetPowerUsage, board)
    counts = _counts(nvml, energy)
    if not counts:
        power()  # raises what to tell where there is neither
    nvml.nvmlInit()
    return Readable(
        name=f"nvml:{index}",
        part=accelerator(index),
        kind="counter" if counts else "power",
        unit="J" if counts else "W",
        error_fraction=measuring_constant("nvml_error_fraction").value,
        window_s=0.0 if counts else _window_s(nvml, board, name),
        ceiling_w=_ceiling_w(nvml, board),
        device=name,
        device_id=nvml.nvmlDeviceGetUUID(board),
        source=energy if counts else power,
        clock=clock,
        closer=once(nvml.nvmlShutdown),
    )


def _milli(query: Callable[[Any], int], board: Any) -> Callable[[], float]:  # noqa: ANN401
    """Reads millijoules as joules, or milliwatts as watts."""

    def read() -> float:
        told = query(board)
        if told in NOT_COUNTED:
            raise ReadingError("the driver has no number")
        return told * MILLI

    return read


def _counts(nvml: Any, energy: Callable[[], float]) -> bool:  # noqa: ANN401
    """Whether the energy counter works; virtual boards may show one that stays at zero."""
    try:
        return energy() > 0
    except (nvml.NVMLError, ReadingError):
        return False


def _window_s(nvml: Any, board: Any, name: str) -> float:  # noqa: ANN401
    """Averaging window of the power of a board [s]."""
    try:
        architecture = nvml.nvmlDeviceGetArchitecture(board)
    except nvml.NVMLError:
        return 0.0
    before_ampere = architecture < nvml.NVML_DEVICE_ARCH_AMPERE
    if before_ampere or (architecture == nvml.NVML_DEVICE_ARCH_AMPERE and OF_THE_MOMENT.search(name)):
        return 0.0
    return float(measuring_constant("nvml_averaging_window_s").value)


def _ceiling_w(nvml: Any, board: Any) -> float | None:  # noqa: ANN401
    try:
        _, limit_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(board)
    except nvml.NVMLError:
        return None
    return limit_mw * MILLI * CEILING_OVER_LIMIT if limit_mw else None


def _name(nvml: Any, index: int) -> str:  # noqa: ANN401
    try:
        return str(nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(index)))
    except nvml.NVMLError:
        return ""


def _mend(nvml: Any) -> str:  # noqa: ANN401
    """What to do about boards that stay silent: see whether somebody who sees more does."""
    return (
        f"run `nvidia-smi --query-gpu=power.draw --format=csv` on the host (driver {nvml.nvmlSystemGetDriverVersion()})"
    )


def slices_of(index: int) -> tuple[Slice, ...]:
    """The slices (MIG devices) of a board, each with its share of the compute; empty where it is not sliced.

    Args:
        index: Number of the board, as NVML counts.
    """
    import pynvml  # noqa: PLC0415 - as above

    pynvml.nvmlInit()
    try:
        board = pynvml.nvmlDeviceGetHandleByIndex(index)
        if pynvml.nvmlDeviceGetMigMode(board)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return ()
        whole = pynvml.nvmlDeviceGetMaxMigDeviceCount(board)  # as many as there are slices of the smallest size
        return tuple(_slices(pynvml, board, whole))
    except pynvml.NVMLError:
        return ()  # a board that cannot be sliced
    finally:
        pynvml.nvmlShutdown()


def _slices(nvml: Any, board: Any, whole: int) -> Iterator[Slice]:  # noqa: ANN401
    for place in range(whole):
        try:
            device = nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, place)
        except nvml.NVMLError:
            continue  # nothing in this place
        taken = nvml.nvmlDeviceGetAttributes(device).gpuInstanceSliceCount
        yield Slice(nvml.nvmlDeviceGetUUID(device), taken / whole)
