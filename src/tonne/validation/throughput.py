"""Step times by cross-validation: how far the time model is off on rows that it did not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tonne.estimate import binomial_interval
from tonne.reference.step_residuals import (
    Stack,
    StepResidual,
    covered,
    half_width,
    step_residuals,
)
from tonne.reference.throughput_peers import PeerScore, peer_scores
from tonne.validation.statistics import quantile
from tonne.validation.sweeps import Sweep, sweeps

STACKS: tuple[Stack, ...] = ("known", "open", "unseen")
HOPPER_AND_AMPERE = ("A100", "H100")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackError:
    """Errors |predicted / measured - 1| of a slice, and what the 90 % interval held of it.

    ``coverage``: share of the rows in the interval whose half-width comes from other models (sources) of their kind
    and precision; ``half_width``: that half-width over the value.
    """

    n: int
    median: float
    p90: float
    bias: float
    coverage: float | None
    coverage_low: float | None
    coverage_high: float | None
    half_width: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows of one sort; ``reach``: median and 90th percentile asked of a known and of an unseen stack."""

    name: str
    n: int
    fitted: StackError
    known: StackError
    unseen: StackError
    reach: tuple[tuple[float, float], tuple[float, float]] | None = None
    aim: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def holds(self) -> bool | None:
        """Whether both stacks reach what is asked; None where nothing is."""
        if self.reach is None:
            return None
        errors = (self.known, self.unseen)
        return all(e.median <= m and e.p90 <= p for e, (m, p) in zip(errors, self.reach, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepValidation:
    """Slices by kind and precision, by source, sweeps, and what other tools score on such rows.

    ``left_open``: mixtures forecast from a plan that does not say how tokens reach the experts.
    """

    slices: tuple[Slice, ...]
    left_open: StackError | None
    sources: tuple[Slice, ...]
    sweeps: tuple[Sweep, ...]
    peers: tuple[PeerScore, ...]
    rows: tuple[StepResidual, ...]

    @property
    def passed(self) -> bool:
        """Whether every slice with a figure asked reaches it."""
        return all(found.holds is not False for found in self.slices)


def validate_steps(rows: Sequence[StepResidual] | None = None) -> StepValidation:
    """The cross-validation of the step's time.

    Args:
        rows: Predictions and measurements; left out: those that the calibration wrote.
    """
    found = tuple(step_residuals() if rows is None else rows)
    judged = {stack: _Judged.of(found, stack) for stack in STACKS}

    def part(name: str, wanted: Callable[[StepResidual], bool], **asked: tuple[tuple[float, float], ...]) -> Slice:
        members = [row for row in found if wanted(row)]
        return _slice(name, members, judged, asked)

    slices = (
        part(
            "dense, 16-bit, A100 and H100",
            lambda r: r.group == ("dense", "16-bit") and r.family in HOPPER_AND_AMPERE,
            reach=((0.06, 0.15), (0.12, 0.35)),
            aim=((0.05, 0.12), (0.10, 0.25)),
        ),
        part("dense, 16-bit, Blackwell", lambda r: r.group == ("dense", "16-bit") and r.family == "Blackwell"),
        part(
            "dense, fp8 and below",
            lambda r: r.group == ("dense", "low"),
            reach=((0.12, 0.28), (0.20, 0.34)),
            aim=((0.08, 0.18), (0.15, 0.30)),
        ),
        part(
            "mixture of experts",
            lambda r: r.kind == "moe",
            reach=((0.15, 0.45), (0.38, 0.57)),
            aim=((0.10, 0.25), (0.25, 0.50)),
        ),
        part("all", lambda r: True),
    )
    names = sorted({row.source for row in found})
    sources = tuple(_slice(name, [row for row in found if row.source == name], judged, {}) for name in names)
    mixtures = [row for row in found if row.kind == "moe"]
    return StepValidation(
        slices=slices,
        left_open=_error(mixtures, "open", judged["open"]) if mixtures else None,
        sources=sources,
        sweeps=sweeps(found),
        peers=peer_scores(),
        rows=found,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """For one stack: which rows their intervals hold, and the half-width of every group [share]."""

    held: dict[str, bool]
    widths: dict[tuple[str, str], float]

    @classmethod
    def of(cls, rows: Sequence[StepResidual], stack: Stack) -> _Judged:
        groups = {row.group for row in rows}
        return cls(
            held=covered(rows, stack),
            widths={group: math.expm1(half_width(rows, group, stack)) for group in groups},
        )


def _slice(
    name: str,
    members: Sequence[StepResidual],
    judged: dict[Stack, _Judged],
    asked: dict[str, tuple[tuple[float, float], ...]],
) -> Slice:
    return Slice(
        name=name,
        n=len(members),
        fitted=_error(members, "fitted", None),
        known=_error(members, "known", judged["known"]),
        unseen=_error(members, "unseen", judged["unseen"]),
        **asked,  # type: ignore[arg-type]  # pairs of pairs, written above
    )


def _error(members: Sequence[StepResidual], stack: Stack, judged: _Judged | None) -> StackError:
    ratios = [_ratio(row, stack) for row in members]
    sizes = [abs(ratio - 1) for ratio in ratios]
    held = [judged.held[row.id] for row in members if row.id in judged.held] if judged else []
    low, high = binomial_interval(sum(held), len(held)) if held else (None, None)
    return StackError(
        n=len(members),
        median=quantile(sizes, 0.5),
        p90=quantile(sizes, 0.9),
        bias=quantile(ratios, 0.5) - 1,
        coverage=sum(held) / len(held) if held else None,
        coverage_low=low,
        coverage_high=high,
        half_width=quantile([judged.widths[row.group] for row in members], 0.5) if judged else None,
    )


def _ratio(row: StepResidual, stack: Stack) -> float:
    return row.predicted_s(stack) / row.measured_s


def worst(rows: Iterable[StepResidual], stack: Stack, number: int) -> list[StepResidual]:
    """The rows that are farthest off."""
    return sorted(rows, key=lambda row: -abs(row.log_error(stack)))[:number]
