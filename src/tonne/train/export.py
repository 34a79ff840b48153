"""The finished model, as the folder of a model that others load."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from tonne.describe.start import OWN_ARCHITECTURE
from tonne.errors import RunFolderError, WeightsError
from tonne.train.sharding import is_sharded, whole

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.distribution import Processes
    from tonne.train.tokenizer import TextTokenizer


LOG = logging.getLogger(__name__)
WEIGHTS, ARCHITECTURE = "model.safetensors", OWN_ARCHITECTURE


def write_model(
    model: Transformer,
    tokenizer: TextTokenizer | None,
    folder: Path,
    processes: Processes,
    *,
    also: Callable[[Path], None] | None = None,
) -> None:
    """Write a model in Hugging Face's layout, with its tokenizer; a folder that is there already is replaced.

    A model that no class of transformers builds is kept by its own names, with its architecture beside it. ``also``
    writes what else belongs into the folder.

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
        if also is not None:
            also(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunFolderError(
            f"{folder} could not be written: {error}. The checkpoints are whole: make room, then use --resume."
        ) from None
    processes.wait()


def _write(model: Transformer, tokenizer: TextTokenizer | None, folder: Path) -> None:
    from tonne.model.huggingface import to_huggingface  # noqa: PLC0415 - at the end of a run

    if tokenizer is not None:
        tokenizer.save(folder)
    try:
        to_huggingface(model, folder, tokenizer=None if tokenizer is None else folder)  # which tokens start, end, pad
    except WeightsError as error:  # a shape of its own: hours of training must not end without a model
        LOG.warning("%s holds the weights by this program's own names: %s", folder.with_suffix(""), error)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
        (folder / ARCHITECTURE).write_text(model.architecture.model_dump_json(indent=1), encoding="utf-8")


@torch.no_grad()
def _plain(model: Transformer, gathered: dict[str, torch.Tensor]) -> Transformer:
    """The model itself, or where its tensors are shared out, one that holds all of them."""
    if not any(is_sharded(parameter) for parameter in model.parameters()):
        return model
    from tonne.model.transformer import Transformer  # noqa: PLC0415 - as above

    dtype = next(iter(gathered.values())).dtype
    made = Transformer(model.architecture, dtype=dtype)
    for name, parameter in made.named_parameters():
        parameter.copy_(gathered[name])
    return made.eval()
