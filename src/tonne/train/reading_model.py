"""A model that a run, or anybody else, left in a folder; and the same one with the head of a task."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from tonne.describe.architecture import Architecture
from tonne.describe.start import OWN_ARCHITECTURE, original_fields
from tonne.errors import DescriptionError, WeightsError
from tonne.model.transformer import Transformer
from tonne.train.export import WEIGHTS

NEW_WITH_A_TASK = ("task.", "pooler.")  # parts that a pre-trained model may lack
SAYING = ("config.json", "generation_config.json")  # where the token stands that a decoder begins with
START = "decoder_start_token_id"
NARROW = (torch.float16, torch.bfloat16)


def read_model(folder: str | Path, *, dropout: float = 0.0) -> Transformer:
    """The model of a folder: in Hugging Face's layout, or by this program's own names.

    Weights of 16 bits are widened to 32: the small steps of training would be lost in them.

    Raises:
        WeightsError: Its files are missing or broken, or its type is not read.
    """
    place = Path(folder)
    if (place / OWN_ARCHITECTURE).is_file():
        model = _own(place, dropout)
    else:
        from tonne.model.huggingface import from_huggingface  # noqa: PLC0415 - most runs start from scratch

        model = from_huggingface(place, dropout=dropout)
    return model.float() if next(model.parameters()).dtype in NARROW else model


def decoder_start(folder: str | Path) -> int | None:
    """The token that the folder's files say an encoder-decoder's decoder begins with; None where they do not."""
    found = None
    for name in SAYING:
        file = Path(folder) / name
        if file.is_file():
            said = json.loads(file.read_text(encoding="utf-8")).get(START)
            found = said if isinstance(said, int) else found
    return found


@torch.no_grad()
def with_architecture(model: Transformer, architecture: Architecture, *, dropout: float, seed: int) -> Transformer:
    """A model of another head with the weights of this one; what is new is drawn from the seed.

    Raises:
        WeightsError: Something beside the head differs; the text names it.
    """
    if architecture == model.architecture:
        return model
    torch.manual_seed(seed)
    place = next(model.parameters())
    made = Transformer(architecture, dropout=dropout, device=place.device, dtype=place.dtype)
    held = dict(model.named_parameters())
    for name, parameter in made.named_parameters():
        if name in held and held[name].shape == parameter.shape:
            parameter.copy_(held[name])
        elif not name.startswith(NEW_WITH_A_TASK):
            raise WeightsError(
                f"{name} is {tuple(parameter.shape)}, but the model that training starts from has "
                f"{tuple(held[name].shape) if name in held else 'none'}. Leave [architecture] out: it is that of the "
                f"start."
            )
    return made


def _own(folder: Path, dropout: float) -> Transformer:
    """A model of a shape that no class of transformers has."""
    try:
        architecture = Architecture.model_validate(original_fields(str(folder)))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder} holds no model that can be read: {error}. Have the run write it again.") from None
    model = Transformer(architecture, dropout=dropout, dtype=next(iter(tensors.values())).dtype)
    try:
        nn.Module.load_state_dict(model, tensors)
    except RuntimeError as error:
        raise WeightsError(f"{folder / WEIGHTS} is not of {OWN_ARCHITECTURE} beside it: {error}") from None
    return model


def check_dimensions(given: Architecture, found: Architecture, folder: str | Path) -> None:
    """Whether an architecture that was described is the one of the model that training starts from.

    Raises:
        DescriptionError: It is not; the text names the first field.
    """
    for name in ("kind", "layers", "encoder_layers", "decoder_layers", "width", "heads", "vocabulary"):
        ours, theirs = getattr(given, name), getattr(found, name)
        if ours != theirs:
            raise DescriptionError(
                f"[architecture] {name}={ours!r}, but the model in {folder} has {theirs!r}. Leave [architecture] out: "
                f"it is that of the start."
            )
