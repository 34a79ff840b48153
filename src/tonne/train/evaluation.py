"""How well a model predicts text that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch

from tonne.train.distribution import share_out
from tonne.train.losses import Counted, moved
from tonne.train.metrics.scores import higher_is_better
from tonne.train.step import mixed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tonne.model.transformer import Transformer
    from tonne.train.batch import Batch
    from tonne.train.distribution import Processes
    from tonne.train.ordered import OrderedBatches


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Mean losses over the held-out text [nat]; bits per byte where every token is predicted and bytes are known.

    ``metrics``: of a task, by name; ``decides``: the one that makes an evaluation the best, the loss where it is None.
    """

    loss: float
    token_loss: float
    sentence_loss: float | None
    bits_per_byte: float | None
    predicted: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    decides: str | None = None

    @property
    def badness(self) -> float:
        """What is smaller the better the model is."""
        if self.decides is None:
            return self.loss
        value = self.metrics[self.decides]
        return -value if higher_is_better(self.decides) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Held-out batches, and how much of them is looked at; ``sharded``: the processes share the weights out."""

    losses: nn.Module
    batches: OrderedBatches
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
        for step in range(self.steps()):
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

    def steps(self) -> int:
        """Batches that are looked at."""
        wanted = math.ceil(self.sequences / self.batches.batch_sequences)
        return max(1, min(self.batches.steps_per_epoch, wanted))

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


class Evaluates(Protocol):
    """Looks how good the model is now."""

    def now(self) -> Evaluation:
        """The losses of the model as it is, and metrics where there are some."""


class Judge(Protocol):
    """Scores what a model predicts of held-out examples."""

    @property
    def metric(self) -> str | None:
        """The one that decides; None: the loss does."""

    def scores(self, model: Transformer) -> Mapping[str, float]:
        """The metrics by name, the deciding one among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingEvaluator:
    """An evaluation with the metrics of a task beside its losses; one process predicts for all."""

    losses: Evaluator
    model: Transformer
    judge: Judge

    def now(self) -> Evaluation:
        """Losses and metrics of the model as it is."""
        found, processes = self.losses.now(), self.losses.processes
        metrics = processes.told(dict(self.judge.scores(self.model)) if processes.first else None)
        return replace(found, metrics=metrics, decides=self.judge.metric)


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
