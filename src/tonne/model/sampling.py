"""Which token comes next: the most probable one, or one drawn at random from those that a filter leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from tonne.errors import DescriptionError

NEVER = float("-inf")  # the score of a token that is not drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The most probable token each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """A token drawn at random, by the probabilities that temperature, top_k and top_p leave, in this order.

    ``temperature`` divides the scores: below 1 the draw is more certain, above 1 less. ``top_k`` keeps so many of the
    most probable tokens, ``top_p`` the fewest most probable ones that together have this probability. ``seed`` makes
    the draw repeatable; left out, torch's own generator is used, and ``torch.manual_seed`` counts.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to draw from."""
        if not 0 < self.temperature < float("inf"):
            raise DescriptionError(
                f"temperature={self.temperature}. Give a number above 0, e.g. 0.7; for the most probable token take "
                f"Greedy()."
            )
        if self.top_k is not None and self.top_k < 1:
            raise DescriptionError(f"top_k={self.top_k}. Give 1 or more tokens, or leave it out to keep all.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise DescriptionError(f"top_p={self.top_p}. Give a probability above 0, up to 1, e.g. 0.9.")


@dataclass(slots=True, kw_only=True)
class Draw:
    """One run of a strategy over the steps of a generation."""

    strategy: Greedy | Sampling
    generator: torch.Generator | None = field(init=False, default=None)

    def next_tokens(self, scores: torch.Tensor) -> torch.Tensor:
        """The token that comes next in each sequence.

        Args:
            scores: Logits (batch, vocabulary).

        Returns:
            (batch,).
        """
        if isinstance(self.strategy, Greedy):
            return scores.argmax(-1)
        if self.generator is None and self.strategy.seed is not None:
            self.generator = torch.Generator(scores.device).manual_seed(self.strategy.seed)
        probabilities = filtered(scores, self.strategy).softmax(-1)
        return torch.multinomial(probabilities, 1, generator=self.generator).squeeze(1)


def filtered(scores: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Scores (batch, vocabulary) after temperature, top_k and top_p; -inf where a token is not drawn."""
    if sampling.temperature != 1:
        scores = scores / sampling.temperature
    if sampling.top_k is not None:
        scores = most_probable(scores, sampling.top_k)
    if sampling.top_p is not None and sampling.top_p < 1:
        scores = nucleus(scores, sampling.top_p)
    return scores


def most_probable(scores: torch.Tensor, top_k: int) -> torch.Tensor:
    """Scores (batch, vocabulary) of the top_k most probable tokens, and of those that tie with the last of them.

    Source: fan2018hierarchical, section 5.4.
    """
    least = scores.topk(min(top_k, scores.shape[-1])).values[:, -1:]  # (B, 1)
    return scores.masked_fill(scores < least, NEVER)


def nucleus(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Scores (batch, vocabulary) of the fewest most probable tokens whose probabilities sum to top_p or more.

    Equation: the smallest set V of tokens, most probable first, with sum_{x in V} P(x) >= top_p.

    Source: holtzman2020degeneration, section 3.1.
    """
    ranked, order = scores.sort(-1, descending=True)
    probabilities = ranked.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # what the more probable tokens have
    dropped = before >= top_p
    dropped[:, 0] = False
    return scores.masked_fill(dropped.scatter(-1, order, dropped), NEVER)
