"""The weights that training starts from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from tonne.count.layers import key_width
from tonne.model.attention import Attention, CrossAttention
from tonne.model.experts import ExpertFeedForward
from tonne.model.feed_forward import FeedForward
from tonne.model.heads import OutputTable
from tonne.model.latent_attention import LatentAttention
from tonne.model.layer import Layer
from tonne.model.making import INITIAL_STD, Linear, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tonne.describe.architecture import Architecture


def draw(model: nn.Module, architecture: Architecture) -> None:
    """Draw all weights of a model anew: matrices and tables normally spread, biases zero, norms one."""
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if module is not model and callable(reset):
            reset()
    spread(model, architecture)


def spread(model: nn.Module, architecture: Architecture) -> None:
    """Give freshly drawn weights the spread that the architecture asks for.

    What a pre-norm layer adds to its states is smaller by sqrt(branches), so that their spread does not grow with
    depth. Where scores are multiplied by more than 1 / sqrt(width of a head), as T5's are, queries are smaller by as
    much.

    Source: radford2019gpt2, section 2.3; raffel2020t5, section 3.1.1.
    """
    a = architecture
    if any(parameter.device.type == "meta" for parameter in model.parameters()):
        return
    layers = [module for module in model.modules() if isinstance(module, Layer)]
    with torch.no_grad():
        for weight in _matrices(model):
            weight.mul_(a.initial_std / INITIAL_STD)
        surplus = 1.0 if a.attention_scale is None else a.attention_scale * math.sqrt(key_width(a))
        for layer in layers:
            depth = 1.0 if a.norm_position == "post" else math.sqrt((2 + layer.cross) * len(layers))
            for weight in _last_matrices(layer):
                weight.div_(depth)
            for weight in _queries(layer):
                weight.div_(max(surplus, 1.0))


def _matrices(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        if isinstance(module, Linear | Table | OutputTable):
            weight = module.weight
            if weight is not None and weight.requires_grad:
                yield weight
        elif isinstance(module, ExpertFeedForward):
            yield from (module.up, module.down)


def _last_matrices(layer: Layer) -> Iterator[torch.Tensor]:
    """The matrices whose product is added to the states."""
    for module in layer.modules():
        if isinstance(module, Attention | CrossAttention | LatentAttention):
            yield module.output.weight
        elif isinstance(module, FeedForward):
            yield module.down.weight
        elif isinstance(module, ExpertFeedForward):
            yield module.down


def _queries(layer: Layer) -> Iterator[torch.Tensor]:
    for module in layer.modules():
        if isinstance(module, Attention) and module.fused:
            yield module.query_key_value.weight[: module.heads * module.head_width]
        elif isinstance(module, Attention | CrossAttention | LatentAttention):
            yield module.query.weight
