"""A decoder and what it has read: fed with tokens, it scores the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer


class Decoding:
    """A decoder with a cache of all that it has read, a batch of sequences side by side."""

    def __init__(
        self,
        model: Transformer,
        *,
        batch: int,
        room: int,
        source: torch.Tensor | None = None,
        source_mask: torch.Tensor | None = None,
    ) -> None:
        """For ``batch`` sequences of up to ``room`` tokens; an encoder-decoder reads its source (batch, length)."""
        self.model = model
        self.cache = model.new_cache(batch, length=room)
        self.source_mask = source_mask
        self._encoded = None if source is None else model.encode(source, source_mask)

    def scores(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of what comes after these tokens.

        Args:
            tokens: The next ones (batch, length).
            mask: (batch, length), 1 for a real token; None: all are.

        Returns:
            Logits (batch, vocabulary), in fp32 at most.
        """
        # The encoder's states enter once: their keys and values then lie in the cache.
        encoded, self._encoded = self._encoded, None
        states = self.model.states(
            tokens, mask, cache=self.cache, encoded=encoded, source_mask=self.source_mask
        )  # (B, T, D)
        weight, bias = self.model.output_table()
        scores = functional.linear(self.model.before_output(states[:, -1]), weight, bias)
        cap = self.model.architecture.output_softcap
        return (scores if cap is None else cap * torch.tanh(scores / cap)).float()

    def reorder(self, index: torch.Tensor) -> None:
        """Go on with these sequences, ``index`` (new batch) of the ones so far; each any number of times."""
        self.cache.reorder(index)
        if self.source_mask is not None:
            self.source_mask = self.source_mask.index_select(0, index)
