"""Low-rank adapters beside frozen linears."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tonne.describe.section import Section
from tonne.errors import DescriptionError

Target = Literal["query", "key", "value", "output", "feed_forward"]


class Lora(Section):
    """Low-rank adaptation (LoRA): beside each linear that is a target, two trained matrices of this rank.

    The model itself is frozen, but for the head for labels, which is new and learns. ``feed_forward``
    means each matrix of the block (gate, up, down). The same targets hold in cross-attention. With latent attention
    ``query`` means both linears of the queries, and ``key`` or ``value`` both linears of the latent vector, which keys
    and values share. Layers that predict further tokens are left out.
    """

    rank: int = Field(ge=1)
    alpha: float | None = Field(default=None, gt=0, description="scales the adapters' output; changes no count")
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = ("query", "value")  # Hu et al. 2021, section 7.1
    experts: bool = Field(default=False, description="feed_forward: each expert's matrices too, shared experts as well")

    @field_validator("targets")
    @classmethod
    def _once(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        if len(set(targets)) < len(targets):
            raise DescriptionError(f"targets={list(targets)} names a linear twice. Name each once.")
        return targets
