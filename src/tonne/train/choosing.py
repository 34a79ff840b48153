"""Which threads, precision, micro-batches and compilation a job runs with: as given, as kept, or as the probe finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tonne.errors import DescriptionError
from tonne.train.distribution import outer_lists
from tonne.train.losses import moved
from tonne.train.peak import fastest_s
from tonne.train.probe import (
    SECONDS_A_TRIAL,
    Choices,
    Trial,
    fastest,
    keep_choices,
    kept_choices,
    key_of,
    peak_of,
    processors,
    thread_counts,
)
from tonne.train.step import mixed

if TYPE_CHECKING:
    from torch import nn

    from tonne.train.distribution import Processes
    from tonne.train.job import Job

TRIAL_FLOP = 3e9  # a sixtieth of a second of one core: the model itself is tried where so little tells enough
LONGEST_TRIAL = 10  # times as much: beyond it products of the model's shapes stand for the model
PRODUCT_ROWS = 1024
MICRO_BATCH_TOKENS = {"cpu": 8192}  # products no longer grow faster beyond; memory does
ACCELERATOR_MICRO_BATCH_TOKENS = 32768
COMPILE_WORTH_S = 3600.0  # a compiler takes up to minutes: shorter runs are over before it has paid
COMPILE_GAIN = 1.03
SUPPORTED = ("fp32", "tf32", "bf16")


def choose(job: Job, processes: Processes, home: Path | None) -> Choices:
    """What the job runs with on this machine; the first process decides for all.

    Args:
        job: What is trained.
        processes: Those that train it.
        home: Where earlier choices are kept; None: nowhere.

    Raises:
        DescriptionError: The plan asks for a precision that is not trained in.
    """
    precisions = _precisions(job, processes)
    facts = {
        **job.facts(),
        "given": [precisions, job.run.threads, job.run.compile, _given_micro_batch(job)],
        "processes": [processes.ranks, processes.ranks_here],
    }
    key = key_of(facts, processes.device)
    found: Choices | None = processes.told(kept_choices(home, key))
    if found is None:
        found = processes.told(_probed(job, processes, precisions))
        if processes.first:
            keep_choices(home, key, found)
    return found


def fitted(choices: Choices, job: Job, processes: Processes) -> Choices:
    """The choices of a run's folder, for as many processes as go on with it now."""
    most = _most_sequences(job, processes)
    return replace(choices, micro_batch_sequences=min(choices.micro_batch_sequences, most))


@contextmanager
def machine_set(choices: Choices, job: Job, processes: Processes) -> Iterator[None]:
    """Torch as the choices say until the end of the block: threads, precision, denormal numbers taken as zero."""
    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_flush_denormal(True)  # before the first threads start: they take it over
    torch.set_num_threads(choices.threads)
    torch.set_float32_matmul_precision("high" if choices.precision == "tf32" else "highest")
    ask = processes.device.type != "cpu" and job.run.deterministic and not torch.are_deterministic_algorithms_enabled()
    if ask:  # of a processor there is nothing to ask, and asking loads the compiler
        torch.use_deterministic_algorithms(True, warn_only=True)
    set_compiled(job.model, choices.compile)
    try:
        yield
    finally:
        set_compiled(job.model, False)
        if ask:
            torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision(matmul)
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def set_compiled(model: nn.Module, on: bool) -> None:
    """Layers compiled, or not: one kind of layer is compiled once, however many there are."""
    for layers in outer_lists(model):
        for layer in layers:
            if on:
                layer.compile()
            else:
                layer._compiled_call_impl = None


def _precisions(job: Job, processes: Processes) -> list[str]:
    """Those to try, the simplest first."""
    if next(job.model.parameters()).dtype == torch.float64:
        return ["fp64"]
    if not job.precision_given:
        return ["fp32", "bf16"] if processes.device.type == "cpu" else ["fp32", "tf32", "bf16"]
    if job.training.precision not in SUPPORTED:
        raise DescriptionError(
            f"[training] precision={job.training.precision!r} can be forecast, and is not trained in here. Use one of "
            f"{', '.join(SUPPORTED)}, or leave it out: then it is probed."
        )
    return [job.training.precision]


def _given_micro_batch(job: Job) -> int | None:
    return job.training.micro_batch_sequences if job.batch_size_given else None


def _most_sequences(job: Job, processes: Processes) -> int:
    """Sequences of a step on the process that has most."""
    return -(-job.batches.batch_sequences // processes.ranks)


def _micro_batch(job: Job, processes: Processes) -> int:
    """Sequences of a micro-batch: as given, else as many as still make products faster."""
    given = _given_micro_batch(job)
    tokens = MICRO_BATCH_TOKENS.get(processes.device.type, ACCELERATOR_MICRO_BATCH_TOKENS)
    wanted = given or max(1, tokens * job.batches.batch_sequences // job.tokens_per_step)
    return min(wanted, _most_sequences(job, processes))


def _probed(job: Job, processes: Processes, precisions: list[str]) -> Choices:
    """What the probe finds."""
    device, micro = processes.device, _micro_batch(job, processes)
    many = thread_counts(processors(processes.ranks_here)) if device.type == "cpu" else [torch.get_num_threads()]
    threads = [job.run.threads] if job.run.threads else many
    work, tokens = _work(job, processes, micro)
    count, precision, seconds = fastest(Trial(work=work, device=device), threads, precisions)
    tokens_per_s = None if tokens is None else tokens * processes.ranks / seconds
    found = Choices(
        threads=count,
        precision=precision,
        compile=bool(job.run.compile),
        micro_batch_sequences=micro,
        peak_flop_per_s=peak_of(device, precision, count),
        tokens_per_s=tokens_per_s,
    )
    if job.run.compile is not None or tokens_per_s is None or tokens_per_s * COMPILE_WORTH_S > _tokens(job):
        return found
    return replace(found, compile=_compiling_pays(job, lambda: work(precision), seconds, device))


def _tokens(job: Job) -> int:
    return job.total_steps * job.tokens_per_step


def _work(job: Job, processes: Processes, micro: int) -> tuple[Callable[[str], Any], int | None]:
    """What is timed: loss and gradients of few sequences, and how many tokens these are; of a large model a product."""
    device = processes.device
    flop = job.flop_per_token * job.tokens_per_step / job.batches.batch_sequences
    if flop > LONGEST_TRIAL * TRIAL_FLOP and device.type == "cpu":
        return _product(job), None
    sequences = max(1, min(micro, int(TRIAL_FLOP / flop))) if device.type == "cpu" else micro
    parts = job.batches.micro_batches(0, rank=processes.rank, ranks=processes.ranks, micro_batch_sequences=sequences)
    batch, losses = moved(parts[0], device), job.losses()

    def gradients(precision: str) -> None:
        with mixed(precision, device):
            found = losses(batch)
        found.sum().backward()
        losses.zero_grad(set_to_none=True)

    return gradients, batch.real_tokens


def _product(job: Job) -> Callable[[str], Any]:
    """One product as the feed-forward layers make it."""
    a = job.architecture
    states, weight = torch.randn(PRODUCT_ROWS, a.width), torch.randn(a.feed_forward_width, a.width)

    def product(precision: str) -> None:
        with mixed(precision, states.device):
            torch.nn.functional.linear(states, weight)

    return product


def _compiling_pays(job: Job, work: Callable[[], Any], eager_s: float, device: torch.device) -> bool:
    """Whether compiled layers are clearly faster, and soon enough."""
    set_compiled(job.model, True)
    try:
        start = time.perf_counter()
        compiled_s = fastest_s(work, device, SECONDS_A_TRIAL)
        spent_s = time.perf_counter() - start
    except RuntimeError:  # no compiler on this machine, or one that cannot take the model
        return False
    finally:
        set_compiled(job.model, False)
    return compiled_s * COMPILE_GAIN < eager_s and spent_s < COMPILE_WORTH_S / 10
