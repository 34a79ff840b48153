"""How much of a run's time its steps took, from whatever it told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.ledger.records import Stage, Work

STEPPING = "stepping"  # name of the stage


def stepping_s(account: Account, work: Work, stages: Iterable[Stage] = ()) -> float | None:
    """Time that the steps of a run took [s], at most all of it; None where the run told nothing of them.

    The stage of that name; else the goodput; else the time of a step, or of a token, times how many there were.
    """
    if account.duration_s is None:
        return None
    lasted_s, told = float(account.duration_s.value), account.throughput
    staged = [stage.duration_s for stage in stages if stage.name == STEPPING]
    found: float | None = None
    if staged:
        found = sum(staged)
    elif told.goodput is not None:
        found = lasted_s * float(told.goodput.value)
    elif told.step_time_s is not None and work.steps:
        found = float(told.step_time_s.value) * work.steps
    elif told.tokens_per_s is not None and told.tokens_per_s.value > 0 and work.tokens:
        found = work.tokens / float(told.tokens_per_s.value)
    return None if not found or found <= 0 else min(found, lasted_s)
