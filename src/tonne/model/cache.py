"""What a decoder keeps of the tokens before: keys and values a layer, so that each is computed once."""

from __future__ import annotations

import torch


class LayerCache:
    """Keys and values of one layer; with latent attention the latent vectors and rotary keys in their place."""

    def __init__(self, length: int | None) -> None:
        """Room for ``length`` tokens; None: it grows."""
        self.room = length
        self.length = 0
        self.kept: tuple[torch.Tensor, torch.Tensor] | None = None
        self.across: tuple[torch.Tensor, torch.Tensor] | None = None

    def append(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All tokens' keys and values, these tokens' added.

        Args:
            first: (batch, length, heads, width), or without heads.
            second: The same of the values.
        """
        end = self.length + first.shape[1]
        if first.requires_grad and torch.is_grad_enabled():  # writing in place would spoil the gradient
            if self.kept is not None:
                pairs = zip(self.kept, (first, second), strict=True)
                first, second = (torch.cat([old[:, : self.length], new], 1) for old, new in pairs)
            self.kept = (first, second)
        else:
            self.kept = (self._room_of(0, first, end), self._room_of(1, second, end))
            for room, new in zip(self.kept, (first, second), strict=True):
                room[:, self.length : end] = new
        self.length = end
        return self.kept[0][:, :end], self.kept[1][:, :end]

    def _room_of(self, which: int, new: torch.Tensor, end: int) -> torch.Tensor:
        """Memory for ``end`` tokens; doubled where it grows, so that each token is copied about once."""
        old = None if self.kept is None else self.kept[which]
        if old is not None and old.shape[1] >= end:
            return old
        size = max(end, self.room or 0) if old is None else max(end, 2 * old.shape[1])
        room = new.new_empty(new.shape[0], size, *new.shape[2:])
        if old is not None:
            room[:, : self.length] = old[:, : self.length]
        return room

    def reorder(self, index: torch.Tensor) -> None:
        """Take other sequences of the batch, as the beams of a search do."""
        if self.kept is not None:
            self.kept = (self.kept[0].index_select(0, index), self.kept[1].index_select(0, index))
        if self.across is not None:
            self.across = (self.across[0].index_select(0, index), self.across[1].index_select(0, index))


class Cache:
    """What all layers of a decoder keep. ``length`` is the number of tokens in it."""

    def __init__(self, layers: int, *, batch: int, length: int | None = None) -> None:
        """For ``layers`` layers and ``batch`` sequences, with room for ``length`` tokens; None: it grows."""
        self.batch = batch
        self.layers = [LayerCache(length) for _ in range(layers)]
        self.mask: torch.Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens of each sequence in it, padding included."""
        return self.layers[0].length

    def reorder(self, index: torch.Tensor) -> None:
        """Take the sequences of the batch anew, ``index`` (batch) of them."""
        for layer in self.layers:
            layer.reorder(index)
        if self.mask is not None:
            self.mask = self.mask.index_select(0, index)
        self.batch = int(index.shape[0])

    def whole_mask(self, mask: torch.Tensor | None, tokens: torch.Tensor) -> torch.Tensor | None:
        """The padding of all tokens, those in the cache too; kept for the next ones.

        Args:
            mask: Of the new tokens (batch, length), or of all (batch, cached + length); None: the new ones are real.
            tokens: The new ones, (batch, length).
        """
        batch, length = tokens.shape[:2]
        if mask is None and self.mask is None:
            return None
        new = torch.ones(batch, length, dtype=torch.bool, device=tokens.device) if mask is None else mask.bool()
        if self.length and new.shape[1] == length:
            old = self.mask
            old = new.new_ones(batch, self.length) if old is None else old
            new = torch.cat([old, new], 1)
        self.mask = new
        return new
