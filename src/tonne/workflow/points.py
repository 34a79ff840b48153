"""The loss over a run, thinned while it is noted, so that a run of any length holds some hundred points."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from tonne.ledger.records import Series

MOST_POINTS = 400
Point = tuple[int, float, int, float]  # step, time since the begin [s], tokens so far, loss


@dataclass(slots=True)
class Points:
    """Every so many-th step: as many as have room."""

    kept: list[Point] = field(default_factory=list)
    last: Point | None = None
    every: int = 1
    _count: int = 0

    def add(self, point: Point) -> None:
        """Note a step; the last one is always known."""
        self.last = point
        self._count += 1
        if (self._count - 1) % self.every:
            return
        self.kept.append(point)
        if len(self.kept) > MOST_POINTS:
            self.kept, self.every = self.kept[::2], 2 * self.every

    def all(self) -> list[Point]:
        """The points, the last one among them."""
        rest = [] if self.last is None or (self.kept and self.kept[-1] == self.last) else [self.last]
        return [*self.kept, *rest]


def series_of(points: Sequence[Point], energy: Sequence[tuple[float, float]], earlier: Series = Series()) -> Series:  # noqa: B008 - frozen
    """Points as columns, after those of an earlier part of the run.

    Args:
        points: In their order.
        energy: Times [s] and facility energy so far [kWh] at which an account was made, in their order.
        earlier: What was noted before the run was gone on with.
    """
    new = [point for point in points if not earlier.steps or point[0] > earlier.steps[-1]]
    kwh = [kwh_at(time_s, energy) for _, time_s, _, _ in new]
    return Series(
        steps=(*earlier.steps, *(step for step, _, _, _ in new)),
        step_time_s=(*earlier.step_time_s, *(_short(time_s) for _, time_s, _, _ in new)),
        step_tokens=(*earlier.step_tokens, *(tokens for _, _, tokens, _ in new)),
        step_loss=(*earlier.step_loss, *(_short(loss) for _, _, _, loss in new)),
        step_kwh=(*earlier.step_kwh, *(None if one is None else _short(one) for one in kwh)),
    )


def _short(value: float) -> float:
    """As many digits as a chart can show: hundreds of points are a line of the ledger."""
    return float(f"{value:.7g}")


def kwh_at(time_s: float, energy: Sequence[tuple[float, float]]) -> float | None:
    """Energy so far at a time [kWh], between the times at which it was known; None where it never was."""
    if not energy:
        return None
    known = [(0.0, 0.0), *energy]
    after = bisect_right([at for at, _ in known], time_s)
    if after >= len(known):
        return known[-1][1]
    (begin_s, begin), (end_s, end) = known[after - 1], known[after]
    return begin + (end - begin) * (time_s - begin_s) / (end_s - begin_s)
