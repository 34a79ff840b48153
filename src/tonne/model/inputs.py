"""What may enter a model besides tokens and their mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    import torch

    from tonne.model.cache import Cache


class More(TypedDict, total=False):
    """The same as keywords of a call."""

    source: torch.Tensor | None
    source_mask: torch.Tensor | None
    encoded: torch.Tensor | None
    token_types: torch.Tensor | None
    documents: torch.Tensor | None
    source_documents: torch.Tensor | None
    positions: torch.Tensor | None
    cache: Cache | None
    prefix: torch.Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that enters one pass but the tokens.

    ``source`` (batch, source length) and ``source_mask``: an encoder-decoder's source. ``encoded``: its states in their
    place. ``token_types`` (batch, length): segments. ``documents`` (batch, length) and ``source_documents``: which
    packed document a token belongs to. ``positions`` (batch or 1, length): where they are not 0, 1, ... ``cache``: of
    the tokens before. ``prefix`` (batch,): first tokens that see one another.
    """

    source: torch.Tensor | None = None
    source_mask: torch.Tensor | None = None
    encoded: torch.Tensor | None = None
    token_types: torch.Tensor | None = None
    documents: torch.Tensor | None = None
    source_documents: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    cache: Cache | None = None
    prefix: torch.Tensor | None = None

    def refuse(self, names: tuple[str, ...], why: str) -> None:
        """Refuse what has no meaning for a kind of model.

        Raises:
            DescriptionError: One of these was given.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise DescriptionError(f"{name} was given, but {why}. Leave it out.")
