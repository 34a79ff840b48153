"""AMD accelerators through amdsmi: the energy counter where it counts, else the power of the socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonne.measure.environment import Roots
from tonne.measure.sensors.pci import AMD, boards
from tonne.measure.sensors.protocol import Clock, Missing, Readable, ReadingError, accelerator, once
from tonne.reference.measuring import measuring_constant

MICRO = 1e-6
POWERS = ("current_socket_power", "average_socket_power", "socket_power")  # by preference; names differ by version
CEILING_OVER_LIMIT = 2.0
TWO_DIES = "MI250"  # one package, two devices: the first tells of both, the second of nothing
SERVERS = "Instinct"


def open_amd(roots: Roots, clock: Clock) -> tuple[list[Readable], list[Missing]]:
    """A sensor for every accelerator that the driver shows."""
    present = boards(roots.sys, AMD, graphics=False)  # graphics are found by hwmon, where they tell anything
    if not present and not (roots.sys / "module/amdgpu").is_dir():
        return [], []
    try:
        import amdsmi  # noqa: PLC0415 - only where there is such a board

        amdsmi.amdsmi_init()
        devices = amdsmi.amdsmi_get_processor_handles()
    except ImportError:
        return [], [_missing(i, "the binding amdsmi is not installed", "pip install amdsmi") for i in range(present)]
    except Exception as error:  # without a driver its import raises KeyError, its start AmdSmiLibraryException
        mend = "run `amd-smi static`, which says more; install ROCm, and add yourself to the groups render and video"
        return [], [
            _missing(i, f"amdsmi does not start: {type(error).__name__}: {error}", mend) for i in range(present)
        ]
    return _open_boards(amdsmi, devices, clock)


def _missing(index: int, reason: str, mend: str) -> Missing:
    return Missing(accelerator(index), reason, mend)


def _open_boards(smi: Any, devices: list[Any], clock: Clock) -> tuple[list[Readable], list[Missing]]:  # noqa: ANN401 - an untyped module
    sensors: list[Readable] = []
    missing: list[Missing] = []
    open_ends = [len(devices)]

    def close_one() -> None:
        open_ends[0] -= 1
        if open_ends[0] == 0:
            smi.amdsmi_shut_down()

    places: list[str] = []  # of the boards of `sensors`
    for index, device in enumerate(devices):
        name, place = _name(smi, device), _place(smi, device)
        source, kind = _source(smi, device)
        is_second = (
            source is None and TWO_DIES in name and bool(sensors) and sensors[-1].covers[-1] == accelerator(index - 1)
        )
        if is_second or place in places:
            first = len(sensors) - 1 if is_second else places.index(place)
            sensors[first] = _of_both(sensors[first], index)
            close_one()
        elif source is None:
            close_one()
            reason, mend = "the driver tells neither energy nor power", "run `amd-smi metric --power`"
            missing.append(Missing(accelerator(index), reason, mend, name))
        elif SERVERS not in name and _ceiling_w(smi, device) is None:
            close_one()  # graphics inside a processor have no limit of their own: their power is the whole chip's
        else:
            sensors.append(_sensor(smi, index, device, (name, kind, source), (clock, once(close_one))))
            places.append(place)
    return sensors, missing


def _place(smi: Any, device: Any) -> str:  # noqa: ANN401
    """Where a board is on the bus; its partitions are functions of one place, and each tells of all of it."""
    try:
        return str(smi.amdsmi_get_gpu_device_bdf(device)).rpartition(".")[0]
    except Exception:
        return f"unknown place of {id(device)}"


def _of_both(first: Readable, index: int) -> Readable:
    fields = {name: getattr(first, name) for name in Readable.__dataclass_fields__}
    return Readable(**{**fields, "covers": (*first.covers, accelerator(index))})


def _name(smi: Any, device: Any) -> str:  # noqa: ANN401
    try:
        return str(smi.amdsmi_get_gpu_asic_info(device)["market_name"])
    except Exception:
        return "AMD accelerator"


def _source(smi: Any, device: Any) -> tuple[Callable[[], float] | None, str]:  # noqa: ANN401
    """What reads the device and its kind; None where nothing does."""

    def energy() -> float:
        told = smi.amdsmi_get_energy_count(device)
        ticks = told.get("energy_accumulator", told.get("power"))  # the older name of the same count
        return float(ticks) * float(told["counter_resolution"]) * MICRO

    def power() -> float:
        told = smi.amdsmi_get_power_info(device)
        for name in POWERS:
            if isinstance(told.get(name), int | float) and told[name] > 0:
                return float(told[name])
        raise ReadingError("the driver has no power")

    for source, kind in ((energy, "counter"), (power, "power")):
        try:
            if source() > 0:
                return source, kind
        except Exception:
            continue
    return None, ""


def _ceiling_w(smi: Any, device: Any) -> float | None:  # noqa: ANN401
    try:
        limit = smi.amdsmi_get_power_cap_info(device)["max_power_cap"]
        return (
            float(limit) * (MICRO if limit > 1e5 else 1.0) * CEILING_OVER_LIMIT or None
        )  # uW since version 6, W before
    except Exception:
        return None


def _sensor(smi: Any, index: int, device: Any, read: tuple[str, str, Any], around: tuple[Clock, Any]) -> Readable:  # noqa: ANN401
    name, kind, source = read
    try:
        identity = str(smi.amdsmi_get_gpu_device_uuid(device))
    except Exception:
        identity = ""
    return Readable(
        name=f"amdsmi:{index}",
        part=accelerator(index),
        kind="counter" if kind == "counter" else "power",
        unit="J" if kind == "counter" else "W",
        error_fraction=measuring_constant("amdsmi_error_fraction").value,
        ceiling_w=_ceiling_w(smi, device),
        device=name,
        device_id=identity,
        source=source,
        clock=around[0],
        closer=around[1],
    )
