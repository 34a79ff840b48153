"""Can the numbers of an NVIDIA board be trusted, and what does a power cap do to a training step? To be run on one.

Three parts, each with the board's energy counter, its power, and tonne's own meter side by side:

1. an idle minute;
2. a minute of matrix products;
3. with `--caps`: training steps of a transformer under several power caps, beside what `tonne.timing.power_cap` says.
   It needs root, asks before anything else whether the driver permits it, and sets back the limit that it found,
   however it ends. No other setting is touched.

For 1 and 2 it prints the mean power by the counter and by the trapezoid over the power, their ratio, how often each
number changes, and what the meter of tonne says of the same time. A counter is trusted where the ratio is within the
5 % that the tables take as its error.

    python benchmarks/on_an_accelerator.py                    # 1 and 2, two minutes
    python benchmarks/on_an_accelerator.py --caps             # and 3; as root
    python benchmarks/on_an_accelerator.py --seconds 20 --json out.json

Answer: none yet. The machines that tonne was made on have no accelerator; the script was tried with a library that
stands in for the driver's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from signal import SIGHUP, SIGTERM, signal
from typing import Any

MILLI, NS_PER_S = 1e-3, 1e9
EVERY_S = 0.05  # drivers renew their numbers every 20 to 100 ms
CAPS = 5  # from the board's most to its least
SETTLING_S = 3.0  # after a new cap, before anything is measured
WARM_STEPS = 5
SIDE, SIDE_ON_A_CPU = 8192, 512  # of the products
SHAPES = {  # layers, width, heads, vocabulary, sequences of a step, their length
    "cuda": (24, 1024, 16, 50_304, 8, 1024),
    "cpu": (2, 64, 2, 512, 2, 64),
}


class RefusedError(Exception):
    """What cannot be done here, and why."""


class Board:
    """One board as NVML tells of it."""

    def __init__(self, index: int) -> None:
        """Open it.

        Raises:
            RefusedError: There is no binding, no driver or no such board.
        """
        try:
            import pynvml  # noqa: PLC0415 - its absence is told
        except ImportError:
            raise RefusedError("the binding of NVML is not installed: pip install nvidia-ml-py") from None
        self.nvml = pynvml
        try:
            pynvml.nvmlInit()
            self.handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            self.name = pynvml.nvmlDeviceGetName(self.handle)
        except pynvml.NVMLError as error:
            raise RefusedError(f"NVML shows no board {index}: {error}") from None

    def asked(self, what: str) -> float | None:
        """A number of the driver in W or J; None where it has none."""
        try:
            return getattr(self.nvml, what)(self.handle) * MILLI
        except self.nvml.NVMLError:
            return None

    def counter_j(self) -> float | None:
        """The energy counter [J]."""
        return self.asked("nvmlDeviceGetTotalEnergyConsumption")

    def power_w(self) -> float | None:
        """The power [W]."""
        return self.asked("nvmlDeviceGetPowerUsage")

    def limit_w(self) -> float:
        """The cap that is set now [W].

        Raises:
            RefusedError: The driver does not tell.
        """
        found = self.asked("nvmlDeviceGetPowerManagementLimit")
        if found is None:
            raise RefusedError("the driver does not tell the board's power cap")
        return found

    def limits_w(self) -> tuple[float, float]:
        """The least and the most that may be set [W].

        Raises:
            RefusedError: The driver does not tell.
        """
        try:
            least, most = self.nvml.nvmlDeviceGetPowerManagementLimitConstraints(self.handle)
        except self.nvml.NVMLError as error:
            raise RefusedError(f"the driver does not tell which caps the board takes: {error}") from None
        return least * MILLI, most * MILLI

    def cap(self, watts: float) -> None:
        """Set the cap.

        Raises:
            RefusedError: The driver does not permit it.
        """
        try:
            self.nvml.nvmlDeviceSetPowerManagementLimit(self.handle, round(watts / MILLI))
        except self.nvml.NVMLError as error:
            raise RefusedError(f"the driver does not permit a power cap ({error}); it takes root on the host") from None


@dataclass(slots=True)
class Samples:
    """What was read, in order; times of the monotonic clock [ns]."""

    times_ns: list[int] = field(default_factory=list)
    counter_j: list[float | None] = field(default_factory=list)
    power_w: list[float | None] = field(default_factory=list)

    def told(self) -> dict[str, float | None]:
        """Mean power by the counter and by the power [W], their ratio, and how often each changed [s].

        Summed here and not by `tonne.measure`, which it is to be compared with.
        """
        counter = [(t, x) for t, x in zip(self.times_ns, self.counter_j, strict=True) if x is not None]
        power = [(t, x) for t, x in zip(self.times_ns, self.power_w, strict=True) if x is not None]
        by_counter = by_power = None
        if len(counter) > 1:
            by_counter = (counter[-1][1] - counter[0][1]) / (counter[-1][0] - counter[0][0]) * NS_PER_S
        if len(power) > 1:
            area = sum((b[1] + a[1]) / 2 * (b[0] - a[0]) for a, b in pairwise(power))
            by_power = area / (power[-1][0] - power[0][0])
        return {
            "counter_w": by_counter,
            "power_w": by_power,
            "power_over_counter": by_power / by_counter if by_counter and by_power is not None else None,
            "counter_changes_every_s": _changes_every_s(counter),
            "power_changes_every_s": _changes_every_s(power),
        }


def _changes_every_s(values: list[tuple[int, float]]) -> float | None:
    changes = [b[0] for a, b in pairwise(values) if a[1] != b[1]]
    if len(changes) < 2:
        return None
    return statistics.median(b - a for a, b in pairwise(changes)) / NS_PER_S


@contextmanager
def sampled(board: Board) -> Iterator[Samples]:
    """Both numbers, read side by side in a thread of their own."""
    found, ended = Samples(), threading.Event()

    def read() -> None:
        found.times_ns.append(time.monotonic_ns())
        found.counter_j.append(board.counter_j())
        found.power_w.append(board.power_w())

    def go_on() -> None:
        while not ended.wait(EVERY_S):
            read()

    read()
    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        read()


def compared(board: Board, index: int, seconds: float, work: Callable[[float], None]) -> dict[str, Any]:
    """The board's two numbers and tonne's over some work."""
    import tonne  # noqa: PLC0415 - the board is looked for first
    from tonne.measure.replay import measured  # noqa: PLC0415

    with tonne.track("on-an-accelerator") as meter, sampled(board) as samples:
        begun = time.monotonic()
        work(seconds)
        lasted_s = time.monotonic() - begun
    found, whole = samples.told(), measured(meter.folder)
    ours = [use for node in whole.nodes for use in node.sensors if use.of.part == f"accelerator:{index}"]
    tonne_w = ours[0].total.energy_j / whole.nodes[0].lasted_s if ours and ours[0].total.energy_j is not None else None
    by_counter = found["counter_w"]
    return {**found, "tonne_w": tonne_w, "tonne_over_counter": tonne_w / by_counter if by_counter and tonne_w else None,
            "lasted_s": lasted_s}  # fmt: skip


def idle(seconds: float) -> None:
    """Do nothing."""
    time.sleep(seconds)


def products(device: str) -> Callable[[float], None]:
    """Matrix products without end, two in flight."""
    import torch  # noqa: PLC0415 - not for the idle minute

    side = SIDE if device == "cuda" else SIDE_ON_A_CPU
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    b = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def work(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(10):
                torch.mm(a, b)
            wait_for(device)

    work(min(SETTLING_S, 0.1 if device == "cpu" else SETTLING_S))
    return work


def wait_for(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device == "cuda":
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()


def training_step(device: str) -> tuple[Callable[[], None], int]:
    """One step of a decoder of tonne's own in bf16, and its tokens."""
    import torch  # noqa: PLC0415

    from tonne.describe.architecture import Architecture  # noqa: PLC0415
    from tonne.model import Transformer  # noqa: PLC0415

    layers, width, heads, vocabulary, sequences, length = SHAPES[device]
    shape = {"layers": layers, "width": width, "heads": heads, "vocabulary": vocabulary, "max_positions": length}
    torch.manual_seed(0)
    model = Transformer(Architecture(kind="decoder", positions="learned", **shape)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device == "cuda")
    tokens = torch.randint(vocabulary, (sequences, length + 1), device=device)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = model(tokens[:, :-1], targets=tokens[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, sequences * length


def swept(board: Board, seconds: float, device: str) -> list[dict[str, Any]]:
    """Steps under caps, the highest first; the cap that was found is set again however this ends."""
    (least_w, most_w), before_w = board.limits_w(), board.limit_w()
    board.cap(before_w)  # asks for permission, and changes nothing
    for number in (SIGTERM, SIGHUP):
        signal(number, lambda *_: sys.exit(1))
    step, tokens = training_step(device)
    found: list[dict[str, Any]] = []
    try:
        for i in range(CAPS):
            cap_w = most_w - (most_w - least_w) * i / (CAPS - 1)
            board.cap(cap_w)
            for _ in range(WARM_STEPS):
                step()
            wait_for(device)
            time.sleep(min(SETTLING_S, seconds))
            found.append({"cap_w": cap_w, **_steps(board, seconds, step, tokens, device)})
            first = found[0]
            of_first = found[-1]["step_s"] / first["step_s"]
            found[-1] |= {"slow_down": of_first, "tonne_says": said(first["mean_w"], found[-1]["mean_w"], most_w)}
    finally:
        board.cap(before_w)
    return found


def said(power_w: float | None, capped_w: float | None, most_w: float) -> float | None:
    """How much slower tonne says that steps are at a lower power; None where it has no answer: not below the power that
    buys no speed, which the least cap of a board may be.
    """
    from tonne.timing.power_cap import STATIC_SHARE, slow_down  # noqa: PLC0415

    if power_w is None or capped_w is None or min(power_w, capped_w) <= STATIC_SHARE * most_w:
        return None
    return slow_down(power_w, min(power_w, capped_w), most_w)


def _steps(board: Board, seconds: float, step: Callable[[], None], tokens: int, device: str) -> dict[str, Any]:
    with sampled(board) as samples:
        begun, count = time.monotonic(), 0
        while time.monotonic() < begun + seconds:
            step()
            count += 1
            wait_for(device)
        lasted_s = time.monotonic() - begun
    told = samples.told()
    mean_w = told["counter_w"] if told["counter_w"] is not None else told["power_w"]
    per_token = None if mean_w is None else mean_w * lasted_s / (count * tokens)
    return {"mean_w": mean_w, "step_s": lasted_s / count, "tokens_per_s": count * tokens / lasted_s,
            "j_per_token": per_token}  # fmt: skip


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(rows: dict[str, dict[str, Any]]) -> None:
    for name, row in rows.items():
        print(f"{name:>12}: " + ", ".join(f"{key} {_shown(value)}" for key, value in row.items()), flush=True)


def main() -> int:
    """Run the parts; 1 where there is no board."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--board", type=int, default=0, help="number of the board, as nvidia-smi counts")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each part, and of each cap")
    parser.add_argument("--caps", action="store_true", help="training steps under power caps, too; needs root")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try the script itself")
    parser.add_argument("--json", help="a file for all that was found")
    options = parser.parse_args()
    try:
        board = Board(options.board)
    except RefusedError as why:
        print(f"nothing to measure: {why}")
        return 1
    print(f"board {options.board}: {board.name}; {options.seconds:g} s each")
    found: dict[str, Any] = {"board": board.name, "idle": compared(board, options.board, options.seconds, idle)}
    _table({"idle": found["idle"]})
    try:
        if options.device == "cuda":
            _require_cuda(options.board)
        found["products"] = compared(board, options.board, options.seconds, products(options.device))
        _table({"products": found["products"]})
        if options.caps:
            found["caps"] = swept(board, options.seconds, options.device)
            _table({f"cap {row['cap_w']:.0f} W": row for row in found["caps"]})
    except RefusedError as why:
        found["refused"] = str(why)
        print(f"not measured: {why}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(found, file, indent=2)
    return 0


def _require_cuda(index: int) -> None:
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        raise RefusedError("PyTorch is not installed: pip install 'tonne[train]'") from None
    if not torch.cuda.is_available():
        raise RefusedError("PyTorch sees no accelerator; --device cpu tries the script itself")
    torch.cuda.set_device(index)


if __name__ == "__main__":
    sys.exit(main())
