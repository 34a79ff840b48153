"""What stands before the first step: choices, the wrapped model, a checkpoint restored, the loop put together."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tonne.errors import CheckpointError
from tonne.train.ahead import CHECKPOINTS as SAVING
from tonne.train.ahead import EVALUATION, FINISHING, SAMPLING, Ahead, times_due
from tonne.train.checkpoint import Checkpoint, newest, read_tensors, save
from tonne.train.choosing import choose, fitted
from tonne.train.distribution import distributed_module
from tonne.train.evaluation import Evaluator, JudgingEvaluator
from tonne.train.finishing import finished, keep_best
from tonne.train.loggers import METRICS, cut_back, is_logged, sinks_of
from tonne.train.loop import Every, Loop, Standing
from tonne.train.optimizers import Optimizers, optimizers_of
from tonne.train.outlook import Outlook, outlook_lines
from tonne.train.peak import Peak
from tonne.train.prefetch import Prefetch
from tonne.train.probe import Choices, peak_of
from tonne.train.run_folder import CHECKPOINTS, read_run, write_run
from tonne.train.sampling import FILE as SAMPLES
from tonne.train.sampling import Sampler
from tonne.train.schedules import Schedule
from tonne.train.state import restore, tensors_of, wanted_of
from tonne.train.step import Stepper
from tonne.train.trial import Trial, chips_of, keys_of

if TYPE_CHECKING:
    from torch import nn

    from tonne.train.batches import Batches
    from tonne.train.distribution import Processes
    from tonne.train.evaluation import Evaluates, Evaluation
    from tonne.train.finishing import Best
    from tonne.train.job import Job
    from tonne.train.observers import Observers
    from tonne.train.progress import ProgressLine

LOG = logging.getLogger(__name__)
TIMES_A_RUN = 10  # evaluations and checkpoints, where the plan does not say how many steps lie between them
UNIGRAM_TOKENS = 2**22  # frequencies of so many tokens are those of all


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A run that can make its next step."""

    job: Job
    folder: Path
    processes: Processes
    choices: Choices
    losses: nn.Module
    optimizers: Optimizers
    standing: Standing
    peak: Peak
    notes: tuple[str, ...]

    def told(self, last: int, *, with_time: bool = True) -> list[str]:
        """What is about to be done, up to a step, in lines."""
        notes = self.notes if self.job.tuning is None else (*self.notes, *self.job.tuning.notes)
        return [*notes, *outlook_lines(self.outlook(last), self.choices, with_time=with_time)]

    def outlook(self, last: int) -> Outlook:
        """The facts of what is about to be done."""
        job = self.job
        return Outlook(
            name=job.name,
            parameters=sum(parameter.numel() for parameter in job.model.parameters()),
            vocabulary=job.architecture.vocabulary,
            steps=max(0, last - self.standing.step),
            first_step=self.standing.step,
            tokens_per_step=job.tokens_per_step,
            flop_per_token=job.flop_per_token,
            processes=self.processes.ranks,
            device=self.processes.device.type,
            tokens_per_s=self.choices.tokens_per_s,
            unigram_loss=unigram_loss(job) if job.bytes_per_token is not None else None,
            expected_loss=job.run.expected_loss,
            sentences=job.training.learns_pairs,
            choices=None if job.tuning is None else job.tuning.choices,
            pretrained=job.tuning is not None and job.tuning.pretrained,
        )

    def ahead(self, last: int) -> Ahead:
        """What a forecast of this run is made of, and what tries its pieces; a trial takes place only when called."""
        job, own, choices = self.job, self.processes, self.choices
        machine, shape = keys_of(self)
        steps = max(0, last - self.standing.step)
        rate = choices.tokens_per_s
        return Ahead(
            name=job.name,
            first_step=self.standing.step,
            steps=steps,
            total_steps=job.total_steps,
            times=self._times(last),
            may_stop_early=job.run.patience is not None,
            tokens_per_step=job.tokens_per_step,
            flop_per_token=job.flop_per_token,
            parameters=sum(parameter.numel() for parameter in job.model.parameters()),
            processes=own.ranks,
            processes_here=own.ranks_here,
            first=own.first,
            threads=choices.threads,
            device=own.device.type,
            chips=chips_of(self),
            precision=choices.precision,
            tokens_per_s=rate,
            peak_flop_per_s=choices.peak_flop_per_s * own.ranks,
            machine=machine,
            shape=shape,
            trial=Trial(ready=self, expected_s=None if rate is None else steps * job.tokens_per_step / rate).timed,
        )

    def _times(self, last: int) -> dict[str, int]:
        """How often things fall due up to a step, by the name of their stage."""
        every, first, total = self._every(), self.standing.step, self.job.total_steps
        looks = None if self.job.validation is None else every.evaluate
        writes = None if self.sampler() is None else every.sample
        saved = -(-last // every.checkpoint) - first // every.checkpoint if last > first else 0  # one ends every call
        return {
            EVALUATION: times_due(first, last, total, looks),
            SAVING: saved,
            SAMPLING: times_due(first, last, total, writes),
            FINISHING: 1,
        }

    @contextmanager
    def loop(self, observers: Observers, line: ProgressLine | None, last: int) -> Iterator[Loop]:
        """The loop, its batches made ahead and its files open until the end of the block."""
        job, own = self.job, self.processes
        sinks = sinks_of(job.run.loggers, self.folder, job.name) if own.first else []
        try:
            with Prefetch(self.micro_batches, range(self.standing.step, last)) as made:
                yield Loop(
                    stepper=self.stepper(),
                    batches=iter(made),
                    evaluator=self.evaluator(),
                    sampler=self.sampler(),
                    save=self._save,
                    keep_best=self._keep_best if job.tuning is not None and job.validation is not None else None,
                    processes=own,
                    observers=observers,
                    sinks=sinks,
                    line=line,
                    every=self._every(),
                    total_steps=job.total_steps,
                    last_step=last,
                    flop_per_token=job.flop_per_token,
                    bytes_per_token=job.bytes_per_token,
                    peak=self.peak,
                    measured_peak=self.look_again,
                )
        finally:
            for sink in sinks:
                sink.close()

    def look_again(self) -> float:
        """Rate of the fastest product of this process, now [FLOP/s]."""
        return peak_of(self.processes.device, self.choices.precision, self.choices.threads)

    def wrapped(self, job: Job) -> nn.Module:
        """What is called in training, of a job with this run's model or a copy of it."""
        return distributed_module(job.losses(), self.processes, sharding=job.sharding, unused=unused_parameters(job))

    def micro_batches(self, step: int) -> Any:  # noqa: ANN401 - a list of batches; Prefetch is generic
        """This process's part of a step."""
        return self.job.batches.micro_batches(
            step,
            rank=self.processes.rank,
            ranks=self.processes.ranks,
            micro_batch_sequences=self.choices.micro_batch_sequences,
        )

    def stepper(self) -> Stepper:
        """What makes the steps."""
        job = self.job
        return Stepper(
            losses=self.losses,
            optimizers=self.optimizers,
            schedule=Schedule.of(job.training, job.total_steps),
            processes=self.processes,
            precision=self.choices.precision,
            clip=job.training.clip,
            seed=job.training.seed,
            vocabulary=job.architecture.vocabulary,
        )

    def evaluator(self) -> Evaluates | None:
        """What looks at the held-out examples; None where there are none."""
        job = self.job
        if job.validation is None:
            return None
        losses = Evaluator(
            losses=self.losses if job.sharding != "none" else job.losses(),
            batches=job.validation,
            processes=self.processes,
            precision=self.choices.precision,
            micro_batch_sequences=self.choices.micro_batch_sequences,
            sequences=job.run.evaluation_sequences,
            bytes_per_token=job.validation_bytes_per_token,
            sharded=job.sharding != "none",
        )
        judge = None if job.tuning is None else job.tuning.judge
        return losses if judge is None else JudgingEvaluator(losses=losses, model=job.model, judge=judge)

    def sampler(self) -> Sampler | None:
        """Where the plan asks for text: of a decoder that one process holds whole."""
        job, tokenizer = self.job, self.job.tokenizer
        if not job.run.sample_tokens or not self.processes.first or tokenizer is None:
            return None
        if job.architecture.kind != "decoder" or job.sharding != "none":
            LOG.warning("[run] sample_tokens: text is sampled of decoders that are not sharded alone; none is written.")
            return None
        return Sampler(
            model=job.model,
            tokenizer=tokenizer,
            folder=self.folder,
            prompt=job.run.sample_prompt,
            tokens=job.run.sample_tokens,
            seed=job.training.seed,
            device=self.processes.device,
        )

    def _every(self) -> Every:
        run, total = self.job.run, self.job.total_steps
        evaluate = run.evaluate_every or -(-total // TIMES_A_RUN)
        return Every(
            log=run.log_every,
            evaluate=evaluate,
            checkpoint=run.checkpoint_every or -(-total // TIMES_A_RUN),
            sample=run.sample_every or evaluate,
            patience=run.patience,
        )

    def finish(self) -> Best | None:
        """Write the model: of a fine-tuning that of its best evaluation, which is returned."""
        return finished(self.job, self.folder, self.processes)

    def _keep_best(self, standing: Standing, evaluation: Evaluation) -> None:
        keep_best(self.job, self.folder, self.processes, (standing.step, evaluation))

    def _save(self, standing: Standing) -> None:
        """A checkpoint of the run as it stands."""
        job, own, folder = self.job, self.processes, self.folder / CHECKPOINTS
        tensors = tensors_of(job.model, self.optimizers)
        state = {"standing": standing.as_dict(), "processes": own.ranks}
        if job.sharding != "none":
            from tonne.train.sharded_checkpoint import save_sharded  # noqa: PLC0415 - most runs are not sharded

            save_sharded(folder, standing.step, tensors, state, own, job.run.keep_checkpoints)
            return
        if own.first:
            save(folder, standing.step, tensors, state, job.run.keep_checkpoints)
        own.wait()


def chosen(job: Job, folder: Path, own: Processes, *, home: Path | None, resume: bool) -> Choices:
    """Those of the run's folder where it goes on, else those that suit the machine, which the folder then keeps.

    Raises:
        CheckpointError: The folder's run is another one; the text names what differs.
    """
    job.model.to(own.device).train()
    kept = own.told(read_run(folder) if own.first and resume else None)
    if kept is not None:
        check_same(kept["facts"], job.facts(), folder)
        return fitted(Choices(**kept["choices"]), job, own)
    found = choose(job, own, home)
    if own.first:
        versions = {name: importlib.metadata.version(name) for name in ("tonne", "torch")}
        write_run(folder, {"name": job.name, "facts": job.facts(), "choices": asdict(found), "versions": versions})
    return found


def check_same(kept: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Whether a run that goes on is the one that was started.

    Raises:
        CheckpointError: It is not; the text names the fields that differ.
    """
    before, after = flat(kept), flat(now)
    differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if not differing:
        return
    shown = "; ".join(f"{name} was {before.get(name)!r}, is {after.get(name)!r}" for name in differing[:5])
    raise CheckpointError(
        f"{folder} holds a run of another plan: {shown}. Go on with the plan it was started with, or give another "
        f"--output for this one."
    )


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = list(value) if isinstance(value, tuple) else value
    return found


def ready(job: Job, folder: Path, own: Processes, *, choices: Choices, resume: bool) -> Ready:
    """The run put together, from its start or from its last checkpoint."""
    losses = distributed_module(job.losses(), own, sharding=job.sharding, unused=unused_parameters(job))
    optimizers = optimizers_of(job.model, job.training)
    found = newest(folder / CHECKPOINTS) if resume else None
    notes: tuple[str, ...] = ()
    standing = Standing()
    if found is not None:
        standing = _restored(found, job, optimizers)
        notes = (f"going on from step {found.step:,} ({found.folder})",)
    elif resume:
        notes = (f"{folder} holds no checkpoint to go on from: starting from the beginning",)
    if own.first:
        _cut_logs(job, folder, standing.step)
    peak = Peak(sum(own.total([choices.peak_flop_per_s])))
    return Ready(
        job=job,
        folder=folder,
        processes=own,
        choices=choices,
        losses=losses,
        optimizers=optimizers,
        standing=standing,
        peak=peak,
        notes=notes,
    )


def _restored(found: Checkpoint, job: Job, optimizers: Optimizers) -> Standing:
    """Where the run stood, its tensors put back."""
    try:
        if found.sharded:
            from tonne.train import sharded_checkpoint as sharded  # noqa: PLC0415 - as above

            wanted = wanted_of(job.model, optimizers, sharded.names_in(found))
            tensors = sharded.read_sharded(found, wanted)
        else:
            tensors = read_tensors(found)
        restore(job.model, optimizers, tensors)
        return Standing(**found.state["standing"])
    except (CheckpointError, TypeError, KeyError) as error:
        raise CheckpointError(f"{found.folder} does not fit this run: {error}. Give another --output.") from None


def _cut_logs(job: Job, folder: Path, step: int) -> None:
    """Leave of the logs what an uninterrupted run would have up to a step; what comes after is made again."""
    every = job.run.log_every
    cut_back(folder / METRICS, step, lambda line: is_logged(line["step"], every) or "validation_loss" in line)
    cut_back(folder / SAMPLES, step, lambda _: True)


def unused_parameters(job: Job) -> bool:
    """Whether some parameters may get no gradient in a step: experts nobody visits, heads nobody asks."""
    a = job.architecture
    experts = a.experts is not None or a.decoder_experts is not None
    heads = (a.pooler or a.next_sentence_head) and not job.training.learns_pairs
    return experts or heads or a.task_head is not None or a.multi_token_layers > 0


def unigram_loss(job: Job) -> float:
    """Loss of a model that knows how frequent each token is, and nothing else [nat/token].

    Equation: H = -sum_i p_i ln p_i, with p_i = share of token i.
    """
    store = cast("Batches", job.batches).data.store  # bits per byte are told of text alone
    counts = np.bincount(store.tokens[:UNIGRAM_TOKENS])
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
