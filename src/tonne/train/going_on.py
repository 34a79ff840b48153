"""A model that a run, or anybody else, left in a folder, to go on with: as it is, or with the head of a task."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tonne.describe.architecture import Architecture
from tonne.describe.start import original_fields
from tonne.errors import DescriptionError, WeightsError
from tonne.model.transformer import Transformer
from tonne.train.trained import read_model

NEW_WITH_A_TASK = ("task.", "pooler.")  # parts that a pre-trained model may lack
SAYING = ("config.json", "generation_config.json")  # where the token stands that a decoder begins with
START = "decoder_start_token_id"
NARROW = (torch.float16, torch.bfloat16)


def model_to_go_on_with(folder: str | Path, *, dropout: float = 0.0) -> Transformer:
    """The model of a folder, as training goes on with it.

    Weights of 16 bits are widened to 32: the small steps of training would be lost in them.

    Raises:
        WeightsError: Its files are missing or broken, or its type is not read.
    """
    model = read_model(Path(folder), dropout=dropout)
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


def has_head(folder: str | Path) -> bool:
    """Whether the model of a folder has a head for labels."""
    return Architecture.model_validate(original_fields(str(folder))).task_head is not None


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
