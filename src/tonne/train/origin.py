"""What a fine-tuning starts from: nothing, a folder, or a model that another plan trains once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tonne.describe.plan import plan_fields
from tonne.describe.recipe import Recipe
from tonne.describe.start import Trained
from tonne.errors import DescriptionError, TrainingError
from tonne.train.distribution import launched_together
from tonne.train.fitting import Session, fit
from tonne.train.job import job_of, store_folder
from tonne.train.run_folder import MODEL, alone_in, holds_a_run
from tonne.train.writing import written_whole

if TYPE_CHECKING:
    from tonne.train.fitting import Fitted
    from tonne.train.job import Job

STORES, STARTS = "data", "starts"  # in the folder where tonne keeps what the next command can use again
DONE = "done.json"


class Trainer(Protocol):
    """Trains a model that another run starts from."""

    def __call__(self, job: Job, output: Path, *, resume: bool, session: Session) -> Fitted:
        """As ``fit``."""


def origin_folder(recipe: Recipe, home: Path, session: Session, *, trainer: Trainer = fit) -> Path | None:
    """The folder of the model that a recipe starts from; None where it starts from scratch.

    Raises:
        DescriptionError: It is no folder with weights.
        TrainingError: The model had to be trained first, and that was stopped.
    """
    origin = recipe.start.origin
    if recipe.start.from_scratch:
        return None
    if isinstance(origin, Trained):
        return trained_once(origin.train, home, session, trainer=trainer)
    if not Path(origin).is_dir():
        raise DescriptionError(
            f"[start] from = {origin!r} holds no weights that can be read here. Give 'scratch', the folder of a model "
            f"(config.json with its safetensors), or {{ train = 'plan.toml' }}."
        )
    return Path(origin)


def trained_once(plan: str | Path, home: Path, session: Session, *, trainer: Trainer = fit) -> Path:
    """The folder of the model that a plan trains: trained now, or found where it was trained before.

    What it is found by is all that its numbers rest on: the plan, the text, the tokenizer. A training that was cut off
    goes on from its last checkpoint.

    Args:
        plan: Its file.
        home: Where stores and trained models are kept.
        session: Device and screen.
        trainer: What trains it, in place of ``fit``.

    Raises:
        TrainingError: It was stopped before its end.
        DescriptionError: The plan cannot be trained, or several processes would have to train it.
    """
    if "task" in plan_fields(plan):
        raise DescriptionError(
            f"[start] from = {{ train = {str(plan)!r} }} names a plan with a [task]. Run tonne finetune on it, and "
            f"start from its model."
        )
    recipe = Recipe.from_toml(plan)
    store = store_folder(recipe, home / STORES)
    if not store.exists():
        _tell(session, f"{recipe.name}, which the plan starts from: its text is read and its tokenizer trained")
    job = job_of(recipe, store)
    digest = hashlib.blake2b(json.dumps(job.facts(), sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = home / STARTS / f"{recipe.name}-{digest}"
    if (folder / DONE).is_file():
        return folder / MODEL
    if launched_together():
        raise DescriptionError(
            f"[start] from = {{ train = {str(plan)!r} }} is not trained yet, and several processes would train it at "
            f"once. Run the command once without torchrun and --max-steps 1, then again with it."
        )
    with alone_in(folder):
        if not (folder / DONE).is_file():
            _train(job, folder, session, trainer)
    return folder / MODEL


def _train(job: Job, folder: Path, session: Session, trainer: Trainer) -> None:
    """Train to the end, from the last checkpoint where there is one."""
    _tell(session, f"{job.name} is trained first, this once, and kept in {folder}. The next steps are its own;")
    _tell(session, "those of the fine-tuning follow, and in later runs come at once.")
    found = trainer(job, folder, resume=holds_a_run(folder), session=session)
    if found.stopped_by in {"signal", "observer"}:
        raise TrainingError(
            f"the model to start from ({job.name}) was stopped after {found.steps:,} of {job.total_steps:,} steps. Run "
            f"the command again: it goes on from there."
        )
    written_whole(folder / DONE, json.dumps({"steps": found.steps, "tokens": found.tokens}).encode())


def _tell(session: Session, line: str) -> None:
    """A line to whoever waits."""
    if session.stream is not None:
        session.stream.write(f"{line}\n")
        session.stream.flush()
