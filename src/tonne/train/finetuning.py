"""A pre-trained model taught a task: put together, then trained like any other run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tonne.describe.data import Columns, Tokenizer
from tonne.describe.finetuning import FinetuningRecipe
from tonne.errors import DescriptionError
from tonne.train.fitting import Fitted, Session, fit
from tonne.train.freezing import learning
from tonne.train.going_on import decoder_start, has_head
from tonne.train.job import Job, job_of, store_folder
from tonne.train.judging import check_metric
from tonne.train.labelled import examples_of
from tonne.train.origin import STORES, origin_folder
from tonne.train.task_job import Material, task_job
from tonne.train.task_model import check_vocabulary, labels_for, model_for, prepare_learning, tokenizer_for_task
from tonne.train.tasks.build import reading_of
from tonne.train.tuning import Tuning

if TYPE_CHECKING:
    from tonne.train.observers import Observer

PREPARED = "prepared"  # in the run's folder, where the session has no home


def finetune(
    recipe: FinetuningRecipe | str | Path,
    output: str | Path,
    *,
    max_steps: int | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    session: Session | None = None,
) -> Fitted:
    """Teach a model a task, keeping checkpoints, metrics.jsonl, the best evaluation, and at the end the model.

    Args:
        recipe: The plan, or its file.
        output: The run's folder.
        max_steps: Number of the last step to make; the schedule stays that of the whole run.
        resume: Go on with the run in the folder, from its last checkpoint.
        observers: Told of every step; see ``Observer``.
        session: Device, screen, and where what was prepared is kept.

    Returns:
        How it ended; in ``model`` lies the model of the best evaluation, adapters merged into it.

    Raises:
        TonneError: Plan, data and model are missing, broken, or do not fit one another; see also ``fit``.
    """
    session = session or Session()
    plan = recipe if isinstance(recipe, FinetuningRecipe) else FinetuningRecipe.from_toml(recipe)
    job = finetuning_job(plan, session.home or Path(output) / PREPARED, session)
    return fit(job, output, max_steps=max_steps, resume=resume, observers=observers, session=session)


def finetuning_job(recipe: FinetuningRecipe, home: Path, session: Session | None = None) -> Job:
    """The run that a plan with a task describes, ready for ``fit``.

    Args:
        recipe: The plan.
        home: Where stores, tokenizers and the models that plans start from are kept.
        session: Device and screen, for a model that has to be trained first.

    Raises:
        TonneError: Plan, data and model are missing, broken, or do not fit one another.
    """
    check_metric(recipe.task)
    if recipe.task.name == "continued":
        return _continued(recipe, home, session or Session())
    train, held_out = examples_of(recipe.data, recipe.task)  # first: it is soon told whether they can be read
    labels = labels_for(recipe.task, train, held_out)
    folder = origin_folder(recipe, home, session or Session())
    model = model_for(recipe, folder, len(labels))
    tokenizer = tokenizer_for_task(recipe, folder, train, home)
    check_vocabulary(tokenizer, model, folder)
    reading = reading_of(
        recipe.task,
        model.architecture,
        tokenizer,
        data=recipe.data,
        labels=labels,
        start=None if folder is None else decoder_start(folder),
    )
    given = Material(
        model=model,
        reading=reading,
        train=train,
        held_out=held_out,
        folder=folder,
        new_head=folder is None or not has_head(folder),
    )
    return task_job(recipe, given)


def _continued(recipe: FinetuningRecipe, home: Path, session: Session) -> Job:
    """Pre-training that goes on, on other text.

    Raises:
        DescriptionError: There is nothing to go on with.
    """
    if recipe.data.validation_sources:
        raise DescriptionError(
            "[data] validation_source holds labelled examples, and [task] name='continued' learns text. Use "
            "validation_fraction."
        )
    folder = origin_folder(recipe, home, session)
    if folder is None:
        raise DescriptionError(
            "[task] name='continued' goes on with a model, but [start] from = 'scratch'. Name one, or run tonne train."
        )
    model = model_for(recipe, folder, 0)
    text, choice = recipe.task.columns.get("text"), recipe.tokenizer
    data = recipe.data.model_copy(update={"columns": Columns(text=text)}) if text else recipe.data
    plan = recipe.model_copy(
        update={"data": data, "tokenizer": choice if choice.file is not None else Tokenizer(file=str(folder))}
    )
    prepare_learning(recipe, model)
    job = job_of(plan, store_folder(plan, home / STORES), model=model)
    learns = learning(model)
    notes = (f"{learns[0]:,} of {learns[1]:,} parameters learn",) if learns[0] < learns[1] else ()
    tuning = Tuning(task=recipe.task, lora=recipe.training.lora, notes=notes, pretrained=True, origin=folder)
    return replace(job, tuning=tuning)
