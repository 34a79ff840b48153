"""Kinds of model, as the calibration tells them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tonne.describe.plan import TrainingPlan


def kind_of(plan: TrainingPlan) -> str:
    """Kind of model: moe, dense-decoder, encoder or encoder-decoder."""
    a = plan.architecture
    if a is not None and a.experts is not None:
        return "moe"
    return "dense-decoder" if a is None or a.kind == "decoder" else a.kind
