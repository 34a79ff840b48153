"""Layers that do not learn: the embeddings and the first of the layers, as ``count`` counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from torch import nn

    from tonne.model.stack import Stack
    from tonne.model.transformer import Transformer

ON_TOP = ("layers", "final_norm")  # of a stack; its other parts belong to what enters it


def freeze(model: Transformer, layers: int) -> None:
    """Freeze the embeddings and the first layers, an encoder's before its decoder's; nothing where there are none.

    A frozen encoder's last norm is frozen with it: nothing below it learns.

    Raises:
        DescriptionError: There are fewer layers, or nothing would be left that learns.
    """
    if not layers:
        return
    stacks = [stack for stack in (model.encoder, model.decoder) if stack is not None]
    held = sum(len(stack.layers) for stack in stacks)
    if layers > held or model.architecture.shared_layers:
        raise DescriptionError(f"frozen_layers={layers}, but the model has {held} that can be frozen. Freeze fewer.")
    model.embedding.requires_grad_(False)
    left = layers
    for place, stack in enumerate(stacks):
        _freeze_entrance(stack)
        for layer in list(stack.layers)[:left]:
            layer.requires_grad_(False)
        whole = left >= len(stack.layers)
        if whole and place < len(stacks) - 1 and stack.final_norm is not None:
            stack.final_norm.requires_grad_(False)
        left = max(left - len(stack.layers), 0)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise DescriptionError(
            f"frozen_layers={layers} leaves nothing that learns. Freeze fewer layers, or take a task with a head."
        )


def _freeze_entrance(stack: Stack) -> None:
    """All parts of a stack that are no layers: positions, the norm of the embedding, tables of distances."""
    for name, part in stack.named_children():
        if name not in ON_TOP:
            part.requires_grad_(False)


def learning(model: nn.Module) -> tuple[int, int]:
    """Numbers that learn, and all numbers."""
    numbers = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(number for number, learns in numbers if learns), sum(number for number, _ in numbers)
