"""The finished model, as the folder of a model that others load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tonne.errors import RunFolderError
from tonne.train.sharding import is_sharded, whole

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.distribution import Processes
    from tonne.train.tokenizer import TextTokenizer


def write_model(model: Transformer, tokenizer: TextTokenizer | None, folder: Path, processes: Processes) -> None:
    """Write a model in Hugging Face's layout, with its tokenizer; a folder that is there already is replaced.

    Raises:
        RunFolderError: The disk is full, or cannot be written; the run's checkpoints stay.
    """
    gathered = {name: whole(parameter.detach()) for name, parameter in model.named_parameters()}
    if not processes.first:
        processes.wait()
        return
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _write(_plain(model, gathered), tokenizer, partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunFolderError(
            f"{folder} could not be written: {error}. The checkpoints are whole: make room, then use --resume."
        ) from None
    processes.wait()


def _write(model: Transformer, tokenizer: TextTokenizer | None, folder: Path) -> None:
    from tonne.model import to_huggingface  # noqa: PLC0415 - at the end of a run

    to_huggingface(model, folder)  # type: ignore[operator]
    if tokenizer is not None:
        tokenizer.save(folder)


@torch.no_grad()
def _plain(model: Transformer, gathered: dict[str, torch.Tensor]) -> Transformer:
    """The model itself, or where its tensors are shared out, one that holds all of them."""
    if not any(is_sharded(parameter) for parameter in model.parameters()):
        return model
    from tonne.model.transformer import Transformer  # noqa: PLC0415 - as above

    made = Transformer(model.architecture)
    for name, parameter in made.named_parameters():
        parameter.copy_(gathered[name])
    return made.eval()
