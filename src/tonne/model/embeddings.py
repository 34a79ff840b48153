"""From token ids to vectors: tables of tokens, segments and positions, and what stands between them and the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from tonne.count.parameters import embedding_width, output_rows
from tonne.errors import DescriptionError
from tonne.model.making import Linear, Making, Norm, Table
from tonne.model.masks import readable
from tonne.model.positions import sinusoids

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture


class StackInputs(nn.Module):
    """Positions and norm of the vectors that enter a stack."""

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """A learned or stored table where the model has one; sinusoids are computed."""
        super().__init__()
        a = architecture
        self.kind, self.rows, self.offset = a.positions, a.max_positions, a.position_offset
        self.order = a.sinusoidal_order
        narrow = embedding_width(a)
        self.width = narrow if a.position_width is None else a.position_width
        self.late, self.late_norm = self.width != narrow, a.embedding_norm_projected
        stored = a.positions == "learned" or a.stored_positions
        self.positions = Table(a.max_positions + a.position_offset, self.width, making=making) if stored else None
        self.stored = a.stored_positions
        norm_width = a.width if a.embedding_norm_projected else narrow
        self.norm = Norm(a, norm_width, making=making) if a.embedding_norm else None
        self.dropout = nn.Dropout(making.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A stored table of sinusoids is filled with them, and does not learn."""
        if self.positions is None or not self.stored:
            return
        weight = self.positions.weight.requires_grad_(False)
        if weight.device.type != "meta":
            places = torch.arange(weight.shape[0], device=weight.device)
            with torch.no_grad():
                weight.copy_(sinusoids(places, self.width, self.order))

    def forward(
        self, vectors: torch.Tensor, projection: nn.Module | None, places: torch.Tensor | None, before: int
    ) -> torch.Tensor:
        """Vectors as the first layer takes them.

        Args:
            vectors: Of tokens and segments, (batch, length, embedding width).
            projection: From there to the layers' width.
            places: Positions (batch or 1, length), where they are not 0, 1, ... [token].
            before: Tokens in the cache [token].

        Returns:
            (batch, length, width).

        Raises:
            DescriptionError: The sequence is longer than the table.
        """
        added = self._added(vectors, places, before)
        if added is not None and not self.late:
            vectors = vectors + added
        if self.norm is not None and not self.late_norm:
            vectors = self.norm(vectors)
        vectors = vectors if projection is None else projection(vectors)
        if added is not None and self.late:
            vectors = vectors + added
        if self.norm is not None and self.late_norm:
            vectors = self.norm(vectors)
        dropped: torch.Tensor = self.dropout(vectors)
        return dropped

    def _added(self, vectors: torch.Tensor, places: torch.Tensor | None, before: int) -> torch.Tensor | None:
        """Vectors of the positions, (batch or 1, length, width); None where positions enter elsewhere."""
        length = vectors.shape[1]
        if self.positions is not None:
            last = before + length
            if places is not None and readable(places) and last > self.rows:  # padding and packing may make room
                last = int(places.max()) + 1
            if last > self.rows:
                raise DescriptionError(
                    f"{last} tokens are more than max_positions={self.rows}, the rows of the table of positions. Cut "
                    f"the sequence to {self.rows} tokens, or build the model with more positions."
                )
            if places is None:
                return self.positions.weight[self.offset + before : self.offset + before + length][None]
            rows: torch.Tensor = self.positions(places + self.offset)
            return rows
        if self.kind != "sinusoidal":
            return None
        if places is None:
            places = torch.arange(before, before + length, device=vectors.device)[None]
        return sinusoids(places + self.offset, self.width, self.order).to(vectors.dtype)


class TokenTables(nn.Module):
    """Tables of tokens and segments, shared by the stacks or one a stack, and the projection to the layers' width."""

    def __init__(self, architecture: Architecture, *, making: Making) -> None:
        """The decoder's table, or the only one, is ``tokens``; an encoder's own is ``source``; others nothing reads."""
        super().__init__()
        a, width = architecture, embedding_width(architecture)
        own = a.token_tables > 1 and a.kind == "encoder-decoder"
        self.scale = a.embedding_scale
        self.tokens = Table(output_rows(a), width, making=making) if a.vocabulary else None
        self.source = Table(a.vocabulary, width, making=making) if own and a.vocabulary else None
        idle = a.token_tables - 1 - own if a.vocabulary else 0
        self.idle = nn.ModuleList(Table(a.vocabulary, width, making=making) for _ in range(idle))
        self.types = Table(a.token_types, width, making=making) if a.token_types else None
        narrow = a.embedding_width is not None
        self.projection = Linear(width, a.width, bias=a.embedding_projection_bias, making=making) if narrow else None

    def forward(self, tokens: torch.Tensor, types: torch.Tensor | None, *, source: bool = False) -> torch.Tensor:
        """Vectors of tokens and segments, (batch, length, embedding width).

        Args:
            tokens: Ids (batch, length); without a vocabulary the vectors themselves, (batch, length, width).
            types: Segment of each token (batch, length); None: the first one.
            source: Whether they are an encoder-decoder's source.

        Raises:
            DescriptionError: Ids without a vocabulary, or segments without a table.
        """
        table = self.source if source and self.source is not None else self.tokens
        if table is None:
            if not tokens.is_floating_point():
                raise DescriptionError(
                    "the Architecture has vocabulary=0, so tokens must be vectors (batch, length, width). Give "
                    "them, or build the model with a vocabulary."
                )
            vectors = tokens
        else:
            vectors = table(tokens)
        vectors = vectors if self.scale == 1 else vectors * self.scale
        if types is not None and self.types is None:
            raise DescriptionError("token_types were given, but the Architecture has token_types=0. Leave them out.")
        if self.types is None:
            return vectors
        return vectors + (self.types.weight[0] if types is None else self.types(types))
