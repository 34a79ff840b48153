"""How well a model predicts text that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tonne.train.distribution import share_out
from tonne.train.losses import Counted, moved
from tonne.train.step import mixed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tonne.train.batch import Batch
    from tonne.train.batches import Batches
    from tonne.train.distribution import Processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Mean losses over the held-out text [nat]; bits per byte where every token is predicted and bytes are known."""

    loss: float
    token_loss: float
    sentence_loss: float | None
    bits_per_byte: float | None
    predicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Held-out batches, and how much of them is looked at; ``sharded``: the processes share the weights out."""

    losses: nn.Module
    batches: Batches
    processes: Processes
    precision: str
    micro_batch_sequences: int
    sequences: int
    bytes_per_token: float | None
    sharded: bool = False

    @torch.no_grad()
    def now(self) -> Evaluation:
        """The losses of the model as it is; the same sequences, masked alike, every time."""
        was_training = self.losses.training
        self.losses.eval()
        losses, counted = torch.zeros(2, dtype=torch.float64), Counted(tokens=0, predicted=0, sentences=0)
        wanted = math.ceil(self.sequences / self.batches.batch_sequences)
        for step in range(max(1, min(self.batches.steps_per_epoch, wanted))):
            batches = self._micro_batches(step)
            for batch in batches:
                own = Counted.of([batch])
                losses += self._of(batch) * torch.tensor([own.predicted, own.sentences], dtype=torch.float64)
                counted = _sum(counted, own)
            if self.sharded:
                self._keep_step(len(batches))
        if self.sharded:
            share_out(self.losses)
        self.losses.train(was_training)
        return self._told(losses.tolist(), counted)

    def _of(self, batch: Batch) -> Tensor:
        """The two mean losses of a batch (2,)."""
        with mixed(self.precision, self.processes.device):
            found: Tensor = self.losses(moved(batch, self.processes.device))
        return found.double().cpu()

    def _micro_batches(self, step: int) -> list[Batch]:
        return self.batches.micro_batches(
            step,
            rank=self.processes.rank,
            ranks=self.processes.ranks,
            micro_batch_sequences=self.micro_batch_sequences,
        )

    def _keep_step(self, made: int) -> None:
        """Of the last, smaller batch some have less: they look at another, for weights are gathered by all together."""
        most = int(self.processes.largest([made])[0])
        for _ in range(most - made):
            self._of(self._micro_batches(0)[0])

    def _told(self, losses: list[float], counted: Counted) -> Evaluation:
        """The means over all processes."""
        values = self.processes.total([*losses, counted.tokens, counted.predicted, counted.sentences])
        tokens, sentences, _, predicted, pairs = values
        token_loss = tokens / (predicted or 1.0)
        sentence_loss = sentences / pairs if pairs else None
        return Evaluation(
            loss=token_loss + (sentence_loss or 0.0),
            token_loss=token_loss,
            sentence_loss=sentence_loss,
            bits_per_byte=None if self.bytes_per_token is None else bits_per_byte(token_loss, self.bytes_per_token),
            predicted=int(predicted),
        )


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """A loss that no tokenizer flatters.

    Equation: b = L / (ln 2 s), with L = loss, s = bytes_per_token.

    Args:
        loss: Mean over the tokens [nat/token].
        bytes_per_token: Bytes of UTF-8 text that a token stands for in the mean [byte/token].

    Returns:
        Bits that the model needs for a byte of the text [bit/byte].
    """
    return loss / (math.log(2) * bytes_per_token)


def _sum(a: Counted, b: Counted) -> Counted:
    return Counted(tokens=a.tokens + b.tokens, predicted=a.predicted + b.predicted, sentences=a.sentences + b.sentences)
