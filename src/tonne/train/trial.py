"""Pieces of a run timed before it begins, on a copy of the model: the run starts as if nothing had been tried."""

from __future__ import annotations

import copy
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tonne.errors import TonneError
from tonne.train.ahead import Timed
from tonne.train.checkpoint import save
from tonne.train.evaluation import Evaluator, JudgingEvaluator
from tonne.train.optimizers import optimizers_of
from tonne.train.peak import waited_for
from tonne.train.state import MODEL, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

    from tonne.train.evaluation import Evaluates, Judge
    from tonne.train.job import Job
    from tonne.train.sampling import Sampler
    from tonne.train.starting import Ready

LOG = logging.getLogger(__name__)
LEAST_S, MOST_S = 0.6, 20.0  # of the trial's steps
SHARE_OF_RUN = 0.01
FEWEST_STEPS, MOST_STEPS = 2, 50  # that are timed, after one that warms up
SAMPLE_TOKENS = 8
FEW_BATCHES = 4  # of an evaluation
WRITTEN_BYTES = 2**26  # of a larger checkpoint a part is written, and the whole reckoned from it


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Tries the pieces of a run that is ready; ``expected_s``: about how long its steps will take, where known [s]."""

    ready: Ready
    expected_s: float | None

    def timed(self) -> Timed:
        """Their times. Nothing of a run that is shared out in parts, or compiled, or whose copy finds no room."""
        ready = self.ready
        if ready.job.sharding != "none" or ready.choices.compile:
            return Timed()
        try:
            return self._timed(replace(ready.job, model=copy.deepcopy(ready.job.model)))
        except (
            RuntimeError,
            OSError,
            TonneError,
        ) as error:  # no memory for a copy, a loss that is none: the run will say
            LOG.debug("no trial of the run's pieces: %s", error)
            return Timed()

    def _timed(self, job: Job) -> Timed:
        ready = self.ready
        tried = replace(ready, job=job, losses=ready.wrapped(job), optimizers=optimizers_of(job.model, job.training))
        step_s, slowness = self._step_s(tried)
        evaluation_s = evaluation_time_s(tried.evaluator(), ready.look_again)
        written_s, weights_share = self._written_s(tensors_of(job.model, tried.optimizers))
        return Timed(
            step_s=step_s,
            evaluation_s=evaluation_s,
            checkpoint_s=written_s,
            sample_s=sample_time_s(tried.sampler()),
            finish_s=written_s * weights_share,
            slowness=slowness,
        )

    def _step_s(self, tried: Ready) -> tuple[float, float]:
        """Mean time of some steps [s], and their slowness. In the run batches are made beside the steps."""
        own, stepper, first = tried.processes, tried.stepper(), tried.standing.step
        wanted_s = min(max(SHARE_OF_RUN * (self.expected_s or 0.0), LEAST_S), MOST_S)
        spent_s = cpu_s = 0.0
        for number in range(MOST_STEPS + 1):
            begun_cpu_s = time.process_time()
            batches = tried.micro_batches(first)
            begun_s = time.perf_counter()
            stepper.make(first, batches)
            waited_for(own.device)
            lasted_s = own.largest([time.perf_counter() - begun_s])[0]
            if number:  # the first one warms up
                spent_s, cpu_s = spent_s + lasted_s, cpu_s + time.process_time() - begun_cpu_s
            if number >= FEWEST_STEPS and spent_s >= wanted_s:
                break
        slow = own.device.type == "cpu" and cpu_s > 0
        return spent_s / number, spent_s / cpu_s if slow else 1.0

    def _written_s(self, tensors: dict[str, Tensor]) -> tuple[float, float]:
        """Time of a checkpoint [s], and the share of its bytes that are weights."""
        own, sizes = self.ready.processes, {name: one.numel() * one.element_size() for name, one in tensors.items()}
        whole_bytes = max(1, sum(sizes.values()))
        weights = sum(size for name, size in sizes.items() if name.startswith(MODEL)) / whole_bytes
        chosen: dict[str, Tensor] = {}
        for name in tensors:
            if sum(sizes[one] for one in chosen) < WRITTEN_BYTES:
                chosen[name] = tensors[name]
        lasted_s = 0.0
        if own.first:
            lasted_s = _saving_s(self.ready.folder, chosen) * whole_bytes / sum(sizes[name] for name in chosen)
        return own.largest([lasted_s])[0], weights


def _saving_s(folder: Path, tensors: dict[str, Tensor]) -> float:
    """Time of writing some tensors as a checkpoint, which is removed again [s]."""
    place = Path(tempfile.mkdtemp(prefix=".trial-", dir=folder))
    try:
        return _lasted_s(lambda: save(place, 0, tensors, {}, 1))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def evaluation_time_s(evaluator: Evaluates | None, look_again: Callable[[], object]) -> float | None:
    """Time of a whole evaluation, from that of its first batches [s]; None where nothing is evaluated."""
    if evaluator is None:
        return None
    losses = evaluator.losses if isinstance(evaluator, JudgingEvaluator) else evaluator
    assert isinstance(losses, Evaluator)
    size = losses.batches.batch_sequences
    few = replace(losses, sequences=min(FEW_BATCHES * size, losses.sequences))
    replace(losses, sequences=size).now()
    seconds = _lasted_s(few.now) * losses.steps() / few.steps() + _lasted_s(look_again)
    if isinstance(evaluator, JudgingEvaluator):
        seconds += losses.processes.largest([_judging_s(evaluator.judge, evaluator, size)])[0]
    return seconds


def _judging_s(judge: Judge, evaluator: JudgingEvaluator, size: int) -> float:
    """Time of scoring all examples, from that of a batch of them; nothing where another process does it [s]."""
    held: int | None = getattr(judge, "size", None)
    if not held or not evaluator.losses.processes.first:
        return 0.0
    some: Judge = judge.of_first(size)  # type: ignore[attr-defined]  # one that has a size has this too
    some.scores(evaluator.model)
    return _lasted_s(lambda: some.scores(evaluator.model)) * held / min(size, held)


def sample_time_s(sampler: Sampler | None) -> float | None:
    """Time of a sample of text, from that of a few tokens [s]; None where none is written."""
    if sampler is None:
        return None
    few = replace(sampler, tokens=min(SAMPLE_TOKENS, sampler.tokens))
    few.text()
    return _lasted_s(few.text) * sampler.tokens / few.tokens


def _lasted_s(work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s


def keys_of(ready: Ready) -> tuple[str, str]:
    """What tells this machine from others, and what tells all that a step's time rests on."""
    from tonne.train.probe import key_of  # noqa: PLC0415 - a cycle otherwise: the probe knows what is kept

    job, own, choices = ready.job, ready.processes, ready.choices
    machine = {"processes": [own.ranks, own.ranks_here]}
    training = job.training.model_dump(
        mode="json", include={"objective", "optimizer", "lora", "frozen_layers", "dropout", "clip"}
    )
    shape = {
        **machine,
        "architecture": job.architecture.model_dump(mode="json"),
        "training": training,
        "batch": [job.batches.batch_sequences, job.tokens_per_step, job.sharding],
        "choices": [choices.threads, choices.precision, choices.compile, choices.micro_batch_sequences],
        "task": None if job.tuning is None else job.tuning.task.name,
        "run": [job.run.evaluation_sequences, job.run.sample_tokens],
    }
    return key_of(machine, own.device), key_of(shape, own.device)


def chips_of(ready: Ready) -> tuple[str, ...]:
    """What the driver calls the accelerators of this machine that the run trains on."""
    device = ready.processes.device
    if device.type == "cpu":
        return ()
    name = str(getattr(torch, device.type).get_device_name(device))
    return (name,) * ready.processes.ranks_here
