"""The inputs that a plan's place brings: grid, PUE, water, prices. An unknown place stays unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.describe.plan import TrainingPlan
from tonne.impact.place import factors_of, prices_of

if TYPE_CHECKING:
    from tonne.forecasting.inputs import Collected


def add_place(plan: TrainingPlan, found: Collected) -> None:
    """Add what the plan's site gives, with its notes."""
    for brought in (factors_of(plan.site), prices_of(plan.site, plan.cluster.record.id)):
        found.factors.update(brought.factors)
        found.notes += brought.notes
