"""How fast is the chunked loss, and how much memory does it save?

Forward and backward pass of the loss alone, fp32, one thread, runs alternating, medians of CPU time; peak memory above
what the process holds before, each in a process of its own. Beside it: cross-entropy of whole logits, and torch's own
linear_cross_entropy in chunks, where this torch has it.

Answer (2 busy cores of a virtual machine, Xeon with AVX-512, torch 2.13, 2026-11-27), against whole logits: 1.6 to 1.7
times as fast and 28 MiB for 206 with 2,048 rows of width 256 and 8,192 tokens; 1.13 times and 46 MiB for 114 with 1,024
rows of width 768; 1.2 times and 210 MiB (147 of them the gradient of the table) for 610 with 50,257 tokens. What torch
has of its own: 1.2, 0.75 and 0.2 times, 99, 134 and 380 MiB.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional

from tonne.model.loss import linear_cross_entropy

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
RUNS = 7
SIZES = {"8k": (2048, 256, 8192), "8k wide": (1024, 768, 8192), "50k": (1024, 768, 50257)}  # rows, width, vocabulary


def plain(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(functional.linear(states, weight), targets)


def torchs(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    options = torch.nn.LinearCrossEntropyOptions()
    return functional.linear_cross_entropy(states, weight, targets, ignore_index=-100, options=options)


LOSSES: dict[str, Loss] = {"chunked": linear_cross_entropy, "plain": plain}
if hasattr(torch.nn, "LinearCrossEntropyOptions"):
    LOSSES["torch, chunked"] = torchs


def step(loss: Loss, size: str) -> Callable[[], None]:
    """One forward and backward pass."""
    rows, width, vocabulary = SIZES[size]
    torch.manual_seed(0)
    states = torch.randn(rows, width, requires_grad=True)
    weight = torch.empty(vocabulary, width).normal_(std=0.02).requires_grad_()
    targets = torch.randint(vocabulary, (rows,))

    def run() -> None:
        states.grad = weight.grad = None
        loss(states, weight, targets).backward()

    return run


def peak_mib(name: str, size: str) -> float:
    """Peak memory of one step above what is held before it, in a process of its own [MiB]."""
    done = subprocess.run([sys.executable, __file__, name, size], capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(name: str, size: str) -> None:
    run = step(LOSSES[name], size)
    held = memory_mib("VmRSS")
    run()
    print(memory_mib("VmHWM") - held)


def memory_mib(line: str) -> float:
    """Memory of this process, now or at its peak [MiB]; getrusage would give that of the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    return int(re.search(rf"^{line}:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.MULTILINE)[1]) / 1024


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        print_peak(*sys.argv[1:])
        return
    for size, (rows, width, vocabulary) in SIZES.items():
        steps = {name: step(loss, size) for name, loss in LOSSES.items()}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(RUNS):
            for name, run in steps.items():
                start = time.process_time()
                run()
                times[name].append(time.process_time() - start)
        print(f"{rows:,} rows of width {width}, vocabulary {vocabulary:,}")
        for name, seconds in times.items():
            faster = median(times["plain"]) / median(seconds)
            print(f"  {name:<16}{median(seconds) * 1e3:8.0f} ms  x{faster:4.2f}  {peak_mib(name, size):8.0f} MiB")


if __name__ == "__main__":
    main()
