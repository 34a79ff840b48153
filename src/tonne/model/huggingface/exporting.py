"""A model -> a folder that transformers loads the same model from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tonne.errors import WeightsError
from tonne.model.huggingface.families import config_for
from tonne.model.huggingface.layouts import layout_of
from tonne.model.huggingface.places import Layout, without_place
from tonne.model.huggingface.shards import listed
from tonne.model.huggingface.tokenizer import special_ids, write_tokenizer
from tonne.model.huggingface.writing import write_json, write_tensors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tonne.model.transformer import Transformer

SHARD_BYTES = 5_000_000_000  # a download that breaks off loses no more than this


def to_huggingface(
    model: Transformer,
    folder: str | Path,
    *,
    tokenizer: Tokenizer | str | Path | None = None,
    shard_bytes: int = SHARD_BYTES,
    class_name: str | None = None,
) -> Path:
    """Write config.json, weights as safetensors, and the tokenizer.

    Args:
        model: Any whose Architecture a class of transformers builds: see ``docs/weights.md``.
        folder: Where to; made where it is not there. Weights of an earlier save in it are replaced.
        tokenizer: One of the package tokenizers, a tokenizer.json or a folder that holds one, to be copied through.
        shard_bytes: Largest file; beyond it there are several, and an index [bytes].
        class_name: Class of transformers, e.g. ``BertForNextSentencePrediction``; left out: the first that fits.

    Returns:
        The folder.

    Raises:
        WeightsError: No class of transformers builds this model; the text names the fields. Or the folder is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise WeightsError(f"{folder} is a file. Give the name of a folder, new or not.")
    if shard_bytes < 1:
        raise WeightsError(
            f"shard_bytes={shard_bytes} is no size. Give the bytes of the largest file, e.g. 5_000_000_000."
        )
    config = config_for(model.architecture, class_name)
    layout = layout_of(model.architecture, config)
    parameters = dict(model.named_parameters())
    _check(layout, parameters, str(config.class_name))
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(tokenizer, folder)
    write_tensors(layout, parameters, folder, shard_bytes)
    dtype = str(next(iter(parameters.values())).dtype).removeprefix("torch.")
    ids = special_ids(tokenizer, config.model_type, folder)
    write_json(folder / "config.json", {**config.given, **ids, "dtype": dtype})
    return folder


def _check(layout: Layout, parameters: Mapping[str, torch.Tensor], class_name: str) -> None:
    """Refuse a model of which some numbers would be left behind."""
    hollow = [name for name, tensor in parameters.items() if tensor.device.type == "meta"]
    if hollow:
        raise WeightsError(
            f"the model lies on the meta device and holds no numbers ({listed(hollow)}). Load or draw them first, e.g. "
            f"model.to_empty(device='cpu') and model.reset_parameters()."
        )
    left = without_place(layout.places, parameters)
    if left:
        raise WeightsError(
            f"{class_name} has no place for {listed(left)}. Give another class_name, or save the state_dict instead."
        )
    idle = [place.ours for place in layout.places if set(place.names) & set(layout.zero)]
    for name in idle:
        if parameters[name].count_nonzero():
            raise WeightsError(
                f"{name} is not zero, but {class_name} does not read it where the tables are not tied. Add it to "
                f"output.bias, and set it to zero; the logits stay the same."
            )
