"""What a run leaves behind: of a fine-tuning the weights of its best evaluation, its adapters, its task."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tonne.errors import CheckpointError
from tonne.train.checkpoint import name_of, newest, read_tensors, save, steps_in
from tonne.train.export import write_model
from tonne.train.lora import has_adapters, merge_adapters, save_adapters
from tonne.train.peft import save_peft
from tonne.train.run_folder import ADAPTER, BEST, MODEL
from tonne.train.sharding import like, whole
from tonne.train.state import MODEL as OF_THE_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tonne.model.transformer import Transformer
    from tonne.train.distribution import Processes
    from tonne.train.evaluation import Evaluation
    from tonne.train.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best evaluation of a run: after which step it stood, its loss [nat] and its metrics."""

    step: int
    loss: float
    metrics: Mapping[str, float]


def keep_best(job: Job, folder: Path, own: Processes, found: tuple[int, Evaluation]) -> None:
    """Keep the weights as they are, in the place of those of the best evaluation before.

    Args:
        job: What is trained.
        folder: Of the run.
        own: The processes that train it.
        found: The step, and its evaluation.
    """
    step, evaluation = found
    tensors = {OF_THE_MODEL + name: whole(parameter.detach()) for name, parameter in job.model.named_parameters()}
    if own.first:
        for later in steps_in(folder / BEST):  # of a run that was cut off, which comes by there again
            if later.name >= name_of(step):
                shutil.rmtree(later, ignore_errors=True)
        save(folder / BEST, step, tensors, {"evaluation": asdict(evaluation)}, keep=1)
    own.wait()


def finished(job: Job, folder: Path, own: Processes) -> Best | None:
    """Write the run's model; of a fine-tuning that of its best evaluation, adapters merged into it.

    Raises:
        RunFolderError: The disk is full, or cannot be written; the run's checkpoints stay.
        CheckpointError: What was kept of the best evaluation is damaged.
    """
    tuning = job.tuning
    if tuning is None:
        write_model(job.model, job.tokenizer, folder / MODEL, own)
        return None
    best = _taken_back(job.model, folder / BEST) if job.validation is not None else None
    if tuning.lora is not None and has_adapters(job.model):
        if own.first:
            save_adapters(job.model, tuning.lora, folder / ADAPTER)
            save_peft(job.model, tuning.lora, folder / ADAPTER, tuning.origin)
        merge_adapters(job.model)
    write_model(job.model, job.tokenizer, folder / MODEL, own, also=tuning.write)
    return best


@torch.no_grad()
def _taken_back(model: Transformer, folder: Path) -> Best | None:
    """The model with the weights that were kept; None, and the model as it is, where no evaluation was made."""
    kept = newest(folder)
    if kept is None:
        return None
    tensors = read_tensors(kept)
    parameters = dict(model.named_parameters())
    if {OF_THE_MODEL + name for name in parameters} != tensors.keys():
        raise CheckpointError(f"{kept.folder} is of another model. Give another --output, or remove {folder}.")
    for name, parameter in parameters.items():
        parameter.copy_(like(parameter, tensors[OF_THE_MODEL + name].to(parameter.device)))
    told: dict[str, Any] = kept.state["evaluation"]
    return Best(step=kept.step, loss=told["loss"], metrics=told["metrics"])
