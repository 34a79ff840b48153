"""What suits this machine and this model, found by trying: threads, precision, compilation.

Names mislead: 16-bit products are emulated on many processors and take three times as long as 32-bit ones, two threads
barely beat one on a machine that is shared, and a compiler slows small shapes down. What was found is kept, so that two
runs of one plan on one machine choose alike.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tonne.train.peak import fastest_s, measured_flop_per_s

KEPT = "choices.json"
SECONDS_A_TRIAL = 0.03
SECONDS_ALTOGETHER = 0.6
WORTH = 1.05  # a candidate must be so much faster than a simpler one: less is noise
DTYPE_OF = {"fp64": torch.float64, "fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How a run uses its machine; each field moves the last digits of a result, so all are kept with the run.

    ``peak_flop_per_s`` is one process's; ``tokens_per_s`` of all, in a trial of the model; None where none was made.
    """

    threads: int
    precision: str
    compile: bool
    micro_batch_sequences: int
    peak_flop_per_s: float
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A piece of work that can be done in a precision by as many threads as torch now uses."""

    work: Callable[[str], object]
    device: torch.device

    def seconds(self, threads: int, precision: str) -> float:
        """Shortest time of it [s]."""
        torch.set_num_threads(threads)
        return fastest_s(lambda: self.work(precision), self.device, SECONDS_A_TRIAL)


def fastest(trial: Trial, threads: Iterable[int], precisions: Iterable[str]) -> tuple[int, str, float]:
    """Threads, precision and time of the fastest of the candidates, the simplest first.

    A later one is chosen only where it is clearly faster. When the time for probing is over, the rest is left out.
    """
    candidates = [(count, precision) for precision in precisions for count in threads]
    best, end = None, time.perf_counter() + SECONDS_ALTOGETHER
    for count, precision in candidates:
        seconds = trial.seconds(count, precision)
        if best is None or seconds * WORTH < best[2]:
            best = (count, precision, seconds)
        if time.perf_counter() > end:
            break
    assert best is not None, "there is always a candidate"
    return best


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and the most there are."""
    doubling = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*doubling, most]


def processors(processes_here: int = 1) -> int:
    """Processors that this process may use, shared out over the processes of the machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, allowed // processes_here)


def peak_of(device: torch.device, precision: str, threads: int) -> float:
    """Rate of the fastest matrix product with what was chosen [FLOP/s]."""
    torch.set_num_threads(threads)
    return measured_flop_per_s(device, DTYPE_OF[precision])


def key_of(facts: Mapping[str, Any], device: torch.device) -> str:
    """What a choice is kept under: the machine, torch, and what the run is."""
    name = platform.processor() or platform.machine()
    if device.type != "cpu":
        name = str(getattr(torch, device.type).get_device_name(device))
    machine = [platform.node(), platform.system(), name, os.cpu_count(), torch.__version__, device.type]
    text = json.dumps([machine, facts], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def kept_choices(home: Path | None, key: str) -> Choices | None:
    """What was chosen for the same before; None where nothing was kept."""
    found = _kept(home).get(key)
    try:
        return None if found is None else Choices(**found)
    except TypeError:  # written by another version
        return None


def keep_choices(home: Path | None, key: str, choices: Choices) -> None:
    """Keep a choice for the next run; a home that cannot be written only costs the next run its probe."""
    if home is None:
        return
    kept = {**_kept(home), key: asdict(choices)}
    try:
        home.mkdir(parents=True, exist_ok=True)
        partial = home / f"{KEPT}.{os.getpid()}.partial"
        partial.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        partial.replace(home / KEPT)
    except OSError:
        return


def _kept(home: Path | None) -> dict[str, Any]:
    """All that was kept on this machine."""
    try:
        found = json.loads((home / KEPT).read_text(encoding="utf-8")) if home is not None else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
