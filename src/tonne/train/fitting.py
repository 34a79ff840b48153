"""One training run from start to end, or from where it stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tonne.errors import DescriptionError
from tonne.train.ahead import FINISHING
from tonne.train.choosing import machine_set
from tonne.train.distribution import processes
from tonne.train.loggers import trackers
from tonne.train.observers import Observers
from tonne.train.progress import ProgressLine
from tonne.train.run_folder import CHECKPOINTS, MODEL, opened
from tonne.train.starting import Ready, chosen, ready

if TYPE_CHECKING:
    from tonne.train.distribution import Processes
    from tonne.train.evaluation import Evaluation
    from tonne.train.finishing import Best
    from tonne.train.job import Job
    from tonne.train.observers import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where a run lies on its machine: none of it changes a result.

    ``home``: where choices are kept for the next run. ``device``: left out, an accelerator where there is one.
    ``stream``: where the live line goes; None: nowhere.
    """

    home: Path | None = None
    device: str | None = None
    stream: TextIO | None = field(default_factory=lambda: sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """How a run ended: steps and tokens that were made in all, its last losses, and where the model lies.

    ``loss`` is None where no step was left to make. ``stopped_by``: "observer", "patience" or "signal"; None where the
    steps asked for were made; ``signal``: the number of that one. ``first``: whether this process speaks for all.
    ``best``: the evaluation whose weights the model has; None where they are the last ones.
    """

    steps: int
    tokens: int
    loss: float | None
    validation: Evaluation | None
    elapsed_s: float
    stopped_by: str | None
    model: Path
    checkpoints: Path
    first: bool = True
    best: Best | None = None
    signal: int | None = None


def fit(
    job: Job,
    output: str | Path,
    *,
    max_steps: int | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    session: Session | None = None,
) -> Fitted:
    """Train, keeping checkpoints, metrics.jsonl and at the end the model in a folder.

    Args:
        job: What is trained on what; ``job_of`` makes one of a plan file.
        output: The run's folder.
        max_steps: Number of the last step to make; the schedule stays that of the whole run.
        resume: Go on with the run in the folder, from its last checkpoint.
        observers: Told of every step; see ``Observer``.
        session: Device, screen, and where choices are kept.

    Raises:
        RunFolderError: The folder holds a run, and ``resume`` is not given.
        CheckpointError: A checkpoint is damaged, belongs to another run, or cannot be written.
        TrainingError: The loss is no number.
        DescriptionError: The plan does not fit the data, or the machine.
    """
    session, folder, watching = session or Session(), Path(output), Observers(observers)
    with ExitStack() as held:
        own = held.enter_context(processes(session.device))
        _check_shares(job, own)
        trackers(job.run.loggers)  # one that is missing must not leave a folder that looks like a run
        if own.first:
            held.enter_context(opened(folder, resume=resume))
        own.wait()  # until the first process holds the folder
        last = min(job.total_steps, max_steps or job.total_steps)
        line = ProgressLine(last, session.stream) if own.first and session.stream is not None else None
        choices = chosen(job, folder, own, home=session.home, resume=resume)
        held.enter_context(machine_set(choices, job, own))
        made = ready(job, folder, own, choices=choices, resume=resume)
        return _trained(made, watching, line, last)


def _check_shares(job: Job, own: Processes) -> None:
    """Sharded processes gather weights together, so each must make as many micro-batches as the others."""
    sequences = job.batches.batch_sequences
    if job.sharding != "none" and sequences % own.ranks:
        raise DescriptionError(
            f"global_batch_sequences={sequences} cannot be shared out evenly over {own.ranks} processes, which a "
            f"sharded model needs. Use a multiple of {own.ranks}."
        )


def _trained(made: Ready, watching: Observers, line: ProgressLine | None, last: int) -> Fitted:
    """The steps, with those who watch told of the start and of the end, however it comes."""
    job, standing = made.job, made.standing
    if line is not None:
        for text in made.told(last, with_time=not watching.foretell):
            line.say(text)
    for text in watching.on_outlook(lambda: made.ahead(last)):
        if line is not None:
            line.say(text)
    watching.on_start(last - standing.step, job.tokens_per_step)
    error: BaseException | None = None
    try:
        with made.loop(watching, line, last) as loop:
            stopped_by = loop.run(standing)
        begun_s = time.perf_counter()
        best = made.finish()
        watching.on_stage(FINISHING, time.perf_counter() - begun_s)
    except BaseException as raised:
        error = raised
        raise
    finally:
        watching.on_end(error)
        if line is not None:
            line.close()
    return Fitted(
        steps=standing.step,
        tokens=standing.tokens,
        loss=None if loop.last is None else loop.last.loss,
        validation=loop.last_evaluation,
        elapsed_s=standing.elapsed_s,
        stopped_by=stopped_by,
        best=best,
        model=made.folder / MODEL,
        checkpoints=made.folder / CHECKPOINTS,
        first=made.processes.first,
        signal=loop.signal,
    )
