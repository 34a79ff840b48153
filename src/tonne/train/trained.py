"""A folder with a finished model: its weights, its tokenizer, and the task that it was fine-tuned for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tonne.describe.architecture import Architecture
from tonne.describe.task import Task
from tonne.errors import WeightsError
from tonne.train.export import ARCHITECTURE, WEIGHTS
from tonne.train.run_folder import MODEL
from tonne.train.tokenizer import load_tokenizer
from tonne.train.tuning import CONFIG, TASK

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.tokenizer import TextTokenizer

_NAMELESS = re.compile(r"LABEL_\d+")  # what transformers calls labels that nobody named


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model that can be asked.

    ``task``: what it was fine-tuned for; None where the folder does not say. ``labels``: in the order of their numbers.
    ``start``: token that an encoder-decoder's decoder begins with; None where the folder does not say.
    """

    model: Transformer
    tokenizer: TextTokenizer
    task: Task | None
    labels: tuple[str, ...]
    start: int | None


def read_trained(folder: str | Path, *, device: str | None = None, dropout: float = 0.0) -> TrainedModel:
    """The model of a folder: of a run, of what a run left in ``model``, or in the layout of Hugging Face.

    Args:
        folder: It holds weights and tokenizer.json; task.json where a fine-tuning wrote it.
        device: Where it is to lie.
        dropout: As ``Transformer`` takes it.

    Raises:
        WeightsError: There is no such folder, or what it holds is broken.
        DataError: There is no tokenizer.
    """
    place = model_folder(folder)
    model = read_model(place, device=device, dropout=dropout)
    config, task = _config(place), _task(place)
    labels = task.labels if task is not None and task.labels is not None else _labels(config)
    start = config.get("decoder_start_token_id")
    return TrainedModel(
        model=model,
        tokenizer=load_tokenizer(place),
        task=task,
        labels=labels,
        start=start if isinstance(start, int) else None,
    )


def model_folder(folder: str | Path) -> Path:
    """The folder itself, or ``model`` in it where it is that of a run.

    Raises:
        WeightsError: There is no model.
    """
    given = Path(folder)
    for place in (given, given / MODEL):
        if (place / CONFIG).is_file() or (place / ARCHITECTURE).is_file():
            return place
    held = "is not there" if not given.is_dir() else "holds no model"
    raise WeightsError(
        f"{given} {held}. Give the folder of a finished run, or one with {CONFIG}, weights (safetensors) and "
        f"tokenizer.json; a run that was stopped early has checkpoints: go on with --resume."
    )


def read_model(place: Path, *, device: str | None = None, dropout: float = 0.0) -> Transformer:
    """The model of a folder, in the layout of Hugging Face or by this program's own names.

    Raises:
        WeightsError: Weights are missing or broken.
    """
    if not (place / ARCHITECTURE).is_file():
        from tonne.model.huggingface import from_huggingface  # noqa: PLC0415 - the other layout needs none of it

        return from_huggingface(place, device=device, dropout=dropout)
    from safetensors import SafetensorError  # noqa: PLC0415 - as above
    from safetensors.torch import load_file  # noqa: PLC0415 - as above

    from tonne.model.transformer import Transformer  # noqa: PLC0415 - as above

    try:
        architecture = Architecture.model_validate_json((place / ARCHITECTURE).read_text(encoding="utf-8"))
        model = Transformer(architecture, dropout=dropout, device=device)
        model.load_state_dict(load_file(place / WEIGHTS, device=device or "cpu"))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"{place} holds no whole model: {' '.join(str(error).split())[:300]}. Let its run write it again: --resume."
        ) from None
    return model.eval()


def _config(place: Path) -> dict[str, Any]:
    """What config.json says; nothing where there is none."""
    file = place / CONFIG
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read: {error}. Save the model again.") from None
    return found if isinstance(found, dict) else {}


def _task(place: Path) -> Task | None:
    file = place / TASK
    if not file.is_file():
        return None
    try:
        return Task.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise WeightsError(f"{file} describes no task: {error}. Remove it, and name the task yourself.") from None


def _labels(config: dict[str, Any]) -> tuple[str, ...]:
    """The names of labels in the order of their numbers; none where nobody gave them names."""
    named = config.get("id2label")
    if not isinstance(named, dict):
        return ()
    found = tuple(str(named[key]) for key in sorted(named, key=int))
    return () if all(_NAMELESS.fullmatch(name) for name in found) else found
