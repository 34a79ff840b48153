"""What stands on the final states: the output table, BERT's transform, a pooler, and heads for labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from tonne.count.parameters import embedding_width, output_rows, output_width
from tonne.errors import DescriptionError
from tonne.model.feed_forward import Function, activation
from tonne.model.making import INITIAL_STD, Linear, Making, Norm

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture, TaskHead
    from tonne.describe.task import Pooling


FUNCTIONS: dict[str, Function] = {"tanh": torch.tanh, "gelu": functional.gelu, "relu": functional.relu}


class OutputTable(nn.Module):
    """The output table where it is not tied to the token table, and its bias."""

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """Neither, one or both of them."""
        super().__init__()
        a, rows = architecture, output_rows(architecture)
        tied = a.tied_embeddings or not rows
        self.weight = None if tied else nn.Parameter(torch.empty(rows, output_width(a), **making.place))
        self.bias = nn.Parameter(torch.zeros(rows, **making.place)) if a.head_bias and rows else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew, and set the bias to zero."""
        if self.weight is not None:
            nn.init.normal_(self.weight, std=INITIAL_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class PredictionHead(nn.Module):
    """BERT's transform before the output table, which has a bias of its own.

    Equation: norm(f(W x + b)).

    Source: devlin2019bert, section 3.1.
    """

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """From the layers' width to that of the token table."""
        super().__init__()
        a, width = architecture, embedding_width(architecture)
        self.dense = Linear(a.width, width, bias=a.prediction_dense_bias, making=making)
        self.norm = Norm(a, width, making=making)
        rows = output_rows(a)
        self.bias = nn.Parameter(torch.zeros(rows, **making.place)) if a.prediction_output_bias else None
        self.function = activation(a)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States (..., width) as the output table takes them, (..., embedding width)."""
        transformed: torch.Tensor = self.norm(self.function(self.dense(states)))
        return transformed


class LabelHead(nn.Module):
    """Labels of a state: a dense layer where there is one, and a row a label."""

    def __init__(self, architecture: Architecture, head: TaskHead, *, making: Making) -> None:
        """For the states of a sequence or of a token."""
        super().__init__()
        a = architecture
        narrow = a.output_projection and a.embedding_width is not None
        width = embedding_width(a) if narrow else a.width
        self.dense = Linear(width, width, bias=head.dense_bias, making=making) if head.dense else None
        self.norm = Norm(a, width, making=making) if head.norm else None
        self.function = FUNCTIONS[head.activation]
        self.dropout = nn.Dropout(making.dropout)
        self.output = Linear(width, head.labels, bias=head.bias, making=making)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Scores (..., labels) of states (..., width)."""
        states = self.dropout(states)
        if self.dense is not None:
            states = self.function(self.dense(states))
            states = states if self.norm is None else self.norm(states)
            states = self.dropout(states)
        scores: torch.Tensor = self.output(states)
        return scores


class Pooler(nn.Module):
    """A dense layer over the first token's state, which stands for the sequence.

    Source: devlin2019bert, section 3.2.
    """

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """As wide as the layers."""
        super().__init__()
        self.dense = Linear(architecture.width, architecture.width, bias=True, making=making)
        self.function = FUNCTIONS[architecture.pooler_activation]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, width) of the states (batch, width) of the tokens that stand for their sequences."""
        pooled: torch.Tensor = self.function(self.dense(states))
        return pooled


def sequence_state(states: torch.Tensor, mask: torch.Tensor | None, pooling: Pooling) -> torch.Tensor:
    """What stands for each sequence: the state of its first or last real token, or the mean or most of all real ones.

    Args:
        states: (batch, length, width).
        mask: (batch, length), 1 for a real token; None: all are.
        pooling: Which of them; the most is taken in each place of the width apart.

    Returns:
        (batch, width).
    """
    real = states.new_ones(states.shape[:2], dtype=torch.int32) if mask is None else mask.int()
    if pooling == "mean":
        share = (real / real.sum(1, keepdim=True)).to(states.dtype)
        return torch.einsum("bl,bld->bd", share, states)
    if pooling == "max":
        return states.masked_fill(~real.bool()[..., None], torch.finfo(states.dtype).min).amax(1)
    last = pooling == "last"
    if mask is None:
        return states[:, -1 if last else 0]
    row = real.shape[1] - 1 - real.flip(1).argmax(1) if last else real.argmax(1)
    return states[torch.arange(len(row), device=states.device), row]


def missing_head(name: str, field: str) -> DescriptionError:
    """What to say where a head is asked for that the model does not have."""
    return DescriptionError(
        f"the model has no {name}: its Architecture leaves out {field}. Build it from one that has it, e.g. "
        f"architecture.model_copy(update={{...}}) with {field} set, and take over the weights of the layers."
    )
